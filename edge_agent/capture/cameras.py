"""All cameras of this installation, by name, following the settings.

Rules of this file:
- The settings (`camera.NAME` in system_config) are the truth; a camera opens when it is first asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from edge_agent.capture.camera import Camera, CameraStatus, encode
from edge_agent.capture.driver import CameraConfig
from edge_agent.clock import Clock
from edge_agent.errors import NotFound
from edge_agent.store import settings
from edge_agent.store.database import Database


class Cameras:
    """Opens cameras on demand; `reload` after every change of their settings."""

    def __init__(self, database: Database, clock: Clock, media_dir: Path) -> None:
        self._db, self._clock, self._media_dir = database, clock, media_dir
        self._lock = threading.Lock()
        self._cameras: dict[str, Camera] = {}

    def reload(self) -> None:
        """Closes cameras that were removed or changed; the others go on."""
        with self._db.read() as reader:
            stored = settings.under(reader, "camera")
        wanted = {
            name: CameraConfig.model_validate({**value, "name": name}) for name, value in stored.items()
        }
        with self._lock:
            for name in [n for n, camera in self._cameras.items() if wanted.get(n) != camera.config]:
                self._cameras.pop(name).close()
            for name, config in wanted.items():
                if name not in self._cameras:
                    self._cameras[name] = Camera(config, self._clock, media_dir=self._media_dir)

    def capture(self, name: str) -> bytes:
        """A fresh frame as PNG. Raises NotFound, and what `Camera.grab` raises."""
        return encode(self._get(name).grab().pixels, "png")

    def preview(self, name: str) -> Iterator[bytes]:
        """JPEG frames until the caller stops. Raises NotFound, and what `Camera.grab` raises."""
        return self._get(name).preview()

    def status(self) -> list[CameraStatus]:
        with self._lock:
            return [camera.status() for camera in self._cameras.values()]

    def close(self) -> None:
        with self._lock:
            for camera in self._cameras.values():
                camera.close()
            self._cameras.clear()

    def _get(self, name: str) -> Camera:
        with self._lock:
            camera = self._cameras.get(name)
        if camera is None:
            raise NotFound(f"There is no camera {name!r}.", code="unknown-camera")
        return camera
