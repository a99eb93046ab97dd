"""The supervised pool of inference processes, as the daemon uses it.

Rules of this file:
- Standard library only: networks, OpenCV and numpy live in the child (`child.py`).
- `_lock` guards all state. It is never held while a future is settled, a pipe is written or a
  process is waited for: such things are collected as `Afterwards` and run once it is released.
- Threads: one supervisor (starts and ends processes, enforces deadlines; on Linux a child dies with
  the thread that started it) and one reader per process, on which futures are settled: callbacks
  must be short. Idle threads sleep without a timeout.
- A process that dies, passes a deadline or answers nonsense is replaced; its line goes to the
  successor except for the task to blame. Past the restart limit the state is degraded: everything
  asked fails at once, until a probe comes up.
- Requests that try out foreign networks (`APART`) get a process of their own, so that a bad model
  never stops the line.
"""

from __future__ import annotations

import math
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from edge_agent.clock import Clock
from edge_agent.errors import InferenceFailed
from edge_agent.inference import failures
from edge_agent.inference.jobs import Equipment, Job, ModelFault, ModelKey, PoolState, Ticket
from edge_agent.inference.lane import Afterwards, Lane, Task, configuration_task, job_task, request_task
from edge_agent.inference.process import ChildProcess
from edge_agent.inference.restarts import RestartLimit
from edge_agent.inference.wire import MAX_LINE_BYTES, Message, decode_event

APART = frozenset({"install", "verify"})
GROW_AT = 2
"""Tasks that find no place with the running processes before another one is started."""


@dataclass(eq=False, slots=True)
class _Worker:
    process: ChildProcess
    lane: Lane
    visitor: bool = False
    """Started for one APART request, ends with it."""
    is_leaving: bool = False
    failure: InferenceFailed | None = None
    reader: threading.Thread | None = None

    def takes(self, prefetch: int) -> bool:
        return self.lane.is_ready and not self.is_leaving and len(self.lane) < prefetch


