"""The push lane: sends what was recorded here, batch by batch, until the server has it.

Rules of this file:
- A step sends one batch at most: claim, send, settle in one transaction. Killed in between, the same entries are
  sent again, and the server answers for those it has with what it answered before.
- What a batch is and what an answer means is decided in `push.py`; here it is only carried out.
- Only the server can make an entry dead, and only damage here; a proxy that refuses everything cannot.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_agent.clock import Clock, to_rfc3339
from edge_agent.store import outbox
from edge_agent.store.database import Database, insert
from edge_agent.store.outbox import SetAside
from edge_agent.sync import backoff, device
from edge_agent.sync.central import Central, packed
from edge_agent.sync.device import Standing
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.push import (
    MAX_BODY_BYTES,
    Claimed,
    Pace,
    Settlement,
    conflict_of,
    is_about_the_batch,
    is_final,
    overtaking,
    plan_batch,
    read_entries,
    settle,
)
from sync_protocol.messages import PushOp, PushReply, PushRequest

MAX_REFUSED_IN_A_ROW = 10
NEEDED_AT_MOST = 8

log = logging.getLogger(__name__)


class PushLane:
    """The outbox on its way to the server."""

    name = "push"

    def __init__(
        self,
        database: Database,
        central: Central,
        clock: Clock,
        publish: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self._db, self._central, self._clock, self._publish = database, central, clock, publish
        self._pace = Pace()
        self._refused_in_a_row = 0
        self._own_incarnation = ""

    def step(self) -> bool:
        """Sends one batch; True: more is ready. Raises SyncFailed."""
        self._wake_what_waited()
        standing, claimed, is_more = self._claim()
        if claimed.damaged:
            self._bury(claimed.damaged)
            return True
        if not claimed.ops:
            return False
        request, body = self._batch(claimed.ops, standing)
        started_s = self._clock.monotonic()
        try:
            reply = self._central.push(request, body)
        except SyncFailed as error:
            return self._give_way(request.ops, standing, error)
        self._settle(request, reply)
        self._refused_in_a_row = 0
        rows, is_more = len(request.ops), is_more or len(request.ops) < len(claimed.ops)
        self._pace = self._pace.after(rows, self._clock.monotonic() - started_s, is_full=is_more)
        self._publish("sync", {"lane": self.name, "rows": rows, "bytes": len(body)})
        return is_more

    # ── claim ───────────────────────────────────────────────────────────────────────────────────────────

    def _wake_what_waited(self) -> None:
        now_s = self._clock.time()
        instants = to_rfc3339(now_s), to_rfc3339(now_s + 2 * backoff.LONGEST_RETRY_AFTER_S)
        with self._db.read() as reader:
            is_any = outbox.has_due(reader, *instants)
        if is_any:
            with self._db.write() as tx:
                outbox.wake(tx, *instants)

    def _claim(self) -> tuple[Standing, Claimed, bool]:
        """The standing, the next entries, and whether those after them are ready too."""
        with self._db.snapshot() as reader:
            standing = device.standing_of(reader)
            heads = outbox.heads(reader)
            ids = outbox.oldest_ready(reader, [head.priority for head in heads], self._pace.rows + 1)
            first = overtaking(heads)
            is_more = len(ids) > self._pace.rows
            if is_more and first is not None:
                ids = self._preferred(reader, first.priority, ids) or ids
            return standing, read_entries(outbox.entries(reader, ids)), is_more

    def _preferred(
        self, reader: sqlite3.Connection, priority: int, oldest: Sequence[int]
    ) -> list[int] | None:
        """Entries of that priority with all they need; None when that is too much to be worth it, or when the
        oldest entries hold nearly as many of them anyway."""
        rows = self._pace.rows
        wanted = outbox.oldest_ready(reader, [priority], max(1, rows // 4))
        if wanted[len(wanted) // 2] <= oldest[-1]:
            return None
        needed = outbox.with_all_they_need(reader, wanted, NEEDED_AT_MOST * rows)
        return needed and needed[: rows + 1]

    def _batch(self, ops: Sequence[PushOp], standing: Standing) -> tuple[PushRequest, bytes]:
        while True:
            batch = plan_batch(ops, self._pace.rows)
            request = PushRequest.model_construct(
                batch_id=self._clock.new_id(),
                incarnation=standing.incarnation,
                clock_offset_ms=standing.clock_offset_ms,
                ops=tuple(batch),
            )
            body = packed(request)
            if len(body) <= MAX_BODY_BYTES or len(batch) == 1:
                return request, body
            self._pace = self._pace.fitted(len(batch), len(body))

    # ── settle ──────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, request: PushRequest, reply: PushReply) -> None:
        settlement = settle(request.ops, reply.results)
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
