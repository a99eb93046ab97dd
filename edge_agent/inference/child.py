"""The inference process: reads lines of JSON on its input, answers lines of JSON on its output.

Rules of this file:
- The pipe to the daemon is a private copy of standard output; whatever prints (native code too) goes
  to standard error and cannot corrupt an answer.
- One thread reads, so that the end of the input (the daemon is gone) ends the process at once, even in
  the middle of a network's run. One thread works, in the order asked; one tells the daemon meanwhile that
  the picture has decoded: waking the daemon cost the verdict up to a millisecond.
- Pictures are drawn between jobs: they wait while somebody waits for a verdict, but never pile up
  beyond `MAX_DRAWINGS` or `MAX_DRAWING_BYTES`. None is dropped but thumbnails, which are made again when
  somebody asks for them.
- Interrupt and termination signals are the daemon's affair: it lets this process finish its work.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from edge_agent.inference.wire import MAX_LINE_BYTES, Message, decode, encode, error_document

if TYPE_CHECKING:
    from edge_agent.inference.workbench import Drawing, Workbench

LULL_S = 0.02
"""A verdict is worth more than a picture: drawing begins when no job has come for so long."""
MAX_DRAWINGS = 4
MAX_DRAWING_BYTES = 64 << 20
PR_SET_PDEATHSIG = 1


class Channel:
    """The way back to the daemon. Answers leave in the order in which they were given."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._kept: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._is_told = threading.Semaphore(0)

    def start(self) -> None:
        threading.Thread(target=self._tell, name="tell", daemon=True).start()

    def send(self, serial: int, event: str, **fields: object) -> None:
        """One answer; raises ValueError for what is not JSON and OSError when the daemon is gone."""
        self.keep(serial, event, **fields)
        self._flush()

    def tell(self, serial: int, event: str, **fields: object) -> None:
        """One answer that the caller need not see off: another thread writes it while this one works on."""
        self.keep(serial, event, **fields)
        self._is_told.release()

    def keep(self, serial: int, event: str, **fields: object) -> None:
        """An answer nobody waits for: it goes with the next one."""
        self._kept.append(encode({"id": serial, "event": event, **fields}))

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # the daemon is gone, and so are we
            while self._is_told.acquire():
                self._flush()

    def _flush(self) -> None:
        with self._writing:
            lines = memoryview(b"".join(self._kept.popleft() for _ in range(len(self._kept))))
            while lines:
                lines = lines[os.write(self._descriptor, lines) :]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="edge_agent.inference.child")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache-dir", type=Path)
    options = parser.parse_args(arguments)
    channel = Channel(_take_output())
    channel.start()
    _leave_signals_to_the_daemon()
    inbox: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=_receive, args=(inbox,), daemon=True).start()

    from edge_agent.inference.workbench import Workbench  # heavy, and only now may it print

    _serve(inbox, channel, Workbench(options.threads, options.cache_dir))
    return 0


def _take_output() -> int:
    """A private copy of standard output, which from now on is standard error."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return descriptor


def _leave_signals_to_the_daemon() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _receive(inbox: SimpleQueue[Message]) -> None:
    stream = sys.stdin.buffer
    try:
        while line := stream.readline(MAX_LINE_BYTES):
            message = decode(line)
            message["picture"] = stream.read(message["follows"])
            inbox.put(message)
    finally:
        os._exit(0)


def _serve(inbox: SimpleQueue[Message], channel: Channel, bench: Workbench) -> None:
    drawings: deque[Drawing] = deque()
    while True:
        try:
            message = inbox.get(timeout=LULL_S if drawings else None)
        except Empty:
            _draw(drawings.popleft(), channel)
            continue
        drawing = _answer(message, channel, bench)
        if drawing:
            drawings.append(drawing)
        while _is_too_much(drawings):
            _make_room(drawings, channel)


def _make_room(drawings: deque[Drawing], channel: Channel) -> None:
    oldest = drawings.popleft()
    if oldest.is_spare:
        tell = channel.keep if drawings else channel.send  # what is left to draw has an answer coming
        tell(oldest.serial, "rendered", paths=[])
    else:
        _draw(oldest, channel)


def _is_too_much(drawings: deque[Drawing]) -> bool:
    held = sum(drawing.pixels.nbytes for drawing in drawings)
    return len(drawings) > MAX_DRAWINGS or held > MAX_DRAWING_BYTES


def _answer(message: Message, channel: Channel, bench: Workbench) -> Drawing | None:
    serial = int(message["id"])
    try:
        if message["op"] == "configure":
            channel.send(serial, "configured", faults=bench.configure(message))
        elif message["op"] == "job":
            pixels = bench.decode_job(message)
            channel.tell(serial, "decoded", width_px=pixels.shape[1], height_px=pixels.shape[0])
            result, drawing = bench.judge(serial, pixels, message)
            channel.send(serial, "result", result=result)
            return drawing
        else:
            from edge_agent.inference.requests import answer

            value = answer(bench, message["kind"], message["arguments"])
            channel.send(serial, "answered", value=value)
    except Exception as error:  # whatever a job does wrong is its own failure, not the process's
        channel.send(serial, "failed", error=error_document(error))
    return None


def _draw(drawing: Drawing, channel: Channel) -> None:
    try:
        channel.send(drawing.serial, "rendered", paths=drawing.write())
    except Exception as error:  # a picture less is no reason to lose the process
        channel.send(drawing.serial, "rendered", error=error_document(error))


if __name__ == "__main__":
    sys.exit(main())
