"""Deletes a file that has been taken, and only that file, even if its name is used again meanwhile.

Rules of this file:
- Rename first, look at what was renamed, then delete: a camera that always writes `image.jpg` never loses
  the picture that came between reading and deleting.
- A crash in between leaves a file under the removal prefix; `recover` puts it back under its name, and
  whoever ingests recognises it as a duplicate.
- The sidecar goes with its picture, and never stays behind to be taken for the next picture's.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from edge_agent.capture.binding import SIDECAR_SUFFIX
from edge_agent.capture.files import move

REMOVAL_PREFIX = ".imageflow~"

Identity = tuple[int, int, int]
"""Inode, size in bytes, modification time in ns."""


def identity_of(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns


def remove(directory: Path, name: str, identity: Identity, *, sidecar: bool) -> bool:
    """Deletes `name` if it still is `identity`; False if another file has come under that name (and stays).

    Raises OSError with the file in place (or under the removal prefix, which `recover` mends).
    """
    path, removal = directory / name, _free_removal(directory, name)
    try:
        path.rename(removal)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        removal = path
    if identity_of(removal.lstat()) != identity:
        _put_back(removal)
        return False
    sidecar_path = directory / (name + SIDECAR_SUFFIX)
    sidecar_removal = removal.with_name(removal.name + SIDECAR_SUFFIX)
    if sidecar:
        with contextlib.suppress(FileNotFoundError):
            sidecar_path.rename(sidecar_removal)
    removal.unlink()
    if sidecar:
        sidecar_removal.unlink(missing_ok=True)
    return True


def recover(directory: Path, removals: Sequence[str], *, sidecars: bool) -> None:
    """Undoes what a crash left half-removed; `removals` are the names under the prefix. Raises OSError.

    A sidecar whose picture is gone for good goes too.
    """
    for removal in sorted(removals, key=len):  # a picture before its sidecar
        path = directory / removal
        picture = directory / _name_of(removal).removesuffix(SIDECAR_SUFFIX)
        is_sidecar = sidecars and removal.endswith(SIDECAR_SUFFIX)
        if is_sidecar and not picture.exists():
            path.unlink(missing_ok=True)
        else:
            _put_back(path)


def _free_removal(directory: Path, name: str) -> Path:
    """Where to rename to: a picture put aside earlier may still wait for its name to be free."""
    return next(
        path
        for number in itertools.count()
        if not os.path.lexists(path := directory / f"{REMOVAL_PREFIX}{number}~{name}")
    )


def _name_of(removal_name: str) -> str:
    return removal_name.removeprefix(REMOVAL_PREFIX).partition("~")[2]


def _put_back(removal: Path) -> None:
    if removal.name.startswith(REMOVAL_PREFIX):
        with contextlib.suppress(FileExistsError):  # that one goes first; the next look tries again
            move(removal, removal.with_name(_name_of(removal.name)))
