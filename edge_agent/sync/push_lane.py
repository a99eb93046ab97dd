"""The push lane: sends what was recorded here, batch by batch, until the server has it.

Rules of this file:
- A step sends one batch at most: claim, send, settle in one transaction. Killed in between, the same entries are
  sent again, and the server answers for those it has with what it answered before.
- One batch at a time is with the server. `batches.py` makes the next one meanwhile; it is looked at again before it
  is sent. A batch that the server has whole is settled meanwhile too: killed before, the server is asked again for
  what it has. Settlements come in the order of the answers, and nothing but the next batch goes before them.
- What an answer means is decided in `push.py`; here it is only carried out.
- Only the server can make an entry dead, and only damage here; a proxy that refuses everything cannot.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Sequence
from concurrent.futures import Executor, Future

from edge_agent.clock import Clock, to_rfc3339
from edge_agent.events import Notify
from edge_agent.store import outbox
from edge_agent.store.database import Database, insert
from edge_agent.store.outbox import SetAside
from edge_agent.sync import backoff, device
from edge_agent.sync.batches import Batch, Batches, Damage
from edge_agent.sync.central import Central
from edge_agent.sync.device import Standing
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.push import (
    FIRST_ROWS,
    Pace,
    Settlement,
    conflict_of,
    is_about_the_batch,
    is_final,
    settle,
)
from sync_protocol.messages import PushOp, PushReply, PushRequest

MAX_REFUSED_IN_A_ROW = 10

log = logging.getLogger(__name__)


class PushLane:
    """The outbox on its way to the server."""

    name = "push"

    def __init__(
        self,
        database: Database,
        central: Central,
        clock: Clock,
        publish: Notify,
        beside: Executor | None = None,
        first_rows: int = FIRST_ROWS,
    ) -> None:
        self._db, self._central, self._clock, self._publish = database, central, clock, publish
        self._beside = beside
        self._batches = Batches(database, clock, beside)
        self._pace = Pace(first_rows)
        self._refused_in_a_row = 0
        self._own_incarnation = ""
        self._settling: Collection[int] = ()
        self._settled: Future[None] | None = None

    def step(self) -> bool:
        """Sends one batch; True: more is ready. Raises SyncFailed."""
        self._wake_what_waited()
        batch = self._batches.next(self._pace, self._settling)
        if isinstance(batch, Batch):
            return self._send(batch)
        self.rest()
        if isinstance(batch, Damage):
            self._bury(batch.ids)
        return batch is not None

    def rest(self) -> None:
        """Returns once what was answered is settled. Raises as the database does."""
        settled, self._settled, self._settling = self._settled, None, ()
        if settled is not None:
            settled.result()

    def _send(self, batch: Batch) -> bool:
        self._pace = batch.pace
        self._batches.look_ahead(batch, self._settling)
        started_s = self._clock.monotonic()
        try:
            reply = self._central.push(batch.request, batch.body)
        except SyncFailed as error:
            self.rest()
            return self._give_way(batch.request.ops, batch.standing, error)
        self._answered(batch, reply)
        self._refused_in_a_row = 0
        rows, took_s = len(batch.request.ops), self._clock.monotonic() - started_s
        waited_s = reply.waited_ms / 1000
        self._pace = self._pace.after(rows, took_s, is_full=batch.is_more, waited_s=waited_s)
        self._publish("sync", {"lane": self.name, "rows": rows, "bytes": len(batch.body)})
        return batch.is_more

    def _wake_what_waited(self) -> None:
        now_s = self._clock.time()
        instants = to_rfc3339(now_s), to_rfc3339(now_s + 2 * backoff.LONGEST_RETRY_AFTER_S)
        with self._db.read() as reader:
            is_any = outbox.has_due(reader, *instants)
        if is_any:
            with self._db.write() as tx:
                outbox.wake(tx, *instants)

    # ── settle ──────────────────────────────────────────────────────────────────────────────────────────

    def _answered(self, batch: Batch, reply: PushReply) -> None:
        """Settles while the next batch is with the server, where that need not know what came of this one."""
        self.rest()
        settlement = settle(batch.request.ops, reply.results)
        if self._beside is None or not batch.is_more or not settlement.is_final_for(batch.request.ops):
            self._settle(batch.request, reply, settlement)
        else:
            self._settling = frozenset(batch.ids)
            self._settled = self._beside.submit(self._settle, batch.request, reply, settlement)

    def _settle(self, request: PushRequest, reply: PushReply, settlement: Settlement) -> None:
        with self._db.write() as tx:
            standing = device.standing_of(tx)
            now = self._clock.now()
            done = [op.seq for op in settlement.done]
            if done:
                outbox.acknowledge(tx, done, request.incarnation, reply.ack, now)
            outbox.set_aside(tx, self._aside(tx, settlement), now)
            for op, result in settlement.superseded:
                insert(tx, "conflict_log", conflict_of(op, result, self._clock.new_id(), now))
            after = device.after_push(standing, reply, max(done, default=0))
            device.keep(tx, after)
        if settlement.dead:
            log.warning("the server refused %d entries; the first: %s", *_told(settlement))

    def _aside(self, tx: sqlite3.Connection, settlement: Settlement) -> list[SetAside]:
        dead = [SetAside(op.seq, result.code, result.detail, None) for op, result in settlement.dead]
        return dead + self._deferred(
            tx, [(op.seq, result.code, result.detail) for op, result in settlement.deferred]
        )

    def _deferred(self, tx: sqlite3.Connection, entries: list[tuple[int, str, str]]) -> list[SetAside]:
        """Each waits by itself, ever longer."""
        tried = outbox.retry_counts(tx, [seq for seq, _, _ in entries])
        now_s = self._clock.time()
        return [
            SetAside(seq, code, detail, to_rfc3339(now_s + self._delay_s(tried[seq] + 1)))
            for seq, code, detail in entries
        ]

    def _delay_s(self, attempts: int) -> float:
        return backoff.delay_s(Kind.TRANSIENT, attempts, backoff.share_of(self._clock.random(4)))

    # ── refusals ────────────────────────────────────────────────────────────────────────────────────────

    def _give_way(self, batch: Sequence[PushOp], standing: Standing, error: SyncFailed) -> bool:
        """What follows when a whole batch was not taken; True: try at once, differently. Raises SyncFailed."""
        is_fork = error.code_ == "device-forked"
        if is_fork and standing.incarnation != self._own_incarnation:
            self._own_incarnation = self._take_new_incarnation()
            return True
        if not is_fork and not is_about_the_batch(error):
            raise error
        if len(batch) > 1:
            self._pace = self._pace.halved(len(batch))
            return True
        self._refused_in_a_row += 1
        is_dead = (is_fork or is_final(error)) and self._refused_in_a_row < MAX_REFUSED_IN_A_ROW
        self._set_aside_one(batch[0].seq, error, is_dead)
        if not is_dead:
            raise error
        return True

    def _take_new_incarnation(self) -> str:
        with self._db.write() as tx:
            standing = device.standing_of(tx)
            fresh = device.forked(standing, self._clock.new_id())
            device.keep(tx, fresh)
        log.warning("another disk uses this device's identity; this one goes on as %s", fresh.incarnation)
        return fresh.incarnation

    def _set_aside_one(self, seq: int, error: SyncFailed, is_dead: bool) -> None:
        with self._db.write() as tx:
            entry = (seq, error.code_, error.detail)
            aside = [SetAside(*entry, None)] if is_dead else self._deferred(tx, [entry])
            outbox.set_aside(tx, aside, self._clock.now())

    def _bury(self, damaged: Sequence[int]) -> None:
        """Bytes that are not those that were queued never leave this device."""
        detail = "The entry's bytes are not those that were queued: the disk or another program changed them."
        with self._db.write() as tx:
            dead = [SetAside(seq, "row-damaged", detail, None) for seq in damaged]
            outbox.set_aside(tx, dead, self._clock.now())
        log.error("%d entries of the outbox are damaged and were set aside", len(damaged))


def _told(settlement: Settlement) -> tuple[int, str]:
    op, result = settlement.dead[0]
    return len(settlement.dead), f"{op.entity_type} {op.entity_id}: {result.code}"
