"""What goes into a batch, and what its answer means for each entry: decided without a database or a network.

Rules of this file:
- Pure. Entries come oldest first, with everything they need before them; any prefix may be sent.
- A local transaction is cut only if it alone is larger than a batch may be.
- An entry that an answer says nothing about has no fate: it is sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import orjson

from edge_agent.clock import from_rfc3339
from edge_agent.store.outbox import Head
from edge_agent.sync.lane import Kind, SyncFailed
from sync_protocol import codes
from sync_protocol.messages import MAX_OPS, OpResult, PushOp

AGEING_S = 86_400.0
FIRST_ROWS = 100
MAX_BODY_BYTES = 512 << 10
MAX_DATA_BYTES = 8 << 20
QUICK_S, SLOW_S = 2.0, 10.0


# ── which entries ───────────────────────────────────────────────────────────────────────────────────────


def overtaking(heads: Sequence[Head]) -> Head | None:
    """The first entry of the priority whose turn it is, if it may go before older ones; None: oldest first.

    A higher priority overtakes what is up to AGEING_S older than it, and nothing beyond that: nothing starves.
    """
    if not heads:
        return None
    oldest = min(heads, key=lambda head: head.id)
    for head in sorted(heads, key=lambda head: -head.priority):
        if head.id == oldest.id:
            return None
        if from_rfc3339(head.created_at) - from_rfc3339(oldest.created_at) < AGEING_S:
            return head
    return None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was read of the outbox: `ops` are what was queued, `damaged` the numbers of those that are not."""

    ops: list[PushOp]
    damaged: list[int]


def read_entries(rows: Iterable[Sequence[Any]]) -> Claimed:
    """Outbox rows (`outbox.COLUMNS`) whose bytes are verified against the sha256 they were queued with."""
    claimed = Claimed([], [])
    for seq, op_id, tx_id, entity_type, entity_id, operation, data, sha256, base_version, blobs in rows:
        if hashlib.sha256(data).hexdigest() != sha256:
            claimed.damaged.append(seq)
            continue
        refs = () if blobs == "[]" else tuple(orjson.loads(blobs))
        claimed.ops.append(
            PushOp(
                seq,
                op_id,
                tx_id,
                entity_type,
                entity_id,
                operation,
                data.decode(),
                sha256,
                base_version,
                refs,
            )
        )
    return claimed


def plan_batch(ops: Sequence[PushOp], max_rows: int, max_bytes: int = MAX_DATA_BYTES) -> Sequence[PushOp]:
    """The longest prefix of whole transactions within the limits; at least one entry, if there is one.

    The last transaction given may go on beyond `ops`: it is left out when `ops` holds more than `max_rows`.
    """
    rows = size = 0
    for _, transaction in groupby(ops, key=lambda op: op.tx_id):
        together = list(transaction)
        size += sum(len(op.data) for op in together)
        if rows and (rows + len(together) > max_rows or size > max_bytes):
            break
        rows += len(together)
    return ops[: min(rows, max_rows)]


# ── how many ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Pace:
    """How many rows the next batch may have. It grows while the link keeps up and falls when it does not."""

    rows: int = FIRST_ROWS

    def after(self, sent: int, seconds: float, *, is_full: bool, waited_s: float = 0.0) -> Pace:
        """Once a batch of `sent` rows was answered within `seconds`, of which it stood `waited_s` behind those of
        other devices; `is_full`: more would have gone in.

        Others' batches are no reason for small ones, which cost the server more, as long as twice the time is not
        too long.
        """
        if seconds > SLOW_S:
            return self.halved(sent)
        if seconds - waited_s > QUICK_S or 2 * seconds > SLOW_S or not is_full:
            return self
        return replace(self, rows=min(MAX_OPS, self.rows * 2))

    def halved(self, sent: int) -> Pace:
        """Once a batch of `sent` rows was too much, or holds something that is refused."""
        return replace(self, rows=max(1, min(sent, self.rows) // 2))

    def fitted(self, sent: int, body_bytes: int) -> Pace:
        """Once `sent` rows turned out to make a body of `body_bytes`, more than MAX_BODY_BYTES."""
        return replace(self, rows=max(1, min(sent - 1, sent * MAX_BODY_BYTES * 9 // (10 * body_bytes))))


# ── what the answer means ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Settlement:
    """Every entry's fate. `done`: the server has it for good, also what it took without making it effective."""

    done: list[PushOp]
    superseded: list[tuple[PushOp, OpResult]]
    deferred: list[tuple[PushOp, OpResult]]
    dead: list[tuple[PushOp, OpResult]]

    def is_final_for(self, ops: Sequence[PushOp]) -> bool:
        """Whether the server has all of these for good: what follows them need not wait until that is noted."""
        return len(self.done) == len(ops)


def settle(ops: Sequence[PushOp], results: Iterable[OpResult]) -> Settlement:
    """What the answer says about each entry; what it says about others is ignored."""
    said = {result.op_id: result for result in results}
    answered = [(op, said[op.op_id]) for op in ops if op.op_id in said]
    final = ("applied", "duplicate", "superseded")
    return Settlement(
        done=[op for op, result in answered if result.outcome in final],
        superseded=[pair for pair in answered if pair[1].outcome == "superseded"],
        deferred=[pair for pair in answered if pair[1].outcome == "deferred"],
        dead=[pair for pair in answered if pair[1].outcome == "rejected"],
    )


def conflict_of(op: PushOp, result: OpResult, conflict_id: str, now: str) -> dict[str, Any]:
    """The `conflict_log` row of a change that met a newer one at the server."""
    return {
        "id": conflict_id,
        "entity_type": op.entity_type,
        "entity_id": op.entity_id,
        "kept": "server",
        "local_data": op.data,
        "server_data": result.detail if _is_json(result.detail) else "{}",
        "reason": "superseded",
        "created_at": now,
    }


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def is_about_the_batch(error: SyncFailed) -> bool:
    """Whether fewer entries may get through: too much at once, or one of them is refused."""
    return error.kind is Kind.PERMANENT or error.code_ == "batch-too-large"


def is_final(error: SyncFailed) -> bool:
    """Whether the server itself says that this request is refused for good; a proxy cannot say that."""
    known = codes.lookup(error.code_)
    return known.scope in (codes.Scope.OP, codes.Scope.BATCH) and known.disposition is codes.Disposition.DEAD
