"""Takes pictures from a camera by index or URL, and never waits for one longer than asked.

Rules of this file:
- Only the capture thread touches the driver: a driver that hangs costs a thread, never a caller.
- `grab` answers with a frame exposed after the call; the preview shows the latest there is.
- The camera opens on demand and closes when nobody has asked for a while: idle costs nothing.
- User names, passwords and queries of a URL are never logged, shown or put into an error.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.capture.driver import CameraConfig, Capture, open_capture, shown_source
from edge_agent.clock import Clock
from edge_agent.errors import AgentError, Unavailable

if TYPE_CHECKING:
    from edge_agent.inference.values import Pixels

IDLE_S = 30.0
MAX_BACKOFF_S = 10.0
MAX_HUNG_THREADS = 3
BOUNDARY = "frame"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One frame, H×W×3 uint8 BGR; `captured_at` RFC 3339; `number` counts frames since the agent's start."""

    pixels: Pixels
    captured_at: str
    number: int


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """`source` without credentials; `problem` is None while all is well or nobody has asked; `width_px` and
    `height_px` as wished."""

    name: str
    source: str
    width_px: int | None
    height_px: int | None
    is_open: bool
    frames: int
    hung_threads: int
    problem: str | None


class Camera:
    """One camera, shared by all who ask; `close` it at the end. Safe from any thread."""

    def __init__(
        self,
        config: CameraConfig,
        clock: Clock,
        *,
        media_dir: Path | None = None,
        opener: Callable[[CameraConfig, Path | None], Capture] = open_capture,
    ) -> None:
        self.config = config
        self._clock = clock
        self._media_dir = media_dir
        self._opener = opener
        self._changed = threading.Condition()
        self._session: _Session | None = None
        self._latest: Shot | None = None
        self._frames = 0
        self._failures = 0
        self._problem: AgentError | None = None
        self._asked_at = 0.0
        self._hung = 0

    def grab(self, timeout_s: float | None = None) -> Shot:
        """A frame exposed after this call.

        Raises Unavailable (`camera-timeout`, `camera-not-found`, `camera-denied`, `camera-unavailable`,
        `camera-hung`) or Busy `camera-busy` within `timeout_s` (default: the configuration's).
        """
        wait_s = self.config.timeout_s if timeout_s is None else timeout_s
        with self._changed:
            # The frame being read now may have been exposed before the call: the one after it was not.
            wanted, failures = self._frames + (2 if self._latest else 1), self._failures
            self._demand()
            self._changed.wait_for(partial(self._has_news, wanted - 1, failures), wait_s)
            if self._frames >= wanted and self._latest is not None:
                return self._latest
            if self._failures > failures and self._problem is not None:
                raise self._problem
            self._abandon_if_hung()
            raise self._timeout(wait_s)

    def _has_news(self, after_frame: int, after_failure: int) -> bool:
        is_newer = self._latest is not None and self._latest.number > after_frame
        return is_newer or self._failures > after_failure

    def preview(self, fps: float = 10.0, width_px: int = 640) -> Iterator[bytes]:
        """JPEG frames of at most that width and rate, until the caller stops iterating; raises as `grab`."""
        number, pause = 0, threading.Event()
        while True:
            with self._changed:
                news = partial(self._has_news, number, self._failures)
                self._demand()
                fresh = self._changed.wait_for(news, self.config.timeout_s)
                shot, problem = self._latest, self._problem
            if not fresh or shot is None or shot.number <= number:
                raise problem or self._timeout(self.config.timeout_s)
            number = shot.number
            yield encode(_narrowed(shot.pixels, width_px), "jpeg", quality=80)
            pause.wait(1 / fps)

    def status(self) -> CameraStatus:
        with self._changed:
            return CameraStatus(
                self.config.name,
                shown_source(self.config.source),
                self.config.width_px,
                self.config.height_px,
                self._session is not None and self._latest is not None,
                self._frames,
                self._hung,
                self._problem.detail if self._problem else None,
            )

    def close(self, timeout_s: float = 2.0) -> None:
        """Lets go of the camera; a hung driver keeps its thread, which ends with the process."""
        with self._changed:
            session, self._session = self._session, None
            if session is not None:
                session.end()
            self._latest = None
        if session is not None:
            session.thread.join(timeout_s)

    # -- called with the condition held -------------------------------------------------------------

    def _demand(self) -> None:
        self._asked_at = self._clock.monotonic()
        if self._session is not None:
            self._session.retry.set()
            return
        if self._hung >= MAX_HUNG_THREADS:
            raise Unavailable(
                f"The driver of camera {self.config.name!r} hangs and does not come back.",
                code="camera-hung",
                hint="Unplug the camera and plug it in again, then restart the agent.",
            )
        self._session = _Session(self)
        self._session.thread.start()

    def _abandon_if_hung(self) -> None:
        """A driver call that outlasted two timeouts is given up; the next caller gets a new thread."""
        session = self._session
        if session is None or self._clock.monotonic() - session.alive_at < 2 * self.config.timeout_s:
            return
        session.end()
        self._session, self._latest = None, None
        self._hung += 1
        _log.warning("camera %s: the driver hangs, its thread is given up", self.config.name)

    def _timeout(self, wait_s: float) -> Unavailable:
        return Unavailable(
            f"Camera {self.config.name!r} gave no picture within {wait_s:g} s.",
            code="camera-timeout",
            hint="Check cable, power and network of the camera, then try again.",
        )

    # -- called by the capture thread -----------------------------------------------------------------

    def _open(self) -> Capture:
        return self._opener(self.config, self._media_dir)

    def _is_wanted(self) -> bool:
        return self._clock.monotonic() - self._asked_at < IDLE_S

    def _arrived(self, session: _Session, pixels: Pixels) -> None:
        with self._changed:
            if self._session is not session:
                return
            self._frames += 1
            self._latest = Shot(pixels, self._clock.now(), self._frames)
            if self._problem is not None:
                _log.info("camera %s: works again", self.config.name)
                self._problem = None
            self._changed.notify_all()

    def _failed(self, session: _Session, error: AgentError) -> None:
        with self._changed:
            if self._session is not session:
                return
            if self._problem is None:
                _log.warning("camera %s: %s", self.config.name, error.detail)
            self._problem, self._latest = error, None
            self._failures += 1
            self._changed.notify_all()

    def _ended(self, session: _Session) -> bool:
        """Lets the thread go unless somebody asked again in the meantime; True if it may end."""
        with self._changed:
            if self._session is session:
                if self._is_wanted() and not session.stop.is_set():
                    return False
                self._session, self._latest = None, None
            elif session.stop.is_set() and self._hung and session.was_hung(self.config.timeout_s):
                self._hung -= 1  # it came back after all
            return True


