"""What goes into a batch and what its answer means, for every shape of both."""

from __future__ import annotations

from itertools import groupby
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import to_rfc3339
from edge_agent.store.outbox import Head
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.push import (
    AGEING_S,
    FIRST_ROWS,
    MAX_BODY_BYTES,
    Pace,
    is_about_the_batch,
    is_final,
    overtaking,
    plan_batch,
    read_entries,
    settle,
)
from sync_protocol.canonical import sha256_hex
from sync_protocol.codes import CODES
from sync_protocol.messages import MAX_OPS, OpResult, Outcome, PushOp

NOON = 1_795_435_200.0


def op(seq: int, tx: int = 0, data: str = "{}") -> PushOp:
    return PushOp(
        seq,
        f"op-{seq}",
        f"tx-{tx}",
        "inspection_targets",
        f"e-{seq}",
        "INSERT",
        data,
        sha256_hex(data.encode()),
    )


@st.composite
def outboxes(draw: st.DrawFn) -> list[PushOp]:
    """Transactions one after the other, each of a few entries of some size."""
    lengths = draw(st.lists(st.integers(1, 12), max_size=12))
    txs = [number for number, length in enumerate(lengths) for _ in range(length)]
    return [op(seq, tx, "x" * draw(st.integers(0, 30))) for seq, tx in enumerate(txs, 1)]


@given(outboxes(), st.integers(1, 20), st.integers(0, 200))
def test_a_batch_is_a_prefix_of_whole_transactions_within_the_limits(
    ops: list[PushOp], max_rows: int, max_bytes: int
) -> None:
    batch = plan_batch(ops, max_rows, max_bytes)
    assert list(batch) == ops[: len(batch)]
    assert len(batch) <= max_rows
    assert bool(batch) == bool(ops)
    first = next((len(list(group)) for _, group in groupby(ops, key=lambda one: one.tx_id)), 0)
    is_whole = len(batch) == len(ops) or ops[len(batch)].tx_id != batch[-1].tx_id
    assert is_whole or (len(batch) == max_rows and first > max_rows)
    assert len(batch) <= first or sum(len(one.data) for one in batch) <= max_bytes


@given(outboxes(), st.integers(1, 20))
def test_batch_after_batch_sends_everything_once_and_in_order(ops: list[PushOp], max_rows: int) -> None:
    left, sent = ops, list[PushOp]()
    while batch := plan_batch(left[: max_rows + 1], max_rows):
        sent += batch
        left = left[len(batch) :]
    assert sent == ops


OUTCOMES = st.sampled_from(get_args(Outcome))


@given(st.lists(OUTCOMES | st.none(), max_size=30), st.booleans(), st.randoms())
def test_every_answered_entry_has_one_fate_and_the_others_none(
    outcomes: list[Outcome | None], has_strangers: bool, random: Random
) -> None:
    ops = [op(seq) for seq in range(1, len(outcomes) + 1)]
    results = [
        OpResult(one.op_id, outcome, "c", "d")
        for one, outcome in zip(ops, outcomes, strict=True)
        if outcome is not None
    ]
    results += [OpResult("of-another-batch", "rejected")] * has_strangers
    random.shuffle(results)
    found = settle(ops, results)
    fates = [*found.done, *(one for one, _ in found.deferred), *(one for one, _ in found.dead)]
    assert sorted(one.seq for one in fates) == [
        one.seq for one, outcome in zip(ops, outcomes, strict=True) if outcome
    ]
    assert {one.seq for one, _ in found.superseded} <= {one.seq for one in found.done}
    assert {one.seq for one, _ in found.dead} == {
        one.seq for one, outcome in zip(ops, outcomes, strict=True) if outcome == "rejected"
    }


def test_only_bytes_that_are_those_that_were_queued_are_read() -> None:
    good = (
        1,
        "o",
        "t",
        "inspection_targets",
        "e",
        "INSERT",
        "{é}".encode(),
        sha256_hex("{é}".encode()),
        None,
        '["b"]',
    )
    flipped = (2, *good[1:6], b"{\xff\xfe}", *good[7:])
    claimed = read_entries([good, flipped])
    assert claimed.damaged == [2]
    assert [(one.seq, one.data, one.blob_refs) for one in claimed.ops] == [(1, "{é}", ("b",))]


# ── whose turn it is ────────────────────────────────────────────────────────────────────────────────────


def head(priority: int, entry_id: int, age_s: float) -> Head:
    return Head(priority, entry_id, to_rfc3339(NOON - age_s))


def test_a_higher_priority_overtakes_until_the_others_are_a_day_older() -> None:
    verdict, young, old = head(100, 50, 0), head(50, 7, AGEING_S - 60), head(50, 7, AGEING_S + 60)
    assert overtaking([verdict, young]) == verdict
    assert overtaking([verdict, old]) is None
    assert overtaking([head(100, 3, 9), head(50, 7, 5)]) is None
    assert overtaking([head(50, 7, 5)]) is None
    assert overtaking([]) is None


# ── how many ────────────────────────────────────────────────────────────────────────────────────────────


def test_batches_grow_while_full_ones_are_answered_quickly() -> None:
    pace = Pace()
    sizes = []
    for _ in range(6):
        sizes.append(pace.rows)
        pace = pace.after(pace.rows - 1, 0.1, is_full=True)
    assert sizes == [FIRST_ROWS, 200, 400, 800, MAX_OPS, MAX_OPS]
    assert Pace(400).after(399, 0.1, is_full=False) == Pace(400)
    assert Pace(400).after(400, 5.0, is_full=True) == Pace(400)
    assert Pace(400).after(400, 11.0, is_full=True) == Pace(200)


def test_what_a_batch_waited_behind_others_does_not_keep_batches_small() -> None:
    assert Pace(100).after(100, 4.0, is_full=True, waited_s=3.5) == Pace(200)
    assert Pace(100).after(100, 4.0, is_full=True, waited_s=1.5) == Pace(100)
    assert Pace(400).after(400, 5.1, is_full=True, waited_s=5.0) == Pace(400)
    assert Pace(400).after(400, 11.0, is_full=True, waited_s=10.9) == Pace(200)


@given(st.integers(1, MAX_OPS), st.integers(2, MAX_OPS), st.integers(MAX_BODY_BYTES + 1, 10**8))
def test_batches_that_are_too_much_always_shrink_and_never_to_nothing(
    rows: int, sent: int, body_bytes: int
) -> None:
    assert 1 <= Pace(rows).halved(sent).rows <= max(1, sent // 2)
    assert 1 <= Pace(rows).fitted(sent, body_bytes).rows < sent


# ── refusals of a whole batch ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "code", ["http-400", "http-404", "http-422", "batch-too-large", "internal", "unheard-of"]
)
def test_nothing_but_the_servers_own_word_is_final(code: str) -> None:
    assert not is_final(SyncFailed(Kind.PERMANENT, code, ""))


def test_the_servers_word_about_a_batch_is_final() -> None:
    assert is_final(SyncFailed(Kind.PERMANENT, "batch-invalid", ""))
    assert is_about_the_batch(SyncFailed(Kind.TRANSIENT, "batch-too-large", ""))
    assert not is_about_the_batch(SyncFailed(Kind.AUTH, "device-revoked", ""))
    assert not any(
        is_final(SyncFailed(Kind.TRANSIENT, code, "")) for code, one in CODES.items() if one.scope == "device"
    )
