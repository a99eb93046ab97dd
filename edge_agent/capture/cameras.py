"""All cameras of this installation, following the settings.

Rules of this file:
- The settings (`camera.NAME` in system_config) are the truth; `reload` makes the cameras agree with them.
- A camera is opened when somebody asks it for a picture, never before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pydantic import ValidationError

from edge_agent.capture.camera import Camera, CameraStatus, encode
from edge_agent.capture.driver import CameraConfig
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.errors import NotFound
from edge_agent.models import Finding, Severity
from edge_agent.store import settings
from edge_agent.store.database import Database

HINT = "Check cable, power and address of the camera, then take a picture again."


class Cameras:
    """The cameras by name; `reload` after every change of their settings, `close` at the end."""

    def __init__(self, database: Database, clock: Clock, config: Config) -> None:
        self._db, self._clock = database, clock
        self._media_dir = config.data_dir / "media"
        self._lock = threading.Lock()
        self._cameras: dict[str, Camera] = {}
        self._broken: tuple[Finding, ...] = ()

    def reload(self) -> None:
        """Lets go of cameras that were removed or changed, knows those that are new."""
        wanted, broken = self._read_settings()
        with self._lock:
            gone = [name for name, camera in self._cameras.items() if wanted.get(name) != camera.config]
            closing = [self._cameras.pop(name) for name in gone]
            for name, config in wanted.items():
                if name not in self._cameras:
                    self._cameras[name] = Camera(config, self._clock, media_dir=self._media_dir)
            self._broken = broken
        for camera in closing:
            camera.close()

    def close(self) -> None:
        with self._lock:
            closing = list(self._cameras.values())
            self._cameras.clear()
        for camera in closing:
            camera.close()

    def capture(self, name: str) -> bytes:
        """A frame exposed after this call, as a JPEG or PNG file. Raises NotFound, Busy, Unavailable."""
        camera = self._get(name)
        config = camera.config
        return encode(camera.grab().pixels, config.encoding, quality=config.jpeg_quality)

    def preview(self, name: str, fps: float, width_px: int) -> Iterator[bytes]:
        """JPEG frames until the caller stops. NotFound at once, Busy and Unavailable while iterating."""
        return self._get(name).preview(fps, width_px)

    def status(self) -> list[CameraStatus]:
        with self._lock:
            return [camera.status() for _, camera in sorted(self._cameras.items())]

    def findings(self) -> list[Finding]:
        """Settings that cannot be used, and cameras that did not answer when last asked."""
        troubled = [
            Finding("camera-trouble", Severity.WARNING, f"camera {status.name}", status.problem, HINT)
            for status in self.status()
            if status.problem
        ]
        return [*self._broken, *troubled]

    def _get(self, name: str) -> Camera:
        with self._lock:
            camera = self._cameras.get(name)
        if camera is None:
            raise NotFound(f"There is no camera {name!r}.", code="unknown-camera")
        return camera

    def _read_settings(self) -> tuple[dict[str, CameraConfig], tuple[Finding, ...]]:
        with self._db.read() as reader:
            stored = settings.under(reader, "camera")
        wanted: dict[str, CameraConfig] = {}
        broken: list[Finding] = []
        for name, value in stored.items():
            try:
                wanted[name] = CameraConfig.model_validate(value)
            except ValidationError as error:
                text = f"its settings cannot be used: {error.errors()[0]['msg']}"
                hint = "Remove the camera and add it again."
                broken.append(Finding("camera-misconfigured", Severity.ERROR, f"camera {name}", text, hint))
        return wanted, tuple(broken)
