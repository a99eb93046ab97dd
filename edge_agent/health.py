"""What a technician should know now: facts gathered cheaply, judged by pure functions.

Rules of this file:
- `findings` decides and touches nothing; `gather` looks and decides nothing. A fact that could not be had is
  None and never an alarm by itself.
- Cheap enough to be asked every few seconds: no query reads more than a handful of rows.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.backup.rotation import made_at
from edge_agent.clock import from_rfc3339
from edge_agent.config import Config
from edge_agent.errors import Problem
from edge_agent.models import Finding, Severity
from edge_agent.store import masters, vitals
from edge_agent.store.database import has_wal_reset_bug

CLOCK_TOLERANCE_S = 60.0
BACKUP_AGE_S = 2 * 86_400.0
UNSYNCED_AGE_S = 86_400.0
EXPIRES_SOON_S = 14 * 86_400.0
DISK_LEVELS = ((95, Severity.ERROR), (90, Severity.WARNING), (80, Severity.INFO))
NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs4 cifs smb3 smbfs ncpfs afs ceph glusterfs lustre 9p fuse.sshfs fuse.glusterfs webdav".split()
)


@dataclass(frozen=True, slots=True)
class Facts:
    """`*_at` RFC 3339; `*_s` Unix seconds or seconds; None = not known or not there."""

    now_s: float
    sqlite_version: tuple[int, int, int]
    disk_total_bytes: int | None = None
    disk_used_bytes: int | None = None
    file_system: str | None = None
    data_dir_mode: int | None = None
    newest_record_at: str | None = None
    oldest_unsynced_at: str | None = None
    dead_entries: int = 0
    server_configured: bool = False
    calibrations: Mapping[str, str] = field(default_factory=dict)
    newest_backup_s: float | None = None
    first_record_at: str | None = None
    backup_keep: int = 0
    quarantined: int = 0
    worker_state: str = "ok"
    worker_restarts: int = 0
    worker_failure: str | None = None
    unreachable_folders: tuple[str, ...] = ()
    pipeline_problems: Mapping[str, Sequence[Problem]] = field(default_factory=dict)


def findings(facts: Facts) -> list[Finding]:
    """Everything worth a technician's look, gravest first."""
    judges = (_sqlite, _disk, _place, _clock, _worker, _pipelines, _calibrations, _folders, _backup, _queue)
    found = [one for judge in judges for one in judge(facts)]
    order = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    return sorted(found, key=lambda one: order.index(one.severity))


def _sqlite(facts: Facts) -> Iterator[Finding]:
    if has_wal_reset_bug(facts.sqlite_version):
        version = ".".join(map(str, facts.sqlite_version))
        yield Finding(
            "sqlite-wal-reset",
            Severity.INFO,
            f"SQLite {version}",
            "This SQLite can damage a database that two connections write at the same instant; the agent "
            "writes with one connection only and is safe as long as no other program writes its database.",
            "Never open edge.db for writing with another program. SQLite 3.51.3 or later has the fault mended.",
        )


def _disk(facts: Facts) -> Iterator[Finding]:
    if not facts.disk_total_bytes or facts.disk_used_bytes is None:
        return
    percent = 100 * facts.disk_used_bytes / facts.disk_total_bytes
    for level, severity in DISK_LEVELS:
        if percent >= level:
            yield Finding(
                "disk-filling",
                severity,
                "data directory",
                f"The disk is {percent:.0f} % full.",
                "Free disk space, move old backups elsewhere, or shorten how long images are kept.",
            )
            return


def _place(facts: Facts) -> Iterator[Finding]:
    if facts.file_system in NETWORK_FILE_SYSTEMS:
        yield Finding(
            "data-dir-on-network",
            Severity.ERROR,
            "data directory",
            f"It lies on a network file system ({facts.file_system}), where the database can be damaged.",
            "Stop the agent and move the data directory to a local disk.",
        )
    if facts.data_dir_mode is not None and facts.data_dir_mode & 0o077:
        yield Finding(
            "data-dir-readable-by-others",
            Severity.WARNING,
            "data directory",
            f"Other users of this machine can get at it (mode {stat.S_IMODE(facts.data_dir_mode):o}).",
            "Run `chmod 700` on the data directory as the agent's user.",
        )


def _clock(facts: Facts) -> Iterator[Finding]:
    if facts.newest_record_at is None:
        return
    behind_s = from_rfc3339(facts.newest_record_at) - facts.now_s
    if behind_s > CLOCK_TOLERANCE_S:
        yield Finding(
            "clock-set-back",
            Severity.WARNING,
            "wall clock",
            f"The clock is {span(behind_s)} behind the newest record ({facts.newest_record_at}). Order and "
            "verdicts stay right; the times of new records do not.",
            "Set the clock and its time zone, and let it follow a time server.",
        )


def _worker(facts: Facts) -> Iterator[Finding]:
    cause = f" Last failure: {facts.worker_failure}" if facts.worker_failure else ""
    if facts.worker_state == "degraded":
        yield Finding(
            "inference-degraded",
            Severity.ERROR,
            "inference",
            f"The inference process keeps failing; people judge without the AI.{cause}",
            "Run `edge-agent doctor`; roll back the model or pipeline that was changed last.",
        )
    elif facts.worker_state == "starting":
        yield Finding(
            "inference-starting", Severity.INFO, "inference", "The inference process is starting.", "Wait."
        )
    elif facts.worker_restarts:
        yield Finding(
            "inference-restarted",
            Severity.WARNING,
            "inference",
            f"The inference process had to be restarted {facts.worker_restarts} times.{cause}",
            "If it goes on, look at the image and the model named in the log.",
        )


