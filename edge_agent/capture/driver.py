"""What a camera is called in the settings, and how OpenCV opens it.

Rules of this file:
- A source is an index, a URL of an allowed scheme, or a file inside the media directory; nothing else
  reaches OpenCV, which would also run pipelines and read any file.
- Credentials belong in the URL of the settings and nowhere else: `shown_source` is what people and logs see.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from edge_agent.errors import BadInput, Busy, Unavailable

if TYPE_CHECKING:
    from edge_agent.inference.values import Pixels

SCHEMES = frozenset({"rtsp", "rtsps", "http", "https"})
FILE_FPS = 25.0
Source = Annotated[int, Field(ge=0, le=63, strict=True)] | Annotated[str, Field(max_length=1024)]


class CameraConfig(BaseModel):
    """One camera. `source`: index (0, 1, …), URL (rtsp, rtsps, http, https) or a video file's path inside
    the media directory. `width_px`, `height_px`, `fps` are wishes the driver may not fulfil;
    `warmup_frames` are thrown away after opening (exposure settles); `timeout_s` is the longest wait for
    a frame; `encoding` and `jpeg_quality` say how a grabbed frame is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    source: Source
    width_px: Annotated[int, Field(gt=0, le=20000)] | None = None
    height_px: Annotated[int, Field(gt=0, le=20000)] | None = None
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    warmup_frames: Annotated[int, Field(ge=0, le=300)] = 3
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    encoding: Literal["jpeg", "png"] = "jpeg"
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 92

    @field_validator("source")
    @classmethod
    def _source_is_allowed(cls, source: int | str) -> int | str:
        if isinstance(source, int) or Path(source).is_absolute():
            return source
        try:
            parts = urlsplit(source)
            is_url = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url or any(letter <= " " for letter in source):
            raise ValueError(f"give an index, an absolute file path, or a URL: {', '.join(sorted(SCHEMES))}")
        return source


class Capture(Protocol):
    """An open camera. `pace_s` seconds between frames for sources that would run as fast as they can read."""

    pace_s: float

    def read(self) -> tuple[bool, Pixels | None]: ...
    def release(self) -> None: ...


class OpenCvCapture:
    """cv2.VideoCapture as a Capture."""

    def __init__(self, config: CameraConfig) -> None:
        import cv2

        source = config.source
        wait_ms = int(config.timeout_s * 1000)
        waits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait_ms]
        self._is_file = is_file = isinstance(source, str) and Path(source).is_absolute()
        self._first_frame = cv2.CAP_PROP_POS_FRAMES
        self.pace_s = 1 / (config.fps or FILE_FPS) if is_file else 0.0
        self._capture = (
            cv2.VideoCapture(source, cv2.CAP_ANY)
            if isinstance(source, int) or is_file
            else cv2.VideoCapture(source, cv2.CAP_FFMPEG, waits)
        )
        if isinstance(source, int):
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for setting, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, config.width_px),
            (cv2.CAP_PROP_FRAME_HEIGHT, config.height_px),
            (cv2.CAP_PROP_FPS, config.fps),
        ):
            if value is not None:
                self._capture.set(setting, value)

    @property
    def is_open(self) -> bool:
        return bool(self._capture.isOpened())

    def read(self) -> tuple[bool, Pixels | None]:
        arrived, pixels = self._capture.read()
        if not arrived and self._is_file and self._capture.set(self._first_frame, 0):  # it begins again
            arrived, pixels = self._capture.read()
        return arrived, cast("Pixels", pixels)

    def release(self) -> None:
        self._capture.release()


def open_capture(config: CameraConfig, media_dir: Path | None) -> Capture:
    """Opens the camera; a video file only inside `media_dir` (None: no files).

    Raises BadInput `camera-source-denied`, Unavailable (`camera-not-found`, `camera-denied`,
    `camera-unavailable`), Busy `camera-busy`.
    """
    _check_file(config, media_dir)
    capture = OpenCvCapture(config)
    if not capture.is_open:
        capture.release()
        raise why_not_open(config)
    return capture


def why_not_open(config: CameraConfig) -> Unavailable:
    """The likeliest reason that OpenCV could not open the source, from what the system says of it."""
    name, source = config.name, config.source
    device = Path(f"/dev/video{source}")
    if isinstance(source, str):
        return Unavailable(
            f"Camera {name!r} at {shown_source(source)} does not answer.",
            code="camera-unavailable",
            hint="Check the address, user name, password, power and network of the camera.",
        )
    if not sys.platform.startswith("linux"):
        return Busy(f"Camera {name!r} cannot be opened.", code="camera-busy")
    if not device.exists():
        return Unavailable(
            f"There is no camera number {source} on this machine.",
            code="camera-not-found",
            hint="Plug the camera in, or choose another number.",
        )
    if not os.access(device, os.R_OK | os.W_OK):
        return Unavailable(
            f"The agent may not use camera number {source}.",
            code="camera-denied",
            hint="Add the agent's user to the group `video` and restart the agent.",
        )
    return Busy(f"Camera number {source} is in use, or is no camera that takes pictures.", code="camera-busy")


def shown_source(source: int | str) -> str:
    """The source without user name, password and query."""
    if isinstance(source, int):
        return str(source)
    if Path(source).is_absolute():
        return Path(source).name
    parts = urlsplit(source)
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{place}{port}{parts.path}"


def _check_file(config: CameraConfig, media_dir: Path | None) -> None:
    source = config.source
    if isinstance(source, int) or not Path(source).is_absolute():
        return
    if media_dir is None or not Path(source).resolve().is_relative_to(media_dir.resolve()):
        raise BadInput(
            f"The video file of camera {config.name!r} is not inside the media directory.",
            code="camera-source-denied",
            hint="Put the file into the media directory, or use an index or a URL.",
        )
    if not Path(source).is_file():
        raise Unavailable(
            f"The video file {shown_source(source)} does not exist.",
            code="camera-not-found",
            hint="Put the file back, or choose another source.",
        )
