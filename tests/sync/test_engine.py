"""A pass: the greeting first, then lanes as their waits allow; and what a server that went back makes us do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_agent.clock import Clock
from edge_agent.errors import Unavailable
from edge_agent.store import outbox
from edge_agent.sync import device
from edge_agent.sync.backoff import BREAKS_AFTER, breaker
from edge_agent.sync.device import Standing
from edge_agent.sync.engine import ATTEMPTS_IN_A_PASS, Engine, Memory
from edge_agent.sync.hello import FRESH_S, Hello
from edge_agent.sync.lane import Kind, Lane, LaneState, SyncFailed
from edge_agent.sync.push_lane import PushLane
from sync_protocol.messages import WaitReply
from tests.store_factory import Store, Ticking
from tests.sync.reference import EPOCH, ReferenceServer, answers, cut, lost, plain, problem

OTHER_EPOCH = "018f0000-0000-7000-8000-0000000000ef"


@dataclass
class Scripted:
    """A lane that does what the test says, one entry a step; after the last it has nothing to do."""

    name: str
    script: list[bool | Exception]
    log: list[str] = field(default_factory=list)

    def step(self) -> bool:
        self.log.append(self.name)
        answer = self.script.pop(0) if self.script else False
        if isinstance(answer, Exception):
            raise answer
        return answer


class Site:
    """A store, a server, and an engine over any lanes."""

    def __init__(self, store: Store) -> None:
        self.store, self.server = store, ReferenceServer(Clock())
        self.slept: list[float] = []
        self.rechecked: list[bool] = []
        self.heads: list[tuple[dict[str, int], str]] = []
        with store.database.write() as tx:
            device.keep(tx, Standing(store.clock.new_id(), EPOCH))
        self.restart()

    def restart(self) -> None:
        store, central = self.store, self.server.central()
        self.memory = Memory(store.database, store.clock)
        self.hello = Hello(
            store.database,
            central,
            store.clock,
            store.clock.new_id(),
            told=lambda heads, epoch: self.heads.append((dict(heads), epoch)),
            recheck=[self._recheck],
        )
        self.push = PushLane(store.database, central, store.clock, lambda _kind, _facts: None)

    def engine(self, *lanes: Lane) -> Engine:
        chosen: list[Lane] = list(lanes) or [self.push]
        return Engine(self.hello, chosen, self.memory, self.store.clock, self.slept.append)

    def standing(self) -> Standing:
        with self.store.database.read() as reader:
            return device.standing_of(reader)

    def unsent(self) -> int:
        with self.store.database.read() as reader:
            return int(
                reader.execute("SELECT count(*) FROM sync_queue WHERE processed_at IS NULL").fetchone()[0]
            )

    def _recheck(self, tx: sqlite3.Connection) -> int:
        """Three windows of something, then nothing is left."""
        self.rechecked.append(tx.in_transaction)
        return len(self.rechecked) < 4


class Still(Ticking):
    """A wall clock that stands until the test moves it."""

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = Store(tmp_path, Still(Clock().time()))
    store.add_masters()
    yield Site(store)
    store.close()


def failed(kind: Kind, code: str = "some-code", retry_after: float | None = None) -> SyncFailed:
    return SyncFailed(kind, code, "What happened.", retry_after)


def test_a_pass_greets_and_sends_everything(site: Site) -> None:
    site.store.inspect()
    report = site.engine().run_pass()
    assert (report.failures, report.has_more, site.unsent()) == ({}, False, 0)
    assert site.server.requests[0] == "/sync/hello"
    assert site.heads == [({"masters": 0}, EPOCH)]
    assert site.standing().server_schema == 1


def test_a_fresh_greeting_is_not_repeated_until_wanted(site: Site) -> None:
    engine = site.engine()
    engine.run_pass()
    engine.run_pass()
    assert site.server.requests == ["/sync/hello"]
    site.hello.want()
    engine.run_pass()
    assert site.server.requests == ["/sync/hello"] * 2


def test_what_a_long_poll_was_told_saves_a_greeting(site: Site) -> None:
    passed_s = [0.0]
    site.store.clock = Clock(time=site.store.time, monotonic=lambda: passed_s[0])
    site.restart()
    engine = site.engine()
    site.hello.heard(WaitReply(space="masters", head=6, server_epoch=EPOCH))
    engine.run_pass()
    assert site.server.requests == ["/sync/hello"], "before the first greeting nothing is known of the server"
    passed_s[0] = 2 * FRESH_S
    site.hello.heard(WaitReply(space="masters", head=7, server_epoch=EPOCH))
    site.hello.heard(WaitReply(space="decisions", head=2, server_epoch=EPOCH))
    engine.run_pass()
    assert site.server.requests == ["/sync/hello"]
    assert site.heads == [({"masters": 0}, EPOCH), ({"masters": 7}, EPOCH), ({"decisions": 2}, EPOCH)]


def test_a_long_poll_that_tells_of_another_history_leads_to_a_greeting(site: Site) -> None:
    engine = site.engine()
    engine.run_pass()
    site.hello.heard(WaitReply(space="masters", head=7, server_epoch=OTHER_EPOCH))
    engine.run_pass()
    assert site.server.requests == ["/sync/hello"] * 2
    assert site.heads == [({"masters": 0}, EPOCH)] * 2


def test_lanes_take_turns_and_a_failure_halts_only_its_own(site: Site) -> None:
    log: list[str] = []
    first = Scripted("first", [True, failed(Kind.TRANSIENT), True], log)
    second = Scripted("second", [True, True, False], log)
    report = site.engine(first, second).run_pass()
    assert log == ["first", "second", "first", "second", "second"]
    assert list(report.failures) == ["first"]
    assert site.memory.of("first").attempts == 1
    assert site.memory.of("second").last_success_at is not None


def test_being_offline_ends_the_pass_and_counts_nothing(site: Site) -> None:
    site.server.faults = [lost]
    lane = Scripted("lane", [])
    report = site.engine(lane).run_pass()
    assert (list(report.failures), lane.log) == (["hello"], [])
    assert site.memory.of("hello").attempts == 0
    site.engine(lane).run_pass()  # still within the wait: nobody is asked
    assert site.server.requests == ["/sync/hello"]
    site.store.time.now += 10
    site.engine(lane).run_pass()
    assert lane.log == ["lane"]


def test_what_broke_on_the_way_is_tried_again_within_the_pass(site: Site) -> None:
    lane = Scripted(
        "lane", [failed(Kind.TRANSIENT, "connection-lost"), failed(Kind.DAMAGED, "reply-damaged")]
    )
    report = site.engine(lane).run_pass()
    assert (report.failures, len(lane.log), len(site.slept)) == ({}, ATTEMPTS_IN_A_PASS, 2)


@pytest.mark.parametrize(
    "error",
    [
        failed(Kind.TRANSIENT, "internal"),
        failed(Kind.THROTTLE, "connection-lost", 5),
        failed(Kind.AUTH),
        failed(Kind.PERMANENT),
    ],
)
def test_what_the_server_says_is_not_argued_with(site: Site, error: SyncFailed) -> None:
    lane = Scripted("lane", [error])
    site.engine(lane).run_pass()
    assert (len(lane.log), site.slept) == (1, [])


def test_an_open_breaker_lets_one_probe_through(site: Site) -> None:
    lane = Scripted("lane", [failed(Kind.TRANSIENT, "connection-lost")] * 20)
    engine = site.engine(lane)
    for _ in range(BREAKS_AFTER):
        engine.run_pass()
        site.store.time.now += 400
    tried = len(lane.log)
    assert breaker(site.memory.of("lane"), site.store.time.now) == "half-open"
    engine.run_pass()
    assert len(lane.log) == tried + 1
    lane.script.clear()
    site.store.time.now += 400
    engine.run_pass()
    assert breaker(site.memory.of("lane"), site.store.time.now) == "closed"


def test_the_wait_survives_a_restart_and_retry_after_is_kept(site: Site) -> None:
    lane = Scripted("lane", [failed(Kind.THROTTLE, "throttled", 120.0)])
    site.engine(lane).run_pass()
    site.restart()
    site.engine(lane).run_pass()
    assert len(lane.log) == 1
    wait_s = site.engine(lane).wait_s()
    assert wait_s is not None
    assert wait_s > 100
    site.memory.forget(["lane"])
    site.engine(lane).run_pass()
    assert len(lane.log) == 2


def test_a_fault_of_this_machine_halts_the_lane_too(site: Site) -> None:
    lane = Scripted("lane", [Unavailable("The disk is full.", code="disk-full")])
    report = site.engine(lane).run_pass()
    assert report.failures["lane"].code_ == "disk-full"
    assert site.memory.of("lane").error_code == "disk-full"


def test_a_pass_can_be_stopped_between_steps(site: Site) -> None:
    lane = Scripted("lane", [True] * 100)
    report = site.engine(lane).run_pass(stop=lambda: len(lane.log) >= 3)
    assert (report.has_more, len(lane.log)) == (True, 3)


def test_idle_passes_write_nothing_after_the_first(site: Site) -> None:
    engine = site.engine()
    engine.run_pass()
    before = site.store.database.commits
    for _ in range(3):
        site.hello.want()
        engine.run_pass()
    assert site.store.database.commits == before


def test_a_revoked_device_keeps_its_queue_and_asks_again_now_and_then(site: Site) -> None:
    site.store.inspect()
    before = site.unsent()
    site.server.faults = [answers(lambda: problem("device-revoked", 403))]
    report = site.engine().run_pass()
    assert report.failures["hello"].kind is Kind.AUTH
    assert (site.unsent(), site.server.applied) == (before, [])
    site.store.time.now += 400
    site.engine().run_pass()
    assert site.unsent() == 0


# ── the clock, a clone, a server that went back ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("years", [-5, 5])
def test_a_clock_years_off_is_measured_and_stops_nothing(site: Site, years: int) -> None:
    site.store.time.now = Clock().time() + years * 365 * 86_400
    site.store.inspect()
    site.engine().run_pass()
    assert site.unsent() == 0
    assert abs(site.standing().clock_offset_ms / 86_400_000 + years * 365) < 1


def test_a_disk_that_the_server_knows_more_of_takes_a_new_incarnation(site: Site) -> None:
    site.store.inspect()
    before = site.standing().incarnation
    site.server.seqs[before, 10_000] = "of-the-original"
    site.engine().run_pass()
    assert site.standing().incarnation != before
    assert site.unsent() == 0


def restored_to(site: Site, batches: int) -> Callable[[], None]:
    """The server forgets everything after its first `batches` batches."""

    def restore() -> None:
        server = site.server
        kept = {op.op_id for batch in server.batches[:batches] for op in batch}
        server.applied = [op for op in server.applied if op.op_id in kept]
        server.ledger = {op_id: said for op_id, said in server.ledger.items() if op_id in kept}
        server.seqs = {key: op_id for key, op_id in server.seqs.items() if op_id in kept}
        server.acks = {site.standing().incarnation: batches} if batches else {}

    return restore


@pytest.mark.parametrize("batches", [0, 1, 3])
@pytest.mark.parametrize("epoch", [EPOCH, OTHER_EPOCH])
@pytest.mark.parametrize("inspects_first", [True, False])
def test_what_a_restored_server_lost_is_sent_again(
    site: Site, batches: int, epoch: str, inspects_first: bool
) -> None:
    for _ in range(4):
        site.store.inspect()
        site.engine().run_pass()
    restored_to(site, batches)()
    site.server.epoch = epoch
    if inspects_first:  # the device hears of it by the answer to a push
        site.store.inspect()
        site.engine().run_pass()
    site.hello.want()
    site.engine().run_pass()
    site.engine().run_pass()
    with site.store.database.read() as reader:
        ids = {row[0] for row in reader.execute("SELECT op_id FROM sync_queue")}
    assert {op.op_id for op in site.server.applied} == ids
    assert len(site.server.applied) == len(ids)
    assert site.rechecked == [True] * 4
    assert (site.standing().server_epoch, site.standing().lost_after_ack) == (epoch, None)
    assert site.standing().last_ack == site.server.acks[site.standing().incarnation]


def test_queueing_again_may_be_killed_and_begun_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "WINDOW", 3)
    for _ in range(2):
        site.store.inspect()
        site.engine().run_pass()
    restored_to(site, 0)()
    site.hello.want()
    for _ in range(3):
        site.hello.step()
    site.restart()
    site.engine().run_pass()
    assert site.unsent() == 0
    assert site.rechecked == [True] * 4


def test_nothing_else_is_done_while_the_greeting_fails(site: Site) -> None:
    site.store.inspect()
    site.server.faults = [cut, cut, cut, answers(lambda: plain(200, "<html>"))]
    report = site.engine().run_pass()
    assert list(report.failures) == ["hello"]
    assert set(site.server.requests) == {"/sync/hello"}


def test_the_memory_of_a_lane_is_what_the_tables_say(site: Site) -> None:
    site.memory.failed("lane", failed(Kind.TRANSIENT))
    assert Memory(site.store.database, site.store.clock).of("lane") == site.memory.of("lane") != LaneState()
