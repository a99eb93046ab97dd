"""What the push lane sends next: entries claimed from the outbox, as a body; one batch ahead where there is a thread.

Rules of this file:
- Claiming changes nothing. What was made while another batch was with the server is sent only if none of that one's
  entries is ready any more and all its own are, under the same incarnation, and as large as the pace now allows.
- Entries that were answered for good are `settling`: they still look ready, and count as done.
- It only reads the outbox; what happens to entries is the push lane's to decide.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from edge_agent.clock import Clock
from edge_agent.store import outbox
from edge_agent.store.database import Database
from edge_agent.sync import device
from edge_agent.sync.central import packed
from edge_agent.sync.device import Standing
from edge_agent.sync.push import MAX_BODY_BYTES, Pace, overtaking, plan_batch, read_entries
from sync_protocol.messages import PushOp, PushRequest

NEEDED_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class Batch:
    """`request` as `body`, made under `standing`; `pace` allowed it, and `is_more` is ready after it."""

    standing: Standing
    request: PushRequest
    body: bytes
    pace: Pace
    is_more: bool

    @property
    def ids(self) -> list[int]:
        return [op.seq for op in self.request.ops]


@dataclass(frozen=True, slots=True)
class Damage:
    """These entries are not what was queued; nothing can be sent before they are set aside."""

    ids: list[int]


class Batches:
    """`beside` runs what is done while a batch is with the server; None: nothing is."""

    def __init__(self, database: Database, clock: Clock, beside: Executor | None) -> None:
        self._db, self._clock, self._beside = database, clock, beside
        self._ahead: tuple[Batch, Future[Batch | Damage | None]] | None = None

    def next(self, pace: Pace, settling: Collection[int] = ()) -> Batch | Damage | None:
        """What is to be sent now; None: nothing is ready. Raises as the database does."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            before, made = ahead[0], ahead[1].result()
            if isinstance(made, Batch) and self._may_follow(before, made, pace, settling):
                return made
        return self._claim(pace, settling)

    def look_ahead(self, batch: Batch, settling: Collection[int] = ()) -> None:
        """Begins with what follows `batch`, as if that were answered well and soon."""
        if self._beside is not None and batch.is_more:
            pace = batch.pace.after(len(batch.request.ops), 0.0, is_full=True)
            sent = frozenset(batch.ids).union(settling)
            self._ahead = batch, self._beside.submit(self._claim, pace, sent)

    def _may_follow(self, before: Batch, batch: Batch, pace: Pace, settling: Collection[int]) -> bool:
        with self._db.snapshot() as reader:
            return (
                batch.pace.rows <= pace.rows
                and batch.standing.incarnation == device.standing_of(reader).incarnation
                and outbox.ready_among(reader, set(before.ids).difference(settling)) == 0
                and outbox.ready_among(reader, batch.ids) == len(batch.ids)
            )

    def _claim(self, pace: Pace, sent: Collection[int]) -> Batch | Damage | None:
        """The next entries but for those `sent`."""
        with self._db.snapshot() as reader:
            standing = device.standing_of(reader)
            ids, is_more = _next_ids(reader, pace.rows, sent)
            claimed = read_entries(outbox.entries(reader, ids))
        if claimed.damaged:
            return Damage(claimed.damaged)
        return self._batch(claimed.ops, standing, pace, is_more) if claimed.ops else None

    def _batch(self, ops: Sequence[PushOp], standing: Standing, pace: Pace, is_more: bool) -> Batch:
        while True:
            some = plan_batch(ops, pace.rows)
            request = PushRequest.model_construct(
                batch_id=self._clock.new_id(),
                incarnation=standing.incarnation,
                clock_offset_ms=standing.clock_offset_ms,
                ops=tuple(some),
            )
            body = packed(request)
            if len(body) <= MAX_BODY_BYTES or len(some) == 1:
                return Batch(standing, request, body, pace, is_more or len(some) < len(ops))
            pace = pace.fitted(len(some), len(body))


def _next_ids(reader: sqlite3.Connection, rows: int, sent: Collection[int]) -> tuple[list[int], bool]:
    """One more than `rows`, if there are as many; and whether more is ready than `rows`."""
    heads = outbox.heads(reader)
    ready = outbox.oldest_ready(reader, [head.priority for head in heads], rows + 1 + len(sent))
    oldest = [entry_id for entry_id in ready if entry_id not in sent][: rows + 1]
    first = overtaking(heads)
    if first is None or len(oldest) <= rows:
        return oldest, len(oldest) > rows
    preferred = _preferred(reader, first.priority, rows, oldest[-1])
    return [entry_id for entry_id in preferred if entry_id not in sent][: rows + 1] or oldest, True


def _preferred(reader: sqlite3.Connection, priority: int, rows: int, last: int) -> list[int]:
    """Entries of that priority with all they need; empty when that is too much to be worth it, or when the oldest
    entries, up to `last`, hold nearly as many of them anyway."""
    wanted = outbox.oldest_ready(reader, [priority], max(1, rows // 4))
    if wanted[len(wanted) // 2] <= last:
        return []
    return outbox.with_all_they_need(reader, wanted, NEEDED_AT_MOST * rows) or []