class _Session:
    """One capture thread: opens, reads, and opens again after a failure, with growing pauses."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._clock = camera._clock
        self.stop = threading.Event()
        self.retry = threading.Event()
        self.alive_at = self._clock.monotonic()
        self._longest_s = 0.0
        self.thread = threading.Thread(target=self._run, name=f"camera-{camera.config.name}", daemon=True)

    def end(self) -> None:
        self.stop.set()
        self.retry.set()

    def was_hung(self, timeout_s: float) -> bool:
        return self._longest_s >= 2 * timeout_s

    def _run(self) -> None:
        backoff_s = 0.5
        while not self.stop.is_set():
            self.retry.clear()
            frames = self._read_until_failure()
            if self.stop.is_set() or not self._camera._is_wanted():
                if self._camera._ended(self):
                    return
                continue
            backoff_s = 0.5 if frames else min(2 * backoff_s, MAX_BACKOFF_S)
            self.retry.wait(backoff_s)  # a new demand or the end cuts it short
            self._alive()
        self._camera._ended(self)

    def _read_until_failure(self) -> int:
        """Opens, reads while wanted, and reports why it ended; the number of frames delivered."""
        config, frames, capture = self._camera.config, 0, None
        try:
            capture = self._camera._open()
            self._alive()
            while not self.stop.is_set() and self._camera._is_wanted():
                arrived, pixels = capture.read()
                self._alive()
                if not arrived or pixels is None or not pixels.size:
                    raise Unavailable(
                        f"Camera {config.name!r} stopped delivering pictures.",
                        code="camera-unavailable",
                        hint="Check cable, power and network of the camera, then try again.",
                    )
                frames += 1
                if frames > config.warmup_frames:
                    self._camera._arrived(self, pixels)
                if capture.pace_s:
                    self.stop.wait(capture.pace_s)
        except AgentError as error:
            self._camera._failed(self, error)
        except Exception as error:  # whatever a driver throws is a camera that does not work
            _log.exception("camera %s: driver error", config.name)
            self._camera._failed(
                self,
                Unavailable(
                    f"The driver of camera {config.name!r} failed: {type(error).__name__}.",
                    code="camera-unavailable",
                ),
            )
        finally:
            if capture is not None:
                capture.release()
        return frames

    def _alive(self) -> None:
        now = self._clock.monotonic()
        self._longest_s, self.alive_at = max(self._longest_s, now - self.alive_at), now


def encode(pixels: Pixels, kind: str = "jpeg", *, quality: int = 92) -> bytes:
    """`pixels` as a JPEG (quality 1–100) or PNG file."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if kind == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    done, data = cv2.imencode({"jpeg": ".jpg", "png": ".png"}[kind], pixels, options)
    if not done:
        raise Unavailable(f"The frame could not be written as {kind}.", code="camera-unavailable")
    return data.tobytes()


def mjpeg_part(jpeg: bytes) -> bytes:
    """One part of a `multipart/x-mixed-replace; boundary=frame` stream."""
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"


def _narrowed(pixels: Pixels, width_px: int) -> Pixels:
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    if width <= width_px:
        return pixels
    size = (width_px, max(1, round(height * width_px / width)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
