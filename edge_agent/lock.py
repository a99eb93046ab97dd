"""One daemon per data directory.

Rules of this file:
- The operating system holds the lock: it ends with the process, however the process ends.
- The lock file stays; only the file beside it, which names the holder for people, comes and goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.disk import disk_errors
from edge_agent.errors import Busy

LOCK_FILE = "agent.lock"
HOLDER_FILE = "agent.pid"


@contextmanager
def data_dir_lock(data_dir: Path, pid: int) -> Iterator[None]:
    """Holds the data directory for this process while the block runs; never waits.

    Raises Busy (`already-running`, with the holder's pid), Unavailable when the directory cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(data_dir / LOCK_FILE, blocking=False, mode=0o600, fallback_to_soft=False)
    with disk_errors():
        try:
            lock.acquire()
        except Timeout:
            raise already_running(data_dir) from None
    try:
        with disk_errors():
            (data_dir / HOLDER_FILE).write_text(str(pid), "ascii")
        yield
    finally:
        (data_dir / HOLDER_FILE).unlink(missing_ok=True)
        lock.release()


def is_running(data_dir: Path) -> bool:
    """Whether some process holds the data directory now."""
    from filelock import FileLock, Timeout

    if not (data_dir / LOCK_FILE).exists():
        return False
    try:
        with FileLock(data_dir / LOCK_FILE, blocking=False, mode=0o600, fallback_to_soft=False):
            return False
    except Timeout:
        return True


def already_running(data_dir: Path) -> Busy:
    holder = holder_pid(data_dir)
    named = f"process {holder}" if holder else "another process"
    return Busy(
        f"An agent already runs on {data_dir} ({named}).",
        code="already-running",
        hint="Use that one, or stop it first; two agents never share a data directory.",
        pid=holder,
    )


def holder_pid(data_dir: Path) -> int | None:
    """The pid the holder wrote down; None if nobody did."""
    try:
        return int((data_dir / HOLDER_FILE).read_text("ascii"))
    except (OSError, ValueError):
        return None