class InferencePool:
    """Runs jobs in at most `workers` processes; those beyond the first only while there is work for them."""

    def __init__(
        self,
        *,
        workers: int = 1,
        prefetch: int = 2,
        threads: int = 1,
        cache_dir: Path | None = None,
        idle_s: float = 30.0,
        limit: RestartLimit | None = None,
        clock: Clock | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """`prefetch` tasks lie before a process at a time; each network gets `threads`; `cache_dir` keeps
        optimised graphs; a further process ends after `idle_s`. `command` is for frozen programs."""
        self._max_workers = workers
        self._prefetch = prefetch
        self._idle_s = idle_s
        self._limit = limit or RestartLimit()
        self._monotonic = (clock or Clock()).monotonic
        self._command = [*(command or (sys.executable, "-m", "edge_agent.inference.child"))]
        self._command += ["--threads", str(threads)]
        self._command += ["--cache-dir", str(cache_dir)] if cache_dir else []
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._quiet = threading.Condition(self._lock)
        self._crew: list[_Worker] = []
        self._visitor: _Worker | None = None
        self._backlog: deque[Task] = deque()
        self._visits: deque[Task] = deque()
        self._equipment = Equipment()
        self._configured: Future[tuple[ModelFault, ...]] = Future()
        self._last_failure: str | None = None
        self._wake_at = -math.inf
        self._is_open = False
        self._supervisor = threading.Thread(target=self._supervise, name="inference-supervisor", daemon=True)

    def start(self) -> None:
        """Begins to start the first process and returns at once; jobs may be submitted right away."""
        self._is_open = True
        self._supervisor.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Finishes what is under way (at most `timeout_s`), fails the rest, ends the processes."""
        with self._lock:
            if not self._is_open:
                return
            self._quiet.wait_for(self._is_quiet, timeout_s)
            self._is_open = False
            self._work.notify_all()
        self._supervisor.join()

    def submit(self, job: Job) -> Ticket:
        """Asks for a verdict; a degraded or closed pool fails the ticket's futures.

        Waits for no answer, only until a process that is free has taken the picture's bytes in.

        Raises TypeError or ValueError when the job's mappings are not JSON.
        """
        task = job_task(job)
        self._ask(task, self._backlog)
        assert task.ticket is not None
        return task.ticket

    def request(self, kind: str, deadline_s: float = 60.0, **arguments: Any) -> Future[Message]:
        """Asks a process for something else than a verdict; the kinds stand in `requests.REQUESTS`."""
        task = request_task(kind, deadline_s, arguments)
        self._ask(task, self._visits if kind in APART else self._backlog)
        assert task.answer is not None
        return task.answer

    def configure(
        self, models: Mapping[ModelKey, Path], assets: Mapping[str, Path], *, reads_text: bool = False
    ) -> Future[tuple[ModelFault, ...]]:
        """Replaces what the processes hold, as one value: a job sees all of it or all of what was before.

        `reads_text` loads the text reader now instead of with the first text (it takes a second or more).
        The future gives the packages that could not be loaded, once a process has loaded the others.
        """
        after: Afterwards = []
        with self._lock:
            if self._configured.done():
                self._configured = Future()
            self._equipment = Equipment(dict(models), dict(assets), reads_text)
            for worker in self._crew:
                if not worker.is_leaving:
                    self._put(worker, configuration_task(self._equipment), after)
            future = self._configured
        _run(after)
        return future

    @property
    def state(self) -> PoolState:
        """The pool as health reports it; reads the processes' memory from the system."""
        with self._lock:
            workers = self._everyone()
            sizes = [size for worker in workers if (size := worker.process.rss_bytes()) is not None]
            return PoolState(
                state=self._word(),
                pids=tuple(worker.process.pid for worker in workers),
                restarts=self._limit.count,
                rss_bytes=sum(sizes) if sizes else None,
                waiting=len(self._backlog) + len(self._visits),
                running=sum(len(worker.lane) for worker in workers),
                faults=next((worker.lane.faults for worker in self._crew if worker.lane.is_ready), ()),
                last_failure=self._last_failure,
            )

    def _word(self) -> Literal["starting", "ok", "degraded", "stopped"]:
        if not self._is_open:
            return "stopped"
        if self._limit.is_degraded:
            return "degraded"
        return "ok" if any(worker.lane.is_ready for worker in self._crew) else "starting"

    def _ask(self, task: Task, queue: deque[Task]) -> None:
        after: Afterwards = []
        with self._lock:
            refusal = self._refusal(queue)
            if refusal is None:
                queue.append(task)
                self._distribute(after)
                if self._lacks_worker() or self._lacks_visitor():
                    self._wake(-1.0)
            else:
                after.append(partial(task.fail, refusal))
        _run(after)

    def _refusal(self, queue: deque[Task]) -> InferenceFailed | None:
        if not self._is_open:
            return failures.stopped()
        return (
            failures.degraded(self._last_failure)
            if queue is self._backlog and self._limit.is_degraded
            else None
        )

    def _distribute(self, after: Afterwards) -> None:
        """Gives waiting tasks to the least loaded processes."""
        while self._backlog:
            free = [worker for worker in self._crew if worker.takes(self._prefetch)]
            if not free:
                return
            self._put(min(free, key=lambda worker: len(worker.lane)), self._backlog.popleft(), after)

    def _put(self, worker: _Worker, task: Task, after: Afterwards) -> None:
        worker.lane.put(task, self._monotonic())
        self._wake(worker.lane.due_at)
        after.append(worker.process.flush)

    def _wake(self, at: float) -> None:
        """Makes the supervisor look at `at`; left asleep when it wakes before that anyway."""
        if at < self._wake_at:
            self._wake_at = at
            self._work.notify_all()

    def _lacks_worker(self) -> bool:
        if not self._crew:
            return True
        starting = any(not worker.lane.is_ready for worker in self._crew)
        return not starting and len(self._crew) < self._max_workers and len(self._backlog) >= GROW_AT

    def _lacks_visitor(self) -> bool:
        return bool(self._visits) and self._visitor is None

    def _everyone(self) -> list[_Worker]:
        return self._crew + ([self._visitor] if self._visitor else [])

    def _is_quiet(self) -> bool:
        return not self._backlog and not self._visits and all(w.lane.is_idle for w in self._everyone())

    # The supervisor thread.

    def _supervise(self) -> None:
        while True:
            after: Afterwards = []
            with self._lock:
                if not self._is_open:
                    break
                self._look(self._monotonic(), after)
                if not after:
                    self._wake_at = self._next_look()
                    pause_s = self._wake_at - self._monotonic()
                    self._work.wait(None if pause_s == math.inf else max(0.0, pause_s))
                    self._wake_at = -math.inf
            _run(after)
        self._shut_down()

    def _look(self, now: float, after: Afterwards) -> None:
        """Everything that is due: overdue processes, idle ones, missing ones."""
        for worker in self._everyone():
            if now >= worker.lane.due_at and not worker.failure:
                worker.failure = failures.timed_out(worker.lane.patience_s)
                after.append(worker.process.kill)
        for worker in self._crew[1:]:
            if now >= self._leaves_at(worker):
                worker.is_leaving = True
                after.append(worker.process.hang_up)
        if self._limit.is_degraded:
            after += [partial(task.fail, failures.degraded(self._last_failure)) for task in self._backlog]
            self._backlog.clear()
        if self._limit.probe_at is not None and now >= self._limit.probe_at and self._has_ready():
            self._limit.recovered()
        if self._lacks_worker() and (self._limit.probe_at is None or now >= self._limit.probe_at):
            after.append(self._start_worker)
        if self._lacks_visitor():
            after.append(self._start_visitor)

    def _next_look(self) -> float:
        times = [worker.lane.due_at for worker in self._everyone() if not worker.failure]
        times += [self._leaves_at(worker) for worker in self._crew[1:]]
        if self._limit.probe_at is not None and (not self._crew or self._has_ready()):
            times.append(self._limit.probe_at)
        return min(times, default=math.inf)

    def _leaves_at(self, worker: _Worker) -> float:
        idle = worker.lane.is_ready and worker.lane.is_idle and not worker.is_leaving
        return worker.lane.idle_since + self._idle_s if idle else math.inf

    def _has_ready(self) -> bool:
        return any(worker.lane.is_ready for worker in self._crew)

    def _start_worker(self) -> None:
        process = self._start_process()
        if process is None:
            return
        worker, after = _Worker(process, Lane(process.outbox)), Afterwards()
        with self._lock:
            self._crew.append(worker)
            self._put(worker, configuration_task(self._equipment), after)
        self._listen(worker)
        _run(after)

    def _start_visitor(self) -> None:
        process = self._start_process()
        if process is None:
            with self._lock:
                task = self._visits.popleft()
            task.fail(failures.crashed(None))
            return
        worker, after = _Worker(process, Lane(process.outbox), visitor=True), Afterwards()
        with self._lock:
            self._visitor = worker
            self._put(worker, self._visits.popleft(), after)
        self._listen(worker)
        _run(after)

    def _start_process(self) -> ChildProcess | None:
        try:
            return ChildProcess(self._command)
        except OSError as error:
            self._count_crash(InferenceFailed(f"the inference process cannot be started: {error}"))
            return None

    def _listen(self, worker: _Worker) -> None:
        name = f"inference-{worker.process.pid}"
        worker.reader = threading.Thread(target=self._read, args=(worker,), name=name, daemon=True)
        worker.reader.start()

    def _shut_down(self) -> None:
        with self._lock:
            waiting, workers = [*self._backlog, *self._visits], self._everyone()
            self._backlog.clear()
            self._visits.clear()
        for task in waiting:
            task.fail(failures.stopped())
        for worker in workers:
            if worker.lane.is_idle:
                worker.process.hang_up()
            else:
                worker.process.kill()
        for worker in workers:
            if worker.reader:
                worker.reader.join()

    # The reader threads.

    def _read(self, worker: _Worker) -> None:
        failure = None
        while line := worker.process.output.readline(MAX_LINE_BYTES):
            try:
                self._heard(worker, decode_event(line))
            except (ValueError, KeyError, TypeError) as error:
                failure = InferenceFailed(
                    f"the inference process answered nonsense: {error}", code="inference-crash"
                )
                worker.process.kill()
                break
        exit_code = worker.process.end()
        self._ended(worker, worker.failure or failure or failures.crashed(exit_code))

    def _heard(self, worker: _Worker, event: Message) -> None:
        with self._lock:
            after = worker.lane.heard(event, self._monotonic())
            if event["event"] == "configured":
                self._limit.recovered()
                if worker.lane.configurations == 0 and not self._configured.done():
                    after.append(partial(self._configured.set_result, worker.lane.faults))
            if worker.visitor and worker.lane.is_idle:
                worker.is_leaving = True
                after.append(worker.process.hang_up)
            self._distribute(after)
            self._wake(self._leaves_at(worker) if worker in self._crew[1:] else worker.lane.due_at)
            if self._is_quiet():
                self._quiet.notify_all()
        _run(after)

    def _ended(self, worker: _Worker, failure: InferenceFailed) -> None:
        """A process is gone: settle what it owed; the supervisor decides whether another one follows."""
        with self._lock:
            tasks, after = worker.lane.abandon(failure)
            if worker.visitor:
                self._visitor = None
            else:
                self._crew.remove(worker)
                if self._is_open and not worker.is_leaving:
                    self._count_crash(failure)
            if self._is_open and not worker.visitor:
                self._backlog.extendleft(reversed(tasks))
            else:
                after += [partial(task.fail, failures.stopped()) for task in tasks]
            self._distribute(after)
            self._wake_at = -math.inf
            self._work.notify_all()
            self._quiet.notify_all()
        _run(after)

    def _count_crash(self, failure: InferenceFailed) -> None:
        with self._lock:
            self._last_failure = failure.detail
            self._limit.crashed(self._monotonic())


def _run(actions: Afterwards) -> None:
    for action in actions:
        action()
