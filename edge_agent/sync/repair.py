"""Mending what a comparison found: the server's rows are fetched again, our own records are queued again.

Rules of this file:
- Only named rows are touched, nothing unsent is ever discarded, and every step is a transaction that may be the last.
- Rows of the server come into force like any pull: verified, or not at all.
- A record that the server lost is queued as a new operation with the row as it is now: the server's stored answers to
  the old ones must not keep it from taking it, and a row it has after all is a duplicate, never a second one.
- A record that is not what was recorded is never sent, and one the server has otherwise is only alarmed: no machine
  can say which is right. Sessions are the exception: the server settles their changes by time.
- By itself a bucket is mended at most once an hour; what differs again within it is an alarm for a person.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from edge_agent.clock import Clock, from_rfc3339
from edge_agent.errors import BadDefinition, BadInput, Problem
from edge_agent.masters.arrivals import Arrivals
from edge_agent.models import Finding, Severity
from edge_agent.store import digests, pulled, sync_states
from edge_agent.store.database import Database
from edge_agent.store.soundness import FACT_TABLES
from edge_agent.sync.downloads import Downloads
from edge_agent.sync.pull import Place, mending
from edge_agent.sync.rounds import begin_again
from edge_agent.sync.verify import BLOBS, FACTS, Difference, Kind, Progress, VerifyReport, no_progress
from sync_protocol.messages import Change, RowsReply
from sync_protocol.tables import PULLED, SPACES

MEMORY = "repair:buckets"
PAUSE_S = 3600.0
ROWS_PER_REQUEST, ROWS_PER_TRANSACTION = 100, 100


class Server(Protocol):
    """What of `Central` is needed."""

    def rows(self, space: str, table: str, ids: Sequence[str]) -> RowsReply: ...


@dataclass(slots=True)
class RepairReport:
    """What was done, or with `dry_run` would be. `left`: what only a person can settle. `paused`: differences of
    buckets that were mended within the hour. `problems`: why rows of the server could not be brought into force."""

    dry_run: bool
    fetched: int = 0
    queued: int = 0
    uploads: int = 0
    left: list[Difference] = field(default_factory=list)
    paused: list[Difference] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not (self.left or self.paused or self.problems)


@dataclass(frozen=True, slots=True)
class ResyncReport:
    """`spaces` are pulled from 0 in the next pass; `repair` is what was done about our own records."""

    spaces: tuple[str, ...]
    repair: RepairReport


class Repair:
    """Mends by what a `VerifyReport` says; see the methods."""

    def __init__(
        self, database: Database, server: Server, arrivals: Arrivals, downloads: Downloads, clock: Clock
    ) -> None:
        self._db, self._server, self._arrivals = database, server, arrivals
        self._downloads, self._clock = downloads, clock

    def run(
        self,
        found: VerifyReport,
        *,
        dry_run: bool = False,
        automatic: bool = False,
        progress: Progress = no_progress,
    ) -> RepairReport:
        """Raises SyncFailed, Unavailable, and whatever `progress` raises; what was mended until then stays so."""
        report = RepairReport(dry_run)
        faults = self._not_paused(found, report) if automatic else found.faults
        for space in SPACES:
            self._fetch(space, [one for one in faults if one.space == space], report, progress)
        self._queue([one for one in faults if one.space == FACTS], report, progress)
        self._upload([one for one in faults if one.space == BLOBS], report)
        if automatic and not dry_run:
            self._note(faults, report)
        return report

    # ── rows of the server ──────────────────────────────────────────────────────────────────────────

    def _fetch(
        self, space: str, faults: Sequence[Difference], report: RepairReport, progress: Progress
    ) -> None:
        report.fetched += len(faults)
        if report.dry_run or not faults:
            return
        with self._db.snapshot() as reader:
            state = pulled.state(reader, space)
        if not state.cursor:  # nothing was pulled: the first round brings everything
            return
        gone = {(one.table, one.row_id) for one in faults if one.kind is Kind.MISSING_THERE}
        wanted: dict[str, list[str]] = {}
        for one in faults:
            if (one.table, one.row_id) not in gone:
                wanted.setdefault(one.table, []).append(one.row_id)
        changes: list[Change] = []
        for table, ids in wanted.items():
            for part in _parts(ids, ROWS_PER_REQUEST):
                progress(f"{table} rows", len(changes), len(faults))
                changes += self._server.rows(space, table, part).changes
        made = mending(Place(space, state.cursor, state.server_epoch), changes, gone)
        try:
            for blob in [] if made.problems else self._arrivals.wanted(made):
                progress("files", 0, None)
                if not self._downloads.has(blob.sha256):
                    self._downloads.fetch(blob.sha256, blob.size)
            self._arrivals.apply(made, self._downloads.path)
            self._downloads.clear()
        except BadDefinition as error:
            report.problems += error.problems
            report.fetched -= len(faults)

    # ── our own records ─────────────────────────────────────────────────────────────────────────────

    def _queue(self, faults: Sequence[Difference], report: RepairReport, progress: Progress) -> None:
        again: dict[tuple[str, str], list[str]] = {}
        for one in faults:
            if one.kind is Kind.MISSING_THERE:
                again.setdefault((one.table, "INSERT"), []).append(one.row_id)
            elif one.kind is Kind.DIFFERS and one.table == digests.UPDATABLE:
                again.setdefault((one.table, "UPDATE"), []).append(one.row_id)
            else:
                report.left.append(one)
        tampered = {(one.table, one.row_id) for one in faults if one.kind is Kind.CHANGED_HERE}
        for table in FACT_TABLES:  # parents first
            for operation in ("INSERT", "UPDATE"):
                ids = [one for one in again.get((table, operation), ()) if (table, one) not in tampered]
                self._queue_rows(table, operation, ids, report, progress)

    def _queue_rows(
        self, table: str, operation: str, ids: Sequence[str], report: RepairReport, progress: Progress
    ) -> None:
        for part in _parts(ids, ROWS_PER_TRANSACTION):
            progress(table, report.queued, None)
            if report.dry_run:
                report.queued += len(part)
                continue
            with self._db.write() as tx:
                moving = digests.in_flight(tx, table, part)
                still = [one for one in part if one not in moving]
                report.queued += digests.queue_again(tx, table, still, operation)

    def _upload(self, faults: Sequence[Difference], report: RepairReport) -> None:
        report.uploads += len(faults)
        for part in _parts(faults, ROWS_PER_TRANSACTION) if not report.dry_run else ():
            with self._db.write() as tx:
                digests.upload_again(tx, [one.row_id for one in part])

    # ── by itself, but not for ever ─────────────────────────────────────────────────────────────────

    def _not_paused(self, found: VerifyReport, report: RepairReport) -> list[Difference]:
        with self._db.read() as reader:
            mended = sync_states.get(reader, MEMORY)
        now_s = self._clock.time()
        recent = {key for key, at in mended.items() if 0 <= now_s - from_rfc3339(at["mended_at"]) < PAUSE_S}
        report.paused += [one for one in found.faults if _bucket(one) in recent]
        return [one for one in found.faults if _bucket(one) not in recent]

    def _note(self, faults: Iterable[Difference], report: RepairReport) -> None:
        """Which buckets were mended when, and which differ although they were: an alarm until they are clean."""
        now, now_s = self._clock.now(), self._clock.time()
        alarmed = {_bucket(one) for one in (*report.paused, *report.left)}
        with self._db.write() as tx:
            kept = {
                key: at
                for key, at in sync_states.get(tx, MEMORY).items()
                if 0 <= now_s - from_rfc3339(at["mended_at"]) < PAUSE_S
            }
            for key in {_bucket(one) for one in faults} | alarmed:
                kept.setdefault(key, {"mended_at": now})
            memory = {key: at | {"is_alarmed": key in alarmed} for key, at in kept.items()}
            sync_states.put(tx, MEMORY, memory)


def resync(
    database: Database,
    repair: Repair,
    tables: Sequence[str] | None,
    found: VerifyReport,
    *,
    progress: Progress,
) -> ResyncReport:
    """Begins again with these tables (None: all): what the server owns is staged from 0 and swapped by the next
    passes, our own records that `found` says it lacks are queued again. Discards nothing."""
    spaces = sorted(
        {PULLED[name].space for name in tables if name in PULLED} if tables is not None else SPACES
    )
    with database.write(local=False) as tx:
        for space in spaces:
            begin_again(tx, space, "a resync was asked for")
    return ResyncReport(tuple(spaces), repair.run(_of_our_own(found), progress=progress))


def require_tables(tables: Iterable[str]) -> None:
    """Raises BadInput (`unknown-table`) for one that is not synchronised."""
    for name in tables:
        if name not in PULLED and name not in FACT_TABLES:
            raise BadInput(
                f"There is no synchronised table {name!r}.",
                code="unknown-table",
                hint=f"Name one of {', '.join((*PULLED, *FACT_TABLES))}.",
            )


def alarms(reader: sqlite3.Connection) -> list[Finding]:
    """What differs from the server and does not mend itself."""
    buckets = [key for key, at in sync_states.get(reader, MEMORY).items() if at["is_alarmed"]]
    if not buckets:
        return []
    tables = sorted({key.rsplit("/", 1)[0] for key in buckets})
    return [
        Finding(
            "sync-differs",
            Severity.ERROR,
            ", ".join(tables),
            f"Here and at the central server there are different rows ({len(buckets)} groups), "
            "also after they were mended, or nobody but a person can settle it.",
            "`edge-agent sync verify --deep` names every row; then `edge-agent sync repair`, or ask who looks after "
            "the server.",
        )
    ]


def _of_our_own(found: VerifyReport) -> VerifyReport:
    own = [one for one in found.differences if one.space in (FACTS, BLOBS)]
    return VerifyReport(found.deep, found.tables, own, found.is_cut)


def _bucket(one: Difference) -> str:
    return f"{one.space}/{one.table}/{one.bucket}"


def _parts(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part
