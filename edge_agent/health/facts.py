"""What a technician should know now: the facts health is judged by, and the judgement.

Rules of this file:
- Pure: nothing here looks at anything. A fact that could not be had is None and never an alarm by itself.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edge_agent.clock import from_rfc3339
from edge_agent.errors import Problem
from edge_agent.models import Finding, Severity
from edge_agent.store.database import has_wal_reset_bug

CLOCK_TOLERANCE_S = 60.0
BACKUP_AGE_S = 2 * 86_400.0
UNSYNCED_AGE_S = 86_400.0
EXPIRES_SOON_S = 14 * 86_400.0
DISK_LEVELS = ((95, Severity.ERROR), (90, Severity.WARNING), (80, Severity.INFO))
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "9p", "webdav"}
    | {"fuse.sshfs", "fuse.glusterfs"}
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
    dead_blobs: int = 0
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
            "Let no other program write edge.db. SQLite 3.51.3 and later have the fault mended.",
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
                "Free disk space or move old backups elsewhere. Images that the centre has are removed by "
                "themselves, sooner the fuller the disk; `retention_days` says when at the latest.",
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
        made = "none was ever made; " if facts.newest_backup_s is None else ""
        yield Finding(
            "backup-too-old",
            Severity.WARNING,
            "backup",
            f"There is no recent backup: {made}{span(facts.now_s - since_s)} of work are at risk.",
            "Run `edge-agent backup` and look in the log why the daily backup failed.",
        )


def _queue(facts: Facts) -> Iterator[Finding]:
    if facts.dead_entries:
        yield Finding(
            "sync-entries-refused",
            Severity.WARNING,
            "synchronisation",
            f"The server refused {facts.dead_entries} changes; they are kept here.",
            "`edge-agent sync dead list` says why; mend the cause, then `edge-agent sync dead retry --all`.",
        )
    if facts.dead_blobs:
        yield Finding(
            "images-not-sendable",
            Severity.ERROR,
            "synchronisation",
            f"{facts.dead_blobs} pictures cannot be sent to the centre: their files are missing, changed or too large.",
            "Restore the files that `edge-agent sync dead list` names, then `edge-agent sync dead retry --all`.",
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
