"""What the disk does to us, and making bytes durable on it.

Rules of this file:
- Standard library only. An OSError of our own disk becomes ours here: what the operator can do about it.
- A file is durable when its bytes and the names in its directory are.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.errors import Unavailable

NO_SPACE = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


@contextmanager
def disk_errors() -> Iterator[None]:
    """Maps OSError of the data directory to what the operator can do about it."""
    try:
        yield
    except OSError as error:
        raise disk_error(error) from error


def disk_error(error: OSError) -> Unavailable:
    """What a failed write means for the operator."""
    if error.errno in NO_SPACE:
        return Unavailable(
            "The disk is full; nothing was stored.",
            code="disk-full",
            hint="Free disk space, then try again; nothing already stored was lost.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return Unavailable(
            f"The data directory cannot be written ({error.strerror}).",
            code="data-dir-read-only",
            hint="Let the agent's user write to the data directory, then start it again.",
        )
    return Unavailable(
        f"The disk did not do what it was asked ({error.strerror}).",
        code="disk-error",
        hint="Check the disk's health and free space, then try again.",
    )


def sync_file(path: Path) -> None:
    """Makes the bytes of a file durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable. Raises OSError."""
    if os.name == "nt":  # Windows has no directory handles to sync; NTFS journals the rename
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Makes every file and folder below `folder`, and itself, durable. Raises OSError."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_file(Path(place) / name)
        sync_directory(Path(place))
