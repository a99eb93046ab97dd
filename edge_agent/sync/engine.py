"""One pass of the synchronisation: the greeting, then the lanes in turn, as their breakers and waits allow.

Rules of this file:
- A pass runs because work may be due; what woke it is never looked at.
- One failure halts one lane: what it is remembers itself, and the others go on. Not being online halts them all.
- Within a pass, what broke on the way is tried again at once (tenacity); between passes the wait is stored.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import tenacity

from edge_agent.clock import Clock
from edge_agent.errors import AgentError
from edge_agent.store import sync_states
from edge_agent.store.database import Database
from edge_agent.sync import backoff
from edge_agent.sync.hello import Hello
from edge_agent.sync.lane import Kind, Lane, LaneState, SyncFailed, read_state

ATTEMPTS_IN_A_PASS = 3
PASS_S = 30.0
NOTED_EVERY_S = 60.0
TRIED_AT_ONCE = ("connection-lost", "reply-damaged", "reply-invalid", "batch-damaged", "page-damaged")

log = logging.getLogger(__name__)


class Memory:
    """How each lane fares, in the database; a success is written down at most every NOTED_EVERY_S."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db, self._clock = database, clock
        self._states: dict[str, LaneState] = {}
        self._noted_s: dict[str, float] = {}

    def of(self, name: str) -> LaneState:
        if name not in self._states:
            with self._db.read() as reader:
                self._states[name] = read_state(sync_states.get(reader, f"lane:{name}"))
        return self._states[name]

    def failed(self, name: str, error: SyncFailed) -> None:
        before = self.of(name)
        share = backoff.share_of(self._clock.random(4))
        self._keep(name, backoff.after_failure(before, error, self._clock.time(), share))
        if (before.attempts, before.error_code) != (self.of(name).attempts - 1, error.code_):
            log.warning("lane %s: %s [%s]", name, error.detail, error.code_)

    def worked(self, name: str) -> None:
        before, now_s = self.of(name), self._clock.monotonic()
        self._states[name] = backoff.after_success(before, self._clock.time())
        is_news = before.next_attempt_at is not None
        if is_news or now_s - self._noted_s.get(name, -NOTED_EVERY_S) >= NOTED_EVERY_S:
            self._noted_s[name] = now_s
            self._keep(name, self._states[name])
        if is_news:
            log.info("lane %s works again", name)

    def forget(self, names: Iterable[str]) -> None:
        """These lanes may try at once, as if nothing had gone wrong."""
        states = {name: replace(self.of(name), attempts=0, next_attempt_at=None) for name in names}
        with self._db.write() as tx:
            for name, state in states.items():
                sync_states.put(tx, f"lane:{name}", state.document())
        self._states |= states

    def _keep(self, name: str, state: LaneState) -> None:
        self._states[name] = state
        with self._db.write() as tx:
            sync_states.put(tx, f"lane:{name}", state.document())


@dataclass(slots=True)
class PassReport:
    """`steps` units were done; `failures` by lane; `has_more`: it was stopped before the work was done."""

    steps: int = 0
    has_more: bool = False
    failures: dict[str, SyncFailed] = field(default_factory=dict)

    def joined(self, other: PassReport) -> PassReport:
        return PassReport(
            self.steps + other.steps, self.has_more or other.has_more, self.failures | other.failures
        )


class Engine:
    """Runs lanes that share one way to the server; `hello`, if there is one, comes before them. What lanes still do
    beside is over when `rest` returns.

    One pass at a time: another caller waits for it.
    """

    def __init__(
        self,
        hello: Hello | None,
        lanes: Sequence[Lane],
        memory: Memory,
        clock: Clock,
        sleep: Callable[[float], None],
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._hello, self._lanes, self._memory = hello, lanes, memory
        self._clock, self._sleep, self._rest = clock, sleep, rest
        self._running = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Of everything that has a memory of its own."""
        return [lane.name for lane in (*([self._hello] if self._hello else []), *self._lanes)]

    def run_pass(self, *, stop: Callable[[], bool] = lambda: False, pass_s: float = PASS_S) -> PassReport:
        """Works until nothing is due, `stop()` says so, or `pass_s` are over. What the network did is in the
        report, and raised by nobody."""
        with self._running:
            report = PassReport()
            end_s = self._clock.monotonic() + pass_s

            def is_over() -> bool:
                return stop() or self._clock.monotonic() >= end_s

            if self._hello is None or self._greeted(self._hello, report, is_over):
                self._work(self._lanes, report, is_over)
            self._come_to_rest()
            return report

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Waits for the pass under way; while the block runs no other begins."""
        with self._running:
            yield

    def wait_s(self) -> float | None:
        """Seconds until a lane that failed may try again; None: none waits."""
        now_s = self._clock.time()
        waits = [backoff.wait_s(self._memory.of(name), now_s) for name in self.names]
        return min((wait for wait in waits if wait > 0), default=None)

    def _come_to_rest(self) -> None:
        """What cannot be noted here (disk full) is asked for again in the next pass, and fails there."""
        try:
            self._rest()
        except AgentError as error:
            log.warning("what the server answered could not be noted: %s [%s]", error.detail, error.code_)

    def _greeted(self, hello: Hello, report: PassReport, is_over: Callable[[], bool]) -> bool:
        """Whether the server was met, and nothing of it has to be mended any more."""
        self._work([hello], report, is_over)
        is_waiting = backoff.wait_s(self._memory.of(hello.name), self._clock.time()) > 0
        return not (is_waiting or report.failures or report.has_more)

    def _work(self, lanes: Sequence[Lane], report: PassReport, is_over: Callable[[], bool]) -> None:
        """One step of each in turn, as long as any has more to do and the server can be reached."""
        due = list(lanes)
        while due:
            for lane in tuple(due):
                if is_over():
                    report.has_more = True
                    return
                if not self._attempt(lane, report):
                    due.remove(lane)
                if any(error.kind is Kind.OFFLINE for error in report.failures.values()):
                    return

    def _attempt(self, lane: Lane, report: PassReport) -> bool:
        """One step, if the lane may try now; whether it has more to do."""
        state, now_s = self._memory.of(lane.name), self._clock.time()
        if backoff.wait_s(state, now_s) > 0:
            return False
        is_probe = backoff.breaker(state, now_s) == "half-open"
        try:
            is_more = lane.step() if is_probe else self._patiently(lane)
        except AgentError as error:
            report.failures[lane.name] = failure = error if isinstance(error, SyncFailed) else _local(error)
            self._memory.failed(lane.name, failure)
            if self._hello is not None:
                self._hello.want()
            return False
        self._memory.worked(lane.name)
        report.steps += 1
        return is_more

    def _patiently(self, lane: Lane) -> bool:
        """A step, repeated at once when it broke on the way: every request may be sent twice."""
        patience = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS_IN_A_PASS),
            retry=tenacity.retry_if_exception(_is_tried_at_once),
            wait=lambda state: backoff.share_of(self._clock.random(4)) * 0.2 * 2**state.attempt_number,
            sleep=self._sleep,
            reraise=True,
        )
        return patience(lane.step)


def _is_tried_at_once(error: BaseException) -> bool:
    return isinstance(error, SyncFailed) and error.code_ in TRIED_AT_ONCE and error.retry_after is None


def _local(error: AgentError) -> SyncFailed:
    """A fault of this machine (disk full, database busy) halts the lane like any other."""
    return SyncFailed(Kind.TRANSIENT, error.code_, error.detail)
