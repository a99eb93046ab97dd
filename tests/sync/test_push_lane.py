"""The push lane between a real store and a server that keeps its promises, through every fault in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_agent.clock import to_rfc3339
from edge_agent.sync.batches import Batch
from edge_agent.sync.lane import Kind, SyncFailed
from sync_protocol import wire
from sync_protocol.messages import OpResult, PushOp
from tests.at_once import AtOnce
from tests.store_factory import Store
from tests.sync.push_site import Site
from tests.sync.reference import (
    Fault,
    ReferenceServer,
    answers,
    cut,
    lost,
    lost_after_commit,
    plain,
    problem,
    twice,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = Store(tmp_path)
    store.add_masters()
    yield Site(store)
    store.close()


def test_everything_arrives_once_parents_first_and_is_acknowledged(site: Site) -> None:
    for _ in range(3):
        site.store.inspect()
    site.drain()
    site.require_all_arrived_once()
    assert site.lane.step() is False
    standing = site.standing()
    assert (standing.last_seq, standing.last_ack) == (len(site.queue("id")), len(site.server.batches))
    assert site.events[0][0] == "sync"
    assert site.events[0][1]["rows"] == len(site.server.batches[0])


def test_nothing_to_send_sends_nothing_and_writes_nothing(site: Site) -> None:
    site.drain()
    before = site.store.database.commits
    assert site.lane.step() is False
    assert (site.server.requests, site.store.database.commits) == ([], before)


def status_only(status: int) -> Fault:
    return answers(lambda: plain(status))


@pytest.mark.parametrize(
    "faults",
    [
        [lost_after_commit],
        [lost_after_commit, lost_after_commit],
        [lost, lost_after_commit, cut],
        [cut],
        [twice],
        [answers(lambda: plain(200, "<html>log in</html>", content_type="text/html"))],
        [status_only(status) for status in (401, 403, 408, 429, 500, 502, 503)],
        [answers(lambda: plain(404, "<html>")), answers(lambda: plain(400, "<html>"))],
        [answers(lambda: problem("batch-damaged", 400)), answers(lambda: problem("token-invalid", 401))],
        [
            answers(lambda: problem("throttled", 429, retry_after=7)),
            answers(lambda: problem("internal", 500)),
        ],
    ],
)
def test_whatever_happens_on_the_way_everything_arrives_once(site: Site, faults: list[Fault]) -> None:
    for _ in range(4):
        site.store.inspect()
    site.server.faults = list(faults)
    site.drain()
    site.later(3600)
    site.drain()
    site.require_all_arrived_once()


def test_an_entry_is_settled_only_once_its_answer_is_read(site: Site) -> None:
    site.store.inspect()
    site.server.faults = [lost_after_commit]
    with pytest.raises(SyncFailed) as caught:
        site.lane.step()
    assert caught.value.kind is Kind.TRANSIENT
    assert len(site.queue("id", "processed_at IS NULL")) == len(site.server.applied) > 0
    site.lane.step()
    site.require_all_arrived_once()


def test_local_transactions_stay_together_and_batches_grow(site: Site) -> None:
    for _ in range(40):
        site.store.inspect()
    site.drain()
    of_tx = dict(site.queue("op_id, tx_id"))
    batch_of_tx: dict[str, set[int]] = {}
    for number, batch in enumerate(site.server.batches):
        for op in batch:
            batch_of_tx.setdefault(of_tx[op.op_id], set()).add(number)
    assert all(len(batches) == 1 for batches in batch_of_tx.values())
    assert len(site.server.batches[0]) <= 100 < len(site.server.batches[1])


def test_verdicts_overtake_but_never_without_what_they_need(site: Site) -> None:
    for _ in range(60):
        site.store.add_session()
    session = site.store.inspect(human="NG", final="NG")
    site.lane.step()
    first = site.server.batches[0]
    assert {op.entity_type for op in first} >= {"inspection_sessions", "human_verification_results"}
    assert session in {op.entity_id for op in first}
    site.drain()
    site.require_all_arrived_once()
    assert not any(result.outcome == "deferred" for _, result in site.server.ledger.values())


# ── one batch ahead ─────────────────────────────────────────────────────────────────────────────────────


def made_ahead(site: Site) -> list[Batch]:
    assert isinstance(site.beside, AtOnce)
    return [one for one in site.beside.made if isinstance(one, Batch)]


def test_the_next_batch_is_made_while_one_is_with_the_server(site: Site) -> None:
    for _ in range(40):
        site.store.inspect()
    site.drain()
    site.require_all_arrived_once()
    ahead = [[op.seq for op in batch.request.ops] for batch in made_ahead(site)]
    assert ahead == [[op.seq for op in batch] for batch in site.server.batches[1:]] != []


@pytest.mark.parametrize(
    "faults", [[lost], [lost_after_commit], [answers(lambda: problem("batch-too-large", 413))]]
)
def test_what_was_made_ahead_never_overtakes_what_it_follows(site: Site, faults: list[Fault]) -> None:
    for _ in range(40):
        site.store.inspect()
    site.server.faults = list(faults)
    site.drain()
    site.require_all_arrived_once()
    arrived = list(dict.fromkeys(op.seq for batch in site.server.batches for op in batch))
    assert arrived == [row[0] for row in site.queue("id")]


def test_what_was_made_ahead_is_not_sent_without_what_it_needs(site: Site) -> None:
    first, *_ = [site.store.inspect() for _ in range(40)]
    with site.store.database.write() as tx:
        tx.execute(
            "UPDATE inspection_sessions SET version = version + 1, final_result = 'NG' WHERE id = ?", (first,)
        )
    site.server.judge = rejecting({first})
    site.drain()
    held = site.queue("entity_id, operation", "held_by IS NOT NULL")
    assert (first, "UPDATE") in held
    assert not any(result.outcome == "deferred" for _, result in site.server.ledger.values())
    assert {row[0] for row in site.queue("op_id", "processed_at IS NOT NULL")} == {
        op.op_id for op in site.server.applied
    }


def test_a_batch_made_ahead_is_left_when_a_person_took_its_entries(site: Site) -> None:
    for _ in range(40):
        site.store.inspect()
    site.lane.step()
    taken = made_ahead(site)[0].request.ops[-1]
    with site.store.database.write() as tx:
        tx.execute("UPDATE sync_queue SET dead_at = created_at WHERE id = ?", (taken.seq,))
    site.drain()
    assert taken.op_id not in {op.op_id for op in site.server.applied}
    assert site.queue("id", "processed_at IS NULL") == [(taken.seq,)]


# ── refusals of one entry ───────────────────────────────────────────────────────────────────────────────


def rejecting(wanted: set[str]) -> Any:
    def judge(op: PushOp) -> OpResult | None:
        if op.entity_id in wanted and op.operation == "INSERT":
            return OpResult(op.op_id, "rejected", "row-invalid", "It cannot be.")
        return None

    return judge


def test_a_rejected_entry_is_dead_with_its_reason_and_what_needs_it_is_held(site: Site) -> None:
    bad, good = site.store.inspect(), site.store.inspect()
    site.server.judge = rejecting({bad})
    site.drain()
    dead = site.queue("id, entity_id, error_code, error_detail", "dead_at IS NOT NULL")
    assert [row[1:] for row in dead] == [(bad, "row-invalid", "It cannot be.")]
    held = site.queue("entity_type, held_by", "held_by IS NOT NULL")
    assert {kind for kind, _ in held} == {
        "inspection_sessions",
        "inspection_images",
        "ai_inspection_results",
        "human_verification_results",
    }
    assert {by for _, by in held} == {dead[0][0]}
    assert site.queue("id", "processed_at IS NULL AND dead_at IS NULL AND held_by IS NULL") == []
    assert good in {op.entity_id for op in site.server.applied}

    site.server.judge = lambda _: None
    with site.store.database.write() as tx:  # a person queues it again
        tx.execute("UPDATE sync_queue SET dead_at = NULL WHERE dead_at IS NOT NULL")
    site.drain()
    site.require_all_arrived_once()


def test_what_is_recorded_for_a_dead_entry_later_is_held_too(site: Site) -> None:
    bad = site.store.add_session()
    site.server.judge = rejecting({bad})
    site.drain()
    site.store.add_image(bad)
    site.drain()
    [(dead,)] = site.queue("id", "dead_at IS NOT NULL")
    assert site.queue("held_by, error_code", "entity_type = 'inspection_images'") == [
        (dead, "parent-missing")
    ]


def test_a_deferred_entry_waits_alone_ever_longer_and_holds_what_needs_it(site: Site) -> None:
    site.server.judge = lambda op: (
        OpResult(op.op_id, "deferred", "schema-newer", "") if op.entity_type == "inspection_images" else None
    )
    site.store.inspect()
    site.drain()
    [(image, retries, waits)] = site.queue("id, retry_count, next_attempt_at", "next_attempt_at IS NOT NULL")
    assert retries == 1
    assert waits > to_rfc3339(site.store.time.now - 5)
    held = site.queue("entity_type, held_by", "held_by IS NOT NULL")
    assert held == [("ai_inspection_results", image)]
    for tried in (2, 3, 4):
        site.later(3600)
        site.drain()
        assert site.queue("retry_count", "entity_type = 'inspection_images'") == [(tried,)]
    site.server.judge = lambda _: None
    site.later(3600)
    site.drain()
    site.require_all_arrived_once()


def test_a_superseded_change_is_kept_with_both_sides_for_review(site: Site) -> None:
    site.server.judge = lambda op: (
        OpResult(op.op_id, "superseded", "", '{"status":"CANCELLED"}') if op.operation == "UPDATE" else None
    )
    session = site.store.add_session()
    site.store.move(session, "CANCELLED")
    site.drain()
    with site.store.database.read() as reader:
        [conflict] = reader.execute("SELECT * FROM conflict_log").fetchall()
    assert (conflict["entity_id"], conflict["kept"], conflict["resolved_at"]) == (session, "server", None)
    assert json.loads(conflict["server_data"]) == {"status": "CANCELLED"}
    assert json.loads(conflict["local_data"])["id"] == session
    assert site.queue("id", "processed_at IS NULL") == []


# ── refusals of a batch ─────────────────────────────────────────────────────────────────────────────────


def poisoned(entity_id: str, make: Any) -> Fault:
    def fault(server: ReferenceServer, request: httpx.Request) -> httpx.Response:
        server.faults.append(fault)
        is_in = entity_id.encode() in _document(request)
        answer: httpx.Response = make() if is_in else server.right_answer(request)
        return answer

    return fault


def _document(request: httpx.Request) -> bytes:
    return wire.unpack(request.read())


def test_a_poisoned_row_in_the_middle_of_a_batch_is_found_and_dies_alone(site: Site) -> None:
    for _ in range(5):
        site.store.inspect()
    sick = site.queue("entity_id", "entity_type = 'ai_inspection_results'")[2][0]
    site.server.faults = [poisoned(sick, lambda: problem("batch-invalid", 400))]
    site.drain()
    assert site.queue("entity_id, error_code", "processed_at IS NULL") == [(sick, "batch-invalid")]
    assert len(site.server.applied) == len(site.queue("id")) - 1


def test_a_row_that_only_a_proxy_refuses_waits_and_does_not_die(site: Site) -> None:
    for _ in range(3):
        site.store.inspect()
    sick = site.queue("entity_id", "entity_type = 'ai_inspection_results'")[1][0]
    site.server.faults = [poisoned(sick, lambda: plain(406, "<html>blocked</html>"))]
    site.drain()
    assert site.queue("entity_id, dead_at", "processed_at IS NULL") == [(sick, None)]
    site.server.faults = []
    site.later(3600)
    site.drain()
    site.require_all_arrived_once()


def test_a_server_that_refuses_everything_does_not_fill_the_dead_letters(site: Site) -> None:
    for _ in range(10):
        site.store.inspect()
    site.server.faults = [answers(lambda: problem("batch-invalid", 400))] * 300
    site.drain(400)
    assert 0 < len(site.queue("id", "dead_at IS NOT NULL")) < 10


def test_batches_are_halved_until_they_are_small_enough(site: Site) -> None:
    for _ in range(5):
        site.store.inspect()
    site.server.max_rows = 7
    site.drain()
    site.require_all_arrived_once()
    assert max(len(batch) for batch in site.server.batches) <= 7


def test_a_batch_that_packs_badly_is_cut_to_size(site: Site) -> None:
    session = site.store.add_session()
    for _ in range(60):
        image = site.store.add_image(session)
        site.store.add_ai_result(
            session, image, detail=json.dumps({"noise": site.store.clock.random(20_000).hex()})
        )
    site.drain()
    site.require_all_arrived_once()
    assert len(site.server.batches) > 2


def test_a_damaged_row_never_leaves_the_device(site: Site) -> None:
    site.store.inspect()
    [(sick,)] = site.queue("id", "entity_type = 'ai_inspection_results'")
    with site.store.forged() as connection:
        connection.execute("UPDATE sync_queue SET data = replace(data, '0.93', '0.99') WHERE id = ?", (sick,))
    site.drain()
    assert site.queue("id, error_code", "dead_at IS NOT NULL") == [(sick, "row-damaged")]
    assert sick not in {op.seq for op in site.server.applied}


# ── a cloned disk, a server that went back ──────────────────────────────────────────────────────────────


def test_a_cloned_disk_takes_an_incarnation_of_its_own_and_loses_nothing(site: Site) -> None:
    site.store.inspect()
    site.drain()
    before = site.standing()
    for seq in range(before.last_seq + 1, before.last_seq + 4):  # what the twin sent under our name
        site.server.seqs[before.incarnation, seq] = "of-the-twin"
    site.store.inspect()
    site.drain()
    site.require_all_arrived_once()
    after = site.standing()
    assert after.incarnation != before.incarnation
    assert {row[0] for row in site.queue("incarnation")} == {before.incarnation, after.incarnation}


def test_a_row_that_stays_a_twin_dies_alone(site: Site) -> None:
    site.store.inspect()
    [(sick, op_id)] = site.queue("id, op_id", "entity_type = 'ai_inspection_results'")
    site.server.ledger[op_id] = ("another sha256", OpResult(op_id, "applied"))
    site.drain()
    assert site.queue("id, error_code", "processed_at IS NULL") == [(sick, "device-forked")]


def test_an_answer_that_counts_backwards_says_that_the_server_lost_something(site: Site) -> None:
    for _ in range(3):
        site.store.inspect()
        site.drain()
    site.server.acks[site.standing().incarnation] = 1
    site.store.inspect()
    site.drain()
    assert site.standing().lost_after_ack == 1
