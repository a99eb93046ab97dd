"""Bodies of statistics, audit and system pages.

Rules of this file:
- Bytes and seconds where the name says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import StringConstraints

from edge_agent.api.bodies.fields import Request
from edge_agent.inspection.statistics import Agreement, Yield
from edge_agent.models import (
    Finding,
)
from edge_agent.store.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class AuditPage:
    entries: list[AuditEntry]
    next_before_seq: int | None


@dataclass(frozen=True, slots=True)
class AuditProof:
    """`faults`: a sentence for every broken link, at most 100."""

    is_whole: bool
    entries: int
    faults: list[str]


@dataclass(frozen=True, slots=True)
class SystemInfo:
    version: str
    device_id: str
    device_type: str
    data_dir: str
    sqlite_version: str
    python_version: str
    started_at: str
    uptime_s: float
    now: str
    time_zone: str
    is_blind_mode: bool


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """Bytes. `min_free_bytes`: below this no new session starts."""

    total_bytes: int
    free_bytes: int
    min_free_bytes: int
    database_bytes: int
    is_enough: bool


@dataclass(frozen=True, slots=True)
class Health:
    status: Literal["ok", "not-ready"]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counters since the start, and how things are now; bytes where the name says so."""

    open_sessions: int
    database_commits: int
    database_bytes: int
    image_fsyncs: int
    disk_free_bytes: int
    inference_state: str
    inference_workers: int
    inference_restarts: int
    inference_waiting: int
    inference_running: int
    inference_rss_bytes: int | None
    event_streams: int


@dataclass(frozen=True, slots=True)
class FindingList:
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class AgreementGroup:
    """`group`: the hour, day, ISO week, month, product id, item id or local user id (0 = nobody)."""

    group: str
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class AgreementTable:
    total: Agreement
    groups: list[AgreementGroup]


@dataclass(frozen=True, slots=True)
class YieldGroup:
    """`group`: the hour, day, ISO week, month, product id or local user id (0 = hot folder)."""

    group: str
    results: Yield


@dataclass(frozen=True, slots=True)
class YieldTable:
    total: Yield
    groups: list[YieldGroup]


@dataclass(frozen=True, slots=True)
class ReasonCount:
    reason_code: str
    item_id: str
    verdict_count: int


@dataclass(frozen=True, slots=True)
class ReasonTable:
    reasons: list[ReasonCount]


class BackupRequest(Request):
    """`folder`: where to make the backup, an absolute path; null: among the agent's own."""

    folder: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None


@dataclass(frozen=True, slots=True)
class BackupReply:
    """A verified backup; `findings`: codes of what was wrong with the installation when it was made."""

    folder: str
    files: int
    size_bytes: int
    findings: list[str]
