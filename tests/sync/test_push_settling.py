"""A batch is settled while the next one is with the server: whatever happens in between, nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from edge_agent.errors import Unavailable
from edge_agent.sync import device
from edge_agent.sync.lane import SyncFailed
from sync_protocol.messages import OpResult, PushOp
from tests.at_once import Late
from tests.store_factory import Store
from tests.sync.push_site import Site
from tests.sync.reference import Fault, ReferenceServer, answers, cut, lost, lost_after_commit, problem


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Several batches wait; what is done beside is done as late as it can be."""
    store = Store(tmp_path)
    store.add_masters()
    for _ in range(60):
        store.inspect()
    yield Site(store, Late())
    store.close()


def settled(site: Site) -> list[int]:
    return [row[0] for row in site.queue("id", "processed_at IS NOT NULL")]


def seqs(batch: list[PushOp]) -> list[int]:
    return [op.seq for op in batch]


def test_the_next_batch_is_with_the_server_before_the_last_is_settled(site: Site) -> None:
    found: list[list[int]] = []

    def looking(server: ReferenceServer, request: httpx.Request) -> httpx.Response:
        found.append(settled(site))
        return server.right_answer(request)

    site.server.faults = [looking] * 3
    for _ in range(3):
        site.lane.step()
    first, second, _ = map(seqs, site.server.batches)
    assert found == [[], [], first]
    site.lane.rest()
    assert settled(site)[: len(first) + len(second)] == first + second
    site.drain()
    site.require_all_arrived_once()
    assert site.standing().last_ack == len(site.server.batches)


@pytest.mark.parametrize("steps", [1, 2])
def test_killed_before_it_is_settled_the_server_is_asked_again(site: Site, steps: int) -> None:
    for _ in range(steps):
        site.lane.step()
    assert len(settled(site)) < len(site.server.applied)
    site.lane = site.new_lane()
    site.drain()
    site.require_all_arrived_once()
    arrived = list(dict.fromkeys(op.seq for batch in site.server.batches for op in batch))
    assert arrived == [row[0] for row in site.queue("id")]


@pytest.mark.parametrize(
    "fault", [lost, lost_after_commit, cut, answers(lambda: problem("batch-too-large", 413))]
)
def test_what_becomes_of_the_next_batch_takes_nothing_from_the_last(site: Site, fault: Fault) -> None:
    site.lane.step()
    site.server.faults = [fault]
    with suppress(SyncFailed):
        site.lane.step()
    assert settled(site) == seqs(site.server.batches[0])
    site.drain()
    site.require_all_arrived_once()


def test_a_new_incarnation_begins_after_the_last_answer_to_the_old_one(site: Site) -> None:
    before = site.standing().incarnation
    site.lane.step()
    site.server.faults = [answers(lambda: problem("device-forked", 409))]
    site.lane.step()
    assert site.standing().incarnation != before
    assert (site.standing().last_ack, site.standing().last_seq) == (0, 0)
    site.drain()
    site.require_all_arrived_once()
    assert {row[0] for row in site.queue("incarnation", f"id <= {len(site.server.batches[0])}")} == {before}


def test_an_answer_that_refuses_an_entry_is_settled_before_anything_else_is_sent(site: Site) -> None:
    refused = site.queue("entity_id")[0][0]

    def judge(op: PushOp) -> OpResult | None:
        return OpResult(op.op_id, "rejected", "row-invalid", "") if op.entity_id == refused else None

    site.server.judge = judge
    site.lane.step()
    assert len(settled(site)) > 0
    assert (1,) in site.queue("id", "dead_at IS NOT NULL")


def test_what_cannot_be_settled_stops_the_lane_and_is_asked_for_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Unavailable("The disk is full.", code="disk-full")

    site.lane.step()
    with monkeypatch.context() as patched:
        patched.setattr(device, "keep", full)
        with pytest.raises(Unavailable, match="full"):
            site.lane.step()
    assert settled(site) == []
    site.drain()
    site.require_all_arrived_once()
