"""The long pieces of work on the synchronisation as jobs: what each does, and how it tells how far it is.

Rules of this file:
- Nothing is decided here; a step reports at most every LOOK_S, because looking reads the database.
- A stop takes effect between two steps, each of which is a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.models import Actor
from edge_agent.store import queue, settings, vitals
from edge_agent.sync import device, enrolment
from edge_agent.sync.jobs import Cancelled, Progress, Report, Work
from edge_agent.sync.pace import Meter, Sent
from edge_agent.sync.parts import Parts
from sync_protocol.parcels import token_sha256

if TYPE_CHECKING:
    from edge_agent.sync.parcel_acks import Settled
    from edge_agent.sync.parcels import Sender
    from edge_agent.sync.repair import RepairReport
    from edge_agent.sync.sync import Sync
    from edge_agent.sync.verify import Difference, VerifyReport

LOOK_S = 0.25
DIFFERENCES_TOLD = 1000


@dataclass(frozen=True, slots=True)
class Bench:
    """What the work is done with."""

    parts: Parts
    sync: Sync
    meter: Meter

    def drain(self, report: Report) -> Mapping[str, Any]:
        """One whole pass now. Raises Conflict (`not-enrolled`, `sync-paused`), SyncFailed once all was tried."""
        watch = _Watch(self, report)
        passed = self.sync.run_pass(stop=watch.is_to_stop)
        watch.look()
        for failure in passed.failures.values():
            raise failure
        return watch.result()

    def verify(self, *, deep: bool) -> Work:
        """Compares both sides and changes nothing. The work raises Conflict (`not-enrolled`), SyncFailed."""
        return lambda report: told_verify(self.sync.verify(deep=deep, progress=_stepwise(report)))

    def repair(self, *, dry_run: bool) -> Work:
        """Mends what differs, or says what it would do. The work raises as `verify`."""
        return lambda report: told_repair(
            self.sync.repair(deep=True, dry_run=dry_run, progress=_stepwise(report))
        )

    def resync(self, tables: Sequence[str] | None) -> Work:
        """Begins again with these tables (None: all); nothing unsent is discarded. Raises BadInput
        (`unknown-table`); the work raises as `verify`."""
        from edge_agent.sync.repair import require_tables

        require_tables(tables or ())

        def work(report: Report) -> Mapping[str, Any]:
            done = self.sync.resync(tables, progress=_stepwise(report))
            return {"spaces": list(done.spaces), **told_repair(done.repair)}

        return work

    # ── on a stick ──────────────────────────────────────────────────────────────────────────────────────

    def export(self, file: Path, actor: Actor) -> Work:
        """The unsent queue as a file. Raises BadInput (`export-file`), Conflict (`not-enrolled`)."""
        from edge_agent.sync import parcels

        parts = self.parts
        if not file.is_absolute() or file.is_relative_to(parts.config.data_dir):
            raise parcels.unusable(f"{file} is no absolute path outside the data directory.")
        parcels.require_free(file)
        sender = self.sender()
        place = (parts.database, parts.blobs, parts.clock, sender, file, actor)
        return lambda report: parcels.export(*place, report)

    def settle_ack(self, data: bytes, actor: Actor) -> Settled:
        """Raises BadInput (`ack-invalid`), Conflict (`ack-outdated`, `not-enrolled`)."""
        from edge_agent.sync.parcel_acks import settle_ack

        sender = self.sender()
        return settle_ack(
            self.parts.database, self.parts.clock, sender.device_id, sender.token_sha256, data, actor
        )

    def sender(self) -> Sender:
        """This device as its parcels name it. Raises Conflict (`not-enrolled`)."""
        from edge_agent.sync.parcels import Sender

        token = enrolment.read_token(self.parts.config.data_dir)
        with self.parts.database.snapshot() as reader:
            if not token or enrolment.read(reader) is None:
                raise enrolment.not_enrolled()
            standing = device.standing_of(reader)
            device_id = str(settings.get(reader, "device.id"))
        return Sender(device_id, token_sha256(token), standing)


def _stepwise(report: Report) -> Callable[[str, int, int | None], None]:
    """What the verification calls, as a job's progress."""
    return lambda step, done, of: report(Progress(step, done, of))


def told_verify(found: VerifyReport) -> dict[str, Any]:
    """The report as JSON, with at most DIFFERENCES_TOLD rows by name."""
    return {
        "is_clean": found.is_clean,
        "deep": found.deep,
        "tables": [asdict(one) for one in found.tables],
        "differences": [_told(one) for one in found.differences[:DIFFERENCES_TOLD]],
        "is_cut": found.is_cut or len(found.differences) > DIFFERENCES_TOLD,
    }


def told_repair(report: RepairReport) -> dict[str, Any]:
    return {
        "is_complete": report.is_complete,
        "dry_run": report.dry_run,
        "fetched": report.fetched,
        "queued": report.queued,
        "uploads": report.uploads,
        "left": [_told(one) for one in report.left[:DIFFERENCES_TOLD]],
        "problems": [str(problem) for problem in report.problems],
    }


def _told(one: Difference) -> dict[str, Any]:
    return {**asdict(one), "is_fault": one.is_fault}


class _Watch:
    """Tells a job how a pass goes, whenever the engine asks whether to stop."""

    def __init__(self, bench: Bench, report: Report) -> None:
        self._bench, self._report = bench, report
        with bench.parts.database.snapshot() as reader:
            self._rows, self._bytes = queue.count_ready(reader), queue.bytes_not_uploaded(reader)
        self._begun = bench.meter.total
        self._looked_s = float("-inf")
        self._is_stopped = False

    def is_to_stop(self) -> bool:
        if not self._is_stopped and self._bench.parts.clock.monotonic() - self._looked_s >= LOOK_S:
            try:
                self.look()
            except Cancelled:
                self._is_stopped = True
        return self._is_stopped

    def look(self) -> None:
        """Raises Cancelled."""
        bench, sent = self._bench, self._sent
        self._looked_s = sent.at_s
        pace = bench.meter.pace(max(0, self._rows - sent.rows), max(0, self._bytes - sent.bytes))
        with bench.parts.database.read() as reader:
            oldest_at = vitals.oldest_unsynced_at(reader)
        self._report(
            Progress(
                step="photographs" if sent.rows >= self._rows else "rows",
                done=sent.rows,
                of=max(self._rows, sent.rows),
                bytes_done=sent.bytes,
                bytes_of=max(self._bytes, sent.bytes),
                rows_per_s=pace.rows_per_s,
                bytes_per_s=pace.bytes_per_s,
                eta_s=pace.eta_s,
                oldest_at=oldest_at,
            )
        )

    def result(self) -> dict[str, Any]:
        """What went out, and what could not: waiting for another attempt, held, or only here."""
        with self._bench.parts.database.snapshot() as reader:
            lanes, images = queue.lanes(reader), queue.images_waiting(reader)
        return {
            "rows": self._sent.rows,
            "image_bytes": self._sent.bytes,
            "rows_left": sum(lane.waiting for lane in lanes),
            "images_left": images.waiting,
        }

    @property
    def _sent(self) -> Sent:
        now, then = self._bench.meter.total, self._begun
        return Sent(now.at_s, now.rows - then.rows, now.bytes - then.bytes)
