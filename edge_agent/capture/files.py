"""Reads and moves the files of other programs without harm.

Rules of this file:
- Links are never followed, and only regular files are read.
- A crash leaves a moved file at the old place, at the new one, or at both; never at neither.
- Nothing is ever replaced: a target that exists is FileExistsError.
- Between file systems: copy under a temporary name, fsync, rename, then remove the source.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EACCES}


def read_regular(path: Path, at_most: int | None = None) -> tuple[bytes, os.stat_result]:
    """The bytes (at most so many) and the status after reading; OSError unless a regular file."""
    flags = os.O_RDONLY | _flag("O_NOFOLLOW") | _flag("O_NONBLOCK") | _flag("O_BINARY")
    with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        data = file.readall() if at_most is None else file.read(at_most)
        return data, os.fstat(file.fileno())


def _flag(name: str) -> int:
    return int(getattr(os, name, 0))


def move(source: Path, target: Path) -> None:
    """Moves a regular file; both places may be on different file systems.

    Raises FileExistsError, FileNotFoundError, or another OSError with the source still in place.
    """
    try:
        _rename_new(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        source.unlink()


def sync_directory(directory: Path) -> None:
    """Makes names just created in `directory` survive a power cut (Windows does so by itself)."""
    if os.name == "nt":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rename_new(source: Path, target: Path) -> None:
    """Rename that never replaces: by hard link where there are links, else checked just before."""
    if os.name == "nt":
        source.rename(target)
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        if not os.path.samestat(source.lstat(), target.lstat()):
            raise
        # both names are one file: a crash came between the link and the unlink of an earlier move
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if target.exists() or target.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target)) from None
        source.rename(target)
        return
    source.unlink()


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(f".{target.name[:200]}.part")
    try:
        with source.open("rb") as reader, partial.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
        shutil.copystat(source, partial)
        _rename_new(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(target.parent)
