"""What lies in a hot folder, and how long each file has stood still.

Rules of this file:
- Everything here is rebuilt from the directory; losing it costs one settle time and nothing else.
- A file is due when two looks, `settle_s` apart, saw the same size and time, or when its writer was seen
  closing it. Old times prove nothing: copying tools set them before or after the bytes.
- One pass over the directory per look, one status call per file, one sort per look.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.capture.binding import SIDECAR_SUFFIX
from edge_agent.capture.removal import REMOVAL_PREFIX

MAX_WAIT_S = 30.0

_TEMPORARY_SUFFIXES = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(slots=True)
class Sighting:
    """A file's size and time, since when they have been so, and when to read it (monotonic seconds)."""

    size: int
    mtime_ns: int
    since: float
    due: float
    wait_s: float = 0.0

    def looks_like(self, status: os.stat_result) -> bool:
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Contents:
    """One pass over the directory: regular files, half-removed files, and names of what is neither."""

    files: Mapping[str, os.stat_result] = field(default_factory=dict)
    removals: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class Listing:
    """The files of one folder by name; `sidecars` says that NAME.json is no picture but belongs to NAME."""

    def __init__(self, settle_s: float, *, sidecars: bool) -> None:
        self._settle_s = settle_s
        self._sidecars = sidecars
        self._seen: dict[str, Sighting] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def __getitem__(self, name: str) -> Sighting:
        return self._seen[name]

    def look(self, files: Mapping[str, os.stat_result], closed: AbstractSet[str], now: float) -> list[str]:
        """Takes in what is there now; returns the names that are due, oldest first.

        `closed` names files (or sidecars) whose writer closed them since the last look.
        """
        self._seen = {
            name: self._sight(name, status, closed, now)
            for name, status in files.items()
            if not (self._sidecars and name.endswith(SIDECAR_SUFFIX))
        }
        due = [name for name, seen in self._seen.items() if seen.due <= now]
        due.sort(key=lambda name: (self._seen[name].mtime_ns, name))
        return due

    def _sight(self, name: str, status: os.stat_result, closed: AbstractSet[str], now: float) -> Sighting:
        seen = self._seen.get(name)
        if seen is None or not seen.looks_like(status):
            seen = Sighting(status.st_size, status.st_mtime_ns, now, now + self._settle_s)
        if name in closed or (self._sidecars and name + SIDECAR_SUFFIX in closed):
            seen.due = now
        return seen

    def forget(self, name: str) -> None:
        """It is gone, or begins anew with the next look."""
        self._seen.pop(name, None)

    def forget_all(self) -> None:
        self._seen.clear()

    def postpone(self, name: str, now: float, at_most_s: float = MAX_WAIT_S) -> None:
        """Not usable yet: to be read again after twice the last wait, from settle_s up to 30 s."""
        seen = self._seen[name]
        seen.wait_s = min(max(2 * seen.wait_s, self._settle_s, 0.1), MAX_WAIT_S)
        seen.due = now + min(seen.wait_s, at_most_s)

    def next_due(self) -> float | None:
        return min((seen.due for seen in self._seen.values()), default=None)


def read_directory(directory: Path) -> Contents:
    """One pass, temporaries left out; raises OSError when the directory cannot be read."""
    files: dict[str, os.stat_result] = {}
    removals: list[str] = []
    ignored: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(REMOVAL_PREFIX):
                removals.append(entry.name)
            elif not is_temporary(entry.name):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    files[entry.name] = status
                else:
                    ignored.append(entry.name)
    return Contents(files, tuple(removals), tuple(ignored))


def is_temporary(name: str) -> bool:
    """Files that programs write under a passing name, and what the desktop leaves behind."""
    lower = name.lower()
    return name.startswith((".", "~")) or lower.endswith(_TEMPORARY_SUFFIXES) or lower in _SYSTEM_FILES
