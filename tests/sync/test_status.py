"""How the synchronisation stands, read from a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock import Clock, to_rfc3339
from edge_agent.events import Events
from edge_agent.store import queue, sync_states
from edge_agent.store.queue import COUNT_LIMIT
from edge_agent.sync.backoff import after_failure, after_success
from edge_agent.sync.lane import Kind, LaneState, SyncFailed
from edge_agent.sync.pace import Meter, Pace, Sent, pace
from edge_agent.sync.status import SyncStatus, read_status, summarise
from tests.store_factory import NOON, Store, Ticking


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    opened.add_masters()
    yield opened
    opened.close()


def status(store: Store, **more: Any) -> SyncStatus:
    with store.database.snapshot() as reader:
        return read_status(reader, store.time.now, **more)


def test_a_fresh_installation_waits_for_nothing(store: Store) -> None:
    found = status(store)
    assert (found.summary, found.is_configured, found.lanes) == ("not-enrolled", False, [])
    assert (found.oldest_at, found.oldest_age_s, found.images.waiting) == (None, None, 0)


def test_what_waits_is_told_by_lane_with_its_age_and_the_images_bytes(store: Store) -> None:
    store.inspect(ai="NG", human="NG", final="NG")
    made_at = store.time.now
    store.time.now += 3600
    found = status(store)
    assert [(lane.priority, lane.waiting) for lane in found.lanes] == [(100, 4), (50, 6)]
    assert found.images.waiting == 1
    assert found.images.bytes == 40 * len(f"picture {'0' * 36}")
    assert found.oldest_age_s is not None
    assert 3600 <= found.oldest_age_s <= 3600 + made_at - NOON


def test_acknowledged_and_dead_entries_do_not_wait(store: Store) -> None:
    store.inspect()
    with store.database.write() as tx:
        tx.execute("UPDATE sync_queue SET processed_at = 'x' WHERE priority = 100")
        tx.execute("UPDATE sync_queue SET dead_at = 'x', error_code = 'row-invalid' WHERE id = 1")
        tx.execute("UPDATE sync_queue SET held_by = 1 WHERE id IN (2, 3)")
    found = status(store)
    with store.database.read() as reader:
        [left] = reader.execute("SELECT count(*) FROM sync_queue WHERE priority = 50").fetchone()
    assert [(lane.priority, lane.waiting) for lane in found.lanes] == [(50, left - 1)]
    assert (found.dead, found.held) == (1, 2)


def test_counts_are_bounded(store: Store) -> None:
    row = """INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data,
                                     priority, created_at, op_id, tx_id, sha256)
             VALUES ('d', 'desktop', '1', 'inspection_targets', ?, 'INSERT', '{}', 50, '2026-11-23T00:00:00.000Z',
                     ?, 't', 's')"""
    with store.database.write() as tx:
        tx.executemany(row, ((str(n), str(n)) for n in range(COUNT_LIMIT + 2)))
    [lane] = status(store).lanes
    assert (lane.waiting, lane.is_more) == (COUNT_LIMIT, True)


def test_a_lane_that_failed_says_why_in_the_language_asked_for(store: Store) -> None:
    failure = SyncFailed(Kind.TRANSIENT, "only-a-newer-server-knows", "it fell over")
    state = after_failure(LaneState(), failure, NOON, 0.5)
    with store.database.write() as tx:
        sync_states.put(tx, "lane:push", state.document())
    [lane] = status(store, language="ja").engine
    assert lane.error is not None
    assert (lane.name, lane.attempts, lane.error.code) == ("push", 1, "only-a-newer-server-knows")
    assert (lane.error.detail, lane.error.title.isascii()) == ("it fell over", False)
    with store.database.write() as tx:
        sync_states.put(tx, "lane:push", after_success(state, NOON + 60).document())
    [lane] = status(store).engine
    assert (lane.error, lane.attempts, lane.last_success_at) == (None, 0, to_rfc3339(NOON + 60))


def test_how_far_each_space_was_pulled(store: Store) -> None:
    with store.database.write() as tx:
        tx.execute(
            "INSERT INTO sync_state (space, cursor, last_sync_timestamp) VALUES ('masters', 7, 'then')"
        )
        sync_states.put(tx, "sync:device", {"incarnation": "i"})
    [space] = status(store).spaces
    assert (space.space, space.cursor, space.last_sync_at) == ("masters", 7, "then")


@pytest.mark.parametrize(
    ("kinds", "flags", "expected"),
    [
        ((), (False, False, True), "not-enrolled"),
        ((Kind.AUTH,), (True, True, True), "paused"),
        ((Kind.OFFLINE, Kind.AUTH), (True, False, True), "stopped"),
        ((Kind.OFFLINE, Kind.TRANSIENT), (True, False, True), "failing"),
        ((Kind.OFFLINE,), (True, False, False), "offline"),
        ((), (True, False, True), "waiting"),
        ((), (True, False, False), "up-to-date"),
    ],
)
def test_the_one_word(store: Store, kinds: tuple[Kind, ...], flags: tuple[bool, ...], expected: str) -> None:
    with store.database.write() as tx:
        for kind in kinds:
            state = after_failure(LaneState(), SyncFailed(kind, "x", "y"), NOON, 0.5)
            sync_states.put(tx, f"lane:{kind}", state.document())
    is_configured, is_paused, is_waiting = flags
    engine = status(store).engine
    word = summarise(engine, is_configured=is_configured, is_paused=is_paused, is_waiting=is_waiting)
    assert word == expected


def test_the_queue_is_listed_in_the_order_it_was_made(store: Store) -> None:
    for _ in range(3):
        store.inspect(ai="NG", human="NG", final="NG")
    with store.database.read() as reader:
        whole = queue.list_waiting(reader, 0, 500)
        assert [one.id for one in whole] == list(range(1, len(whole) + 1))
        assert queue.list_waiting(reader, 4, 3) == whole[4:7]
        verdicts = queue.list_waiting(reader, 0, 500, entity_type="human_verification_results")
        assert [one for one in whole if one.entity_type == "human_verification_results"] == verdicts
        urgent = queue.list_waiting(reader, 0, 2, priority=100)
        assert urgent == [one for one in whole if one.priority == 100][:2]


def test_listing_never_walks_what_was_acknowledged(store: Store) -> None:
    with store.database.read() as reader:
        plans: list[str] = []
        for sql in (
            "SELECT max(priority) FROM sync_queue WHERE processed_at IS NULL AND priority < 5",
            "SELECT id FROM sync_queue INDEXED BY idx_sync_queue_unprocessed "
            "WHERE processed_at IS NULL AND priority = 1 AND id > 2 ORDER BY id LIMIT 3",
        ):
            plans += [row["detail"] for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert all("idx_sync_queue_unprocessed" in plan for plan in plans), plans


# ── pace ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_pace_is_what_really_went_and_the_slower_of_rows_and_bytes_decides() -> None:
    sent = (Sent(0.0, 300, 0), Sent(5.0, 300, 4000))
    assert pace(sent, 10.0, 120, 4000) == Pace(rows_per_s=60.0, bytes_per_s=400.0, eta_s=10.0)
    assert pace(sent, 10.0, 0, 0).eta_s == 0.0


def test_what_does_not_move_has_no_end() -> None:
    assert pace((Sent(0.0, 10, 0),), 5.0, 10, 10).eta_s is None
    assert pace((), 5.0, 10, 10) == Pace()


def test_one_batch_is_no_rate_and_what_is_long_past_does_not_count() -> None:
    assert pace((Sent(0.0, 100, 0),), 0.001, 0, 0).rows_per_s == 100
    assert pace((Sent(0.0, 100, 0), Sent(25.0, 10, 0)), 30.0, 0, 0).rows_per_s == 2


def test_the_meter_hears_both_lanes_and_nothing_else() -> None:
    now = Ticking(0.0)
    meter, events = Meter(Clock(monotonic=now)), Events()
    events.subscribe(meter.heard)
    events.publish("sync", {"lane": "push", "rows": 10, "bytes": 999})
    events.publish("sync", {"lane": "blobs", "blobs": 2, "bytes": 500})
    events.publish("sync", {"lane": "pull", "rows": 5})
    events.publish("verdict", {"id": "x"})
    assert (meter.total.rows, meter.total.bytes) == (10, 500)
    assert meter.pace(0, 0).rows_per_s is not None
