"""A camera gives fresh frames, comes back after failures, and never holds a caller longer than asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_agent.capture.camera import Camera, encode, mjpeg_part
from edge_agent.capture.driver import CameraConfig, Capture, open_capture, shown_source, why_not_open
from edge_agent.clock import Clock
from edge_agent.errors import BadInput, Busy, Unavailable
from edge_agent.listening import held_ports
from tests.waiting import WAIT_S, wait_for


def config(source: int | str = 0, **fields: Any) -> CameraConfig:
    return CameraConfig.model_validate({"name": "cam-1", "source": source, "timeout_s": 60, **fields})


def frame(shade: int) -> NDArray[np.uint8]:
    return np.full((48, 64, 3), shade, np.uint8)


def numbered(number: int) -> NDArray[np.uint8]:
    """A frame that says which one of the first 4,096 it is: a slow caller misses many."""
    pixels = frame(0)
    pixels[:] = [16 * (number >> shift & 15) + 8 for shift in (8, 4, 0)]
    return pixels


def number_of(pixels: NDArray[np.uint8]) -> int:
    """Of such a frame, also as a JPEG."""
    high, middle, low = (int(level) // 16 for level in pixels[0, 0])
    return high << 8 | middle << 4 | low


class Driver:
    """A driver in the test's hands: it delivers, fails or hangs as told, and counts what was asked of it."""

    pace_s = 0.01

    def __init__(self) -> None:
        self.opened = self.released = self.asked = self.delivered = 0
        self.works = True
        self.go_on = threading.Event()
        self.go_on.set()
        self.is_released = threading.Event()

    def open(self, _: CameraConfig, __: Path | None) -> Capture:
        self.opened += 1
        if not self.works:
            raise Busy("In use.", code="camera-busy")
        return self

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        self.asked += 1
        assert self.go_on.wait(WAIT_S)
        self.delivered += 1
        return (True, numbered(self.delivered)) if self.works else (False, None)

    def has_been_asked(self, times: int) -> bool:
        return self.asked == times

    def release(self) -> None:
        self.released += 1
        self.is_released.set()


@pytest.fixture
def driver() -> Driver:
    return Driver()


MakeCamera = Callable[..., Camera]


@pytest.fixture
def make(driver: Driver) -> Iterator[MakeCamera]:
    cameras: list[Camera] = []

    def build(*, clock: Clock | None = None, **options: Any) -> Camera:
        settings = options.pop("config", None) or config(warmup_frames=0)
        cameras.append(Camera(settings, clock or Clock(), **({"opener": driver.open} | options)))
        return cameras[-1]

    yield build
    driver.go_on.set()
    for camera in cameras:
        camera.close(WAIT_S)


def refusal(camera: Camera, timeout_s: float | None = None) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        camera.grab(timeout_s)
    return caught.value


# -- frames ----------------------------------------------------------------------------------------


def test_a_frame_is_exposed_after_the_call(make: MakeCamera, driver: Driver) -> None:
    camera = make()
    first = camera.grab()
    delivered = driver.delivered
    second = camera.grab()
    assert second.number > first.number
    assert number_of(second.pixels) > delivered
    assert second.captured_at.endswith("Z")
    assert driver.opened == 1


def test_warm_up_frames_are_thrown_away(make: MakeCamera) -> None:
    shot = make(config=config(warmup_frames=5)).grab()
    assert number_of(shot.pixels) >= 6
    assert shot.number >= 1


def test_nothing_is_opened_before_somebody_asks_and_close_lets_go(make: MakeCamera, driver: Driver) -> None:
    camera = make()
    assert (driver.opened, camera.status().is_open) == (0, False)
    camera.grab()
    assert camera.status().is_open
    camera.close(WAIT_S)
    assert driver.released == 1
    assert not camera.status().is_open
    assert camera.grab().pixels.shape == (48, 64, 3)
    assert driver.opened == 2


def test_the_camera_closes_when_nobody_asks_for_a_while(make: MakeCamera, driver: Driver) -> None:
    now = [100.0]
    camera = make(clock=Clock(monotonic=lambda: now[0]))
    camera.grab()
    now[0] += 31
    assert driver.is_released.wait(WAIT_S)
    camera.grab()
    assert driver.opened == 2


# -- failures --------------------------------------------------------------------------------------


def test_a_camera_that_cannot_be_opened_says_why_at_once(make: MakeCamera, driver: Driver) -> None:
    driver.works = False
    camera = make()
    assert refusal(camera).code_ == "camera-busy"
    assert camera.status().problem == "In use."
    driver.works = True
    assert camera.grab().number == 1
    assert camera.status().problem is None


def test_a_camera_unplugged_while_reading_is_opened_again(make: MakeCamera, driver: Driver) -> None:
    camera = make()
    camera.grab()
    driver.works = False
    assert refusal(camera).code_ in {"camera-unavailable", "camera-busy"}
    driver.works = True
    assert camera.grab().pixels.shape == (48, 64, 3)
    assert driver.released >= 1
    assert driver.opened >= 2


def test_a_driver_that_raises_is_a_camera_that_does_not_work(make: MakeCamera) -> None:
    def explode(*_: Any) -> Capture:
        raise cv2.error("inside the driver")

    assert refusal(make(opener=explode)).code_ == "camera-unavailable"