def _pipelines(facts: Facts) -> Iterator[Finding]:
    for code, problems in sorted(facts.pipeline_problems.items()):
        yield Finding(
            "pipeline-not-compiling",
            Severity.ERROR,
            f"pipeline {code}",
            f"It cannot run; its items go to people: {'; '.join(str(problem) for problem in problems)}",
            "Install the models it names, or import a corrected pipeline.",
        )


def _calibrations(facts: Facts) -> Iterator[Finding]:
    for name, valid_until in sorted(facts.calibrations.items()):
        left_s = from_rfc3339(valid_until) - facts.now_s
        if left_s <= 0:
            message = f"It expired {span(-left_s)} ago; what it measures goes to people."
            severity, code = Severity.WARNING, "calibration-expired"
        elif left_s < EXPIRES_SOON_S:
            message = f"It expires in {span(left_s)}."
            severity, code = Severity.INFO, "calibration-expires-soon"
        else:
            continue
        hint = "Calibrate the camera again (`edge-agent calibrate`)."
        yield Finding(code, severity, f"calibration {name}", message, hint)


def _folders(facts: Facts) -> Iterator[Finding]:
    for name in facts.unreachable_folders:
        yield Finding(
            "folder-unreachable",
            Severity.WARNING,
            f"folder {name}",
            "The hot folder cannot be read.",
            "Check that the directory exists, is mounted, and that the agent's user may read and write it.",
        )
    if facts.quarantined:
        yield Finding(
            "quarantine-not-empty",
            Severity.WARNING,
            "quarantine",
            f"{facts.quarantined} files could not be inspected and wait for a person.",
            "List them with their reasons (`edge-agent folder quarantine`), then retry or discard each.",
        )


def _backup(facts: Facts) -> Iterator[Finding]:
    since_s = facts.newest_backup_s
    if since_s is None and facts.first_record_at is not None:
        since_s = from_rfc3339(facts.first_record_at)
    if facts.backup_keep and since_s is not None and facts.now_s - since_s > BACKUP_AGE_S:
        made = "none was ever made" if facts.newest_backup_s is None else "the newest is"
        yield Finding(
            "backup-too-old",
            Severity.WARNING,
            "backup",
            f"There is no recent backup: {made}, {span(facts.now_s - since_s)} old data are at risk.",
            "Run `edge-agent backup` and look in the log why the daily backup failed.",
        )


def _queue(facts: Facts) -> Iterator[Finding]:
    if facts.dead_entries:
        yield Finding(
            "sync-entries-refused",
            Severity.WARNING,
            "synchronisation",
            f"The server refused {facts.dead_entries} changes; they are kept here.",
            "Look at their reasons, mend the cause, and queue them again.",
        )
    if not facts.server_configured or facts.oldest_unsynced_at is None:
        return
    age_s = facts.now_s - from_rfc3339(facts.oldest_unsynced_at)
    if age_s > UNSYNCED_AGE_S:
        yield Finding(
            "sync-behind",
            Severity.WARNING,
            "synchronisation",
            f"The oldest change not yet at the server is {span(age_s)} old.",
            "Check the network and the server's address; nothing is lost meanwhile.",
        )


def span(seconds: float) -> str:
    """A length of time as people say it."""
    for unit, length_s in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} seconds"


# ── gathering ───────────────────────────────────────────────────────────────────────────────────────────


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
    made = [instant for name in backup_names if (instant := made_at(name)) is not None]
    return Facts(
        now_s=now_s,
        sqlite_version=sqlite_version(reader),
        disk_total_bytes=used[0] if used else None,
        disk_used_bytes=used[1] if used else None,
        file_system=file_system_of(config.data_dir),
        data_dir_mode=data_dir_mode(config.data_dir),
        newest_record_at=pulse.newest_record_at,
        first_record_at=pulse.first_record_at,
        oldest_unsynced_at=pulse.oldest_unsynced_at,
        dead_entries=pulse.dead_entries,
        server_configured=server_configured,
        calibrations={row["name"]: row["valid_until"] for row in masters.list_calibrations(reader)},
        newest_backup_s=max(made, default=None),
        backup_keep=config.backup_keep,
        quarantined=quarantined(config.data_dir),
        worker_state=worker_state,
        worker_restarts=worker_restarts,
        worker_failure=worker_failure,
        unreachable_folders=tuple(unreachable_folders),
        pipeline_problems=pipeline_problems or {},
    )


def sqlite_version(reader: sqlite3.Connection) -> tuple[int, int, int]:
    text = str(reader.execute("SELECT sqlite_version()").fetchone()[0])
    major, minor, patch = (int(part) for part in text.split("."))
    return major, minor, patch


def disk_use(path: Path) -> tuple[int, int] | None:
    """(total, used) bytes as the agent's user sees them: what is reserved for root counts as used."""
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return usage.total, usage.total - usage.free


def data_dir_mode(path: Path) -> int | None:
    """Permission bits, or None where they mean nothing (Windows)."""
    try:
        return None if os.name == "nt" else stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def quarantined(data_dir: Path) -> int:
    """Files set aside; the note beside each (`.json`) does not count."""
    try:
        return sum(1 for path in (data_dir / "quarantine").rglob("*") if path.is_file() and path.suffix != ".json")
    except OSError:
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
        holds = point == "/" or path == point or path.startswith(f"{point}/")
        if holds and len(point) >= len(best):
            best, found = point, after.split(" ")[0]
    return found
