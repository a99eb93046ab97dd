"""A network camera that shows one photograph for ever (motion JPEG over HTTP)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PACE_S = 1 / 15
BOUNDARY = "frame"


@contextmanager
def bench_camera(picture: Path) -> Iterator[str]:
    """Its address while the block runs."""
    has_ended = threading.Event()
    jpeg = picture.read_bytes()

    class Frames(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.end_headers()
            part = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            with suppress(OSError):  # whoever watched has gone
                while not has_ended.wait(PACE_S):
                    self.wfile.write(part.encode() + jpeg + b"\r\n")

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is for what failed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Frames)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/plate.mjpg"
    finally:
        has_ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