def test_a_hung_driver_never_holds_the_caller_and_is_given_up(make: MakeCamera, driver: Driver) -> None:
    now = [100.0]
    driver.go_on.clear()
    camera = make(config=config(timeout_s=1.0, warmup_frames=0), clock=Clock(monotonic=lambda: now[0]))
    assert refusal(camera, 0.01).code_ == "camera-timeout"
    for hung in range(1, 4):
        wait_for(partial(driver.has_been_asked, hung))  # it hangs by now, as the clock says
        now[0] += 10
        assert refusal(camera, 0.01).code_ == "camera-timeout"
        assert camera.status().hung_threads == hung
        code = refusal(camera, 0.01).code_
    assert code == "camera-hung"
    driver.go_on.set()


def test_closing_does_not_wait_for_a_hung_driver(make: MakeCamera, driver: Driver) -> None:
    driver.go_on.clear()
    camera = make()
    refusal(camera, 0.01)
    camera.close(0.01)
    assert not camera.status().is_open


# -- preview ---------------------------------------------------------------------------------------


def test_the_preview_yields_small_jpegs_in_order(make: MakeCamera) -> None:
    stream = make().preview(fps=1000, width_px=32)
    numbers = []
    for jpeg in (next(stream), next(stream), next(stream)):
        decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == (24, 32, 3)
        numbers.append(number_of(decoded.astype(np.uint8)))
    assert numbers == sorted(set(numbers))


def test_the_preview_raises_what_the_camera_says(make: MakeCamera, driver: Driver) -> None:
    driver.works = False
    with pytest.raises(Busy):
        next(make().preview())


def test_the_preview_of_a_camera_that_was_closed_waits_until_it_is_open_again(make: MakeCamera) -> None:
    camera = make()
    camera.grab()
    camera.close(WAIT_S)
    assert next(camera.preview())


def test_a_frame_can_be_stored_as_jpeg_or_exactly_as_png() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (40, 50, 3), np.uint8)
    png = cv2.imdecode(np.frombuffer(encode(pixels, "png"), np.uint8), cv2.IMREAD_COLOR)
    assert png is not None
    assert np.array_equal(png, pixels)
    assert encode(pixels, "jpeg", quality=30).startswith(b"\xff\xd8\xff")


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [0, 3, "rtsp://host/stream", "https://[::1]:8443/v?x=1", "/media/a.avi"])
def test_indexes_urls_and_absolute_paths_are_sources(source: int | str) -> None:
    assert config(source).source == source


@pytest.mark.parametrize(
    "source",
    [-1, 64, True, "", "0", "relative.avi", "ftp://host/x", "file:///etc/passwd", "http://", "concat:a|b",
     "videotestsrc ! appsink", "http://host:99999/", "http://host/a b", "rtsp://[broken/"],
)  # fmt: skip
def test_anything_else_is_refused(source: int | str | bool) -> None:
    with pytest.raises(ValidationError):
        config(source)


def test_a_file_is_only_opened_inside_the_media_directory(tmp_path: Path) -> None:
    outside = tmp_path / "outside.avi"
    outside.write_bytes(b"x")
    media = tmp_path / "media"
    media.mkdir()
    (media / "link.avi").symlink_to(outside)
    for source, directory in [(outside, None), (outside, media), (media / "link.avi", media)]:
        with pytest.raises(BadInput) as caught:
            open_capture(config(str(source)), directory)
        assert caught.value.code_ == "camera-source-denied"
    with pytest.raises(Unavailable) as missing:
        open_capture(config(str(media / "none.avi")), media)
    assert missing.value.code_ == "camera-not-found"


def test_credentials_are_never_shown() -> None:
    source = "rtsp://admin:geheim@cam.local:554/stream1?token=secret#geheim"
    assert shown_source(source) == "rtsp://cam.local:554/stream1"
    assert shown_source("http://u:p@[fe80::1]/x") == "http://[fe80::1]/x"
    error = why_not_open(config(source))
    assert "geheim" not in error.detail + error.hint_
    assert "secret" not in Camera(config(source), Clock()).status().source


def test_a_camera_that_is_not_there_says_so() -> None:
    with pytest.raises(Unavailable) as caught:
        open_capture(config(63), None)
    assert caught.value.code_ == "camera-not-found"


# -- real OpenCV sources ---------------------------------------------------------------------------


def test_a_real_video_file_is_read_and_repeated(tmp_path: Path, make: MakeCamera) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(4):
        writer.write(frame(60 * number + 20))
    writer.release()
    camera = make(
        config=config(str(path), warmup_frames=0, fps=1000), media_dir=tmp_path, opener=open_capture
    )
    for _ in range(12):
        shot = camera.grab()
        assert shot.pixels.shape == (48, 64, 3)
        assert min(abs(int(shot.pixels[5, 5, 0]) - shade) for shade in (20, 80, 140, 200)) < 6


class MjpegHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for _ in range(2000):
                self.wfile.write(mjpeg_part(encode(frame(120))))
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), MjpegHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_real_network_stream_is_read(server: ThreadingHTTPServer, make: MakeCamera) -> None:
    source = f"http://user:pass@127.0.0.1:{server.server_port}/stream.mjpg"
    camera = make(config=config(source, warmup_frames=0), opener=open_capture)
    assert abs(int(camera.grab().pixels[5, 5, 1]) - 120) < 6


def test_a_network_camera_that_refuses_is_unavailable(make: MakeCamera) -> None:
    with held_ports(1) as (port,):
        camera = make(config=config(f"http://127.0.0.1:{port}/stream"), opener=open_capture)
        assert refusal(camera).code_ == "camera-unavailable"
