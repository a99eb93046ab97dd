"""One inference process as the daemon holds it: started, written to, killed.

Rules of this file:
- Standard library only. `flush` may be called from any thread; lines leave whole and in the order
  they were put into `outbox`, and no caller waits for another's write. A child reads whatever else it
  does; one that hangs is killed at its deadline, which ends the write too.
- The thread that starts a process must outlive it: on Linux the child dies with that thread.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

if sys.platform == "linux":
    import fcntl

STOP_S = 2.0
PIPE_BYTES = 1 << 20
"""What most pictures fit into: whoever hands one over does not wait for the process to read it."""
LEAN_MEMORY = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class ChildProcess:
    """A running child with pipes on its standard input and output; its stderr is the daemon's."""

    def __init__(self, command: Sequence[str]) -> None:
        """Starts `command`; raises OSError when it cannot be started."""
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=-1,
            env={**os.environ, **LEAN_MEMORY, "PYTHONUNBUFFERED": "1"},
        )
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # it works without, in more and smaller bites
                fcntl.fcntl(self._input, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.outbox: deque[bytes] = deque()
        self._writing = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def flush(self) -> None:
        """Writes what is in the outbox; a broken pipe is left to the reader, which sees the end."""
        stream = self._input
        while self.outbox and self._writing.acquire(blocking=False):
            try:
                while self.outbox:
                    stream.write(self.outbox.popleft())
                stream.flush()
            except (OSError, ValueError):
                self.outbox.clear()
            finally:
                self._writing.release()

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> int:
        """Waits for the process to end, killing it when it does not, and closes the pipes: its exit code."""
        self.hang_up()
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.output.close()
        return code

    def hang_up(self) -> None:
        """Closes the child's input, which tells it to end."""
        try:
            self._input.close()
        except (OSError, ValueError):  # it has gone already, with bytes unread
            return

    def rss_bytes(self) -> int | None:
        """Memory held by the process; None where the system does not say it as Linux does."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")
