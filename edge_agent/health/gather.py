"""Gathering the facts of this moment, cheaply enough to be asked every few seconds.

Rules of this file:
- Looks and decides nothing; no query reads more than a handful of rows, and no file is opened per record.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from edge_agent.backup.rotation import in_order, made_at
from edge_agent.config import Config
from edge_agent.errors import Problem
from edge_agent.health.facts import Facts
from edge_agent.store import masters, vitals
from edge_agent.store.database import library_version


def gather(
    config: Config,
    reader: sqlite3.Connection,
    now_s: float,
    *,
    backup_names: Iterable[str] = (),
    server_configured: bool = False,
    worker_state: str = "ok",
    worker_restarts: int = 0,
    worker_failure: str | None = None,
    unreachable_folders: Collection[str] = (),
    pipeline_problems: Mapping[str, Sequence[Problem]] | None = None,
) -> Facts:
    """The facts of this moment; what only the daemon's parts know is passed in."""
    used = disk_use(config.data_dir)
    pulse = vitals.vitals(reader)
    backups = in_order(backup_names)
    return Facts(
        now_s=now_s,
        sqlite_version=library_version(),
        disk_total_bytes=used[0] if used else None,
        disk_used_bytes=used[1] if used else None,
        file_system=file_system_of(config.data_dir),
        data_dir_mode=data_dir_mode(config.data_dir),
        newest_record_at=pulse.newest_record_at,
        first_record_at=pulse.first_record_at,
        oldest_unsynced_at=pulse.oldest_unsynced_at,
        dead_entries=pulse.dead_entries,
        dead_blobs=pulse.dead_blobs,
        server_configured=server_configured,
        calibrations={row["name"]: row["valid_until"] for row in masters.list_calibrations(reader)},
        newest_backup_s=made_at(backups[-1]) if backups else None,
        backup_keep=config.backup_keep,
        quarantined=quarantined(config.data_dir),
        worker_state=worker_state,
        worker_restarts=worker_restarts,
        worker_failure=worker_failure,
        unreachable_folders=tuple(unreachable_folders),
        pipeline_problems=pipeline_problems or {},
    )


def disk_use(path: Path) -> tuple[int, int] | None:
    """(total, used) bytes as the agent's user sees them: what is reserved for root counts as used."""
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return usage.total, usage.total - usage.free


def percent_used(path: Path) -> float:
    """How full the disk is as the agent's user sees it; 0 when it cannot be told."""
    total, used = disk_use(path) or (0, 0)
    return 100 * used / total if total else 0.0


def data_dir_mode(path: Path) -> int | None:
    """Permission bits, or None where they mean nothing (Windows)."""
    try:
        return None if os.name == "nt" else stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def quarantined(data_dir: Path) -> int:
    """Pictures set aside: each has a directory of its own, and none is opened."""
    try:
        with os.scandir(data_dir / "quarantine") as places:
            return sum(place.is_dir() for place in places)
    except FileNotFoundError:
        return 0


def file_system_of(path: Path) -> str | None:
    """The type of the file system that holds `path`, as the kernel calls it; None where it cannot be told."""
    if sys.platform == "win32":
        return "smbfs" if str(path.resolve()).startswith("\\\\") else None
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    return mounted_as(mounts, str(path.resolve()))


def mounted_as(mountinfo: str, path: str) -> str | None:
    """The type of the mount that holds `path`, from the text of /proc/self/mountinfo (proc(5))."""
    best, found = "", None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        holds = point in ("/", path) or path.startswith(f"{point}/")
        if holds and len(point) >= len(best):
            best, found = point, after.split(" ")[0]
    return found
