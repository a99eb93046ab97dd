"""What one inference process has been asked and still owes: the bookkeeping of its answers.

Rules of this file:
- No threads, no I/O, no clock: events and times come in, bytes to write and futures to settle go out
  (`Afterwards`, run by the caller once it holds no lock).
- A process answers in the order it was asked. The head of the line is what it works on; only the
  head's deadline runs. Pictures (`rendered`) come whenever they come.
- An event that does not fit what was asked is a ValueError, raised before anything has changed.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edge_agent.errors import AgentError, InferenceFailed
from edge_agent.inference.jobs import (
    Decoded,
    Equipment,
    Job,
    ModelFault,
    PlanRef,
    Ticket,
    configure_message,
    job_message,
    read_faults,
    read_result,
)
from edge_agent.inference.wire import Message, encode, error_from

CONFIGURE_S = 120.0
RENDER_S = 60.0
KNOWN_PLANS = 128

Afterwards = list[Callable[[], Any]]


@dataclass(eq=False, slots=True)
class Task:
    """Something asked of a process: a job (`ticket`), a request (`answer`) or a configuration (neither)."""

    body: bytes
    """Its message without the head that `Lane.put` gives it."""
    deadline_s: float
    ticket: Ticket | None = None
    answer: Future[Message] | None = None
    plan: PlanRef | None = None
    draws: bool = False
    picture: bytes = b""
    was_retried: bool = False

    def fail(self, error: AgentError) -> None:
        """Gives every unsettled future the error."""
        futures: list[Future[Any]] = [self.answer] if self.answer else []
        if self.ticket:
            futures = [self.ticket.decoded, self.ticket.result, self.ticket.rendered]
        for future in futures:
            if not future.done():
                future.set_exception(error)

    @property
    def is_configuration(self) -> bool:
        return self.ticket is None and self.answer is None


def job_task(job: Job) -> Task:
    """Raises TypeError or ValueError when criteria, scan or calibration are not JSON."""
    return Task(
        encode(job_message(job)),
        job.deadline_s,
        ticket=Ticket(),
        plan=job.plan,
        draws=job.derived is not None,
        picture=job.picture if isinstance(job.picture, bytes) else b"",
    )


def request_task(kind: str, deadline_s: float, arguments: dict[str, Any]) -> Task:
    answer: Future[Message] = Future()
    answer.set_running_or_notify_cancel()
    body = encode({"op": "request", "kind": kind, "arguments": arguments})
    return Task(body, deadline_s, answer=answer)


def configuration_task(equipment: Equipment) -> Task:
    return Task(encode(configure_message(equipment)), CONFIGURE_S)


@dataclass(eq=False, slots=True)
class Lane:
    """The line of tasks before one process. `is_ready`: it has its equipment and may be given work."""

    outbox: deque[bytes]
    is_ready: bool = False
    due_at: float = math.inf
    """Monotonic seconds by which the process must have answered; infinite when it owes nothing."""
    idle_since: float = 0.0
    faults: tuple[ModelFault, ...] = ()
    configurations: int = 0
    """Configurations asked for and not yet confirmed."""
    _line: OrderedDict[int, Task] = field(default_factory=OrderedDict)
    _drawing: OrderedDict[int, Task] = field(default_factory=OrderedDict)
    _plans: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _serial: int = 0

    def __len__(self) -> int:
        """Tasks not yet answered; pictures still due do not count."""
        return len(self._line)

    @property
    def is_idle(self) -> bool:
        return not self._line and not self._drawing

    @property
    def patience_s(self) -> float:
        """The deadline that `due_at` came from."""
        return next((task.deadline_s for task in self._line.values()), RENDER_S)

    def put(self, task: Task, now: float) -> None:
        """Appends `task` to the line and its message to the outbox."""
        self._serial += 1
        head: Message = {"id": self._serial, "follows": len(task.picture)}
        if task.plan and task.plan.sha256 not in self._plans:
            head["plan"] = task.plan.definition
            self._plans[task.plan.sha256] = None
            if len(self._plans) > KNOWN_PLANS:
                self._plans.popitem(last=False)
        self.outbox.append(encode(head)[:-2] + b"," + task.body[1:])
        if task.picture:
            self.outbox.append(task.picture)
        self._line[self._serial] = task
        self.configurations += task.is_configuration
        if len(self._line) == 1:
            self._arm(now)

    def heard(self, event: Message, now: float) -> Afterwards:
        """Takes in what the process said; raises ValueError, KeyError or TypeError when it is nonsense."""
        return _EVENTS[event["event"]](self, event, now)

    def abandon(self, failure: InferenceFailed) -> tuple[list[Task], Afterwards]:
        """The process is gone: tasks to ask of another one, and the failure of those it took with it.

        The head is to blame, unless the process may still have been drawing an earlier job's
        pictures: then the head gets one more try.
        """
        after: Afterwards = [partial(task.fail, failure) for task in self._drawing.values()]
        tasks = list(self._line.values())
        head = tasks[0] if tasks else None
        if head and not head.is_configuration:
            began = head.ticket is not None and head.ticket.decoded.done()
            if self._drawing and not began and not head.was_retried:
                head.was_retried = True
            else:
                after.append(partial(tasks.pop(0).fail, failure))
        return [task for task in tasks if not task.is_configuration], after

    def _arm(self, now: float) -> None:
        owes = self._line or self._drawing
        self.idle_since = now
        self.due_at = now + self.patience_s if owes else math.inf

    def _head(self, event: Message) -> Task:
        serial, task = next(iter(self._line.items()), (None, None))
        if task is None or event["id"] != serial:
            raise ValueError(f"an answer to {event['id']} while {serial} is asked")
        return task

    def _pop(self, now: float) -> Task:
        task = self._line.popitem(last=False)[1]
        task.picture = b""
        self._arm(now)
        return task

    def _on_configured(self, event: Message, now: float) -> Afterwards:
        faults = read_faults(event)
        if not self._head(event).is_configuration:
            raise ValueError("nobody asked to configure")
        self._pop(now)
        self.configurations -= 1
        self.is_ready, self.faults = True, faults
        return []

    def _on_decoded(self, event: Message, now: float) -> Afterwards:
        ticket = self._head(event).ticket
        size = Decoded(int(event["width_px"]), int(event["height_px"]))
        if ticket is None or ticket.decoded.done():
            raise ValueError("an unexpected decoded")
        return [partial(ticket.decoded.set_result, size)]

    def _on_result(self, event: Message, now: float) -> Afterwards:
        result = read_result(event)
        task = self._head(event)
        if task.ticket is None or (result is None) != (task.plan is None) or not task.ticket.decoded.done():
            raise ValueError("an unexpected result")
        if task.draws:
            self._drawing[event["id"]] = task
        self._pop(now)
        settled: Afterwards = [partial(task.ticket.result.set_result, result)]
        return settled if task.draws else [*settled, partial(task.ticket.rendered.set_result, ())]

    def _on_rendered(self, event: Message, now: float) -> Afterwards:
        task = self._drawing[event["id"]]
        paths = tuple(map(str, event.get("paths", ())))
        del self._drawing[event["id"]]
        if not self._line:
            self._arm(now)
        assert task.ticket is not None
        if event.get("error") is not None:
            return [partial(task.ticket.rendered.set_exception, error_from(event["error"]))]
        return [partial(task.ticket.rendered.set_result, paths)]

    def _on_answered(self, event: Message, now: float) -> Afterwards:
        answer = self._head(event).answer
        if answer is None or not isinstance(event["value"], dict):
            raise ValueError("an unexpected answer")
        self._pop(now)
        return [partial(answer.set_result, event["value"])]

    def _on_failed(self, event: Message, now: float) -> Afterwards:
        if self._head(event).is_configuration:
            raise ValueError("a configuration lists its faults, it does not fail")
        return [partial(self._pop(now).fail, error_from(event.get("error")))]


_EVENTS: dict[str, Callable[[Lane, Message, float], Afterwards]] = {
    "configured": Lane._on_configured,
    "decoded": Lane._on_decoded,
    "result": Lane._on_result,
    "rendered": Lane._on_rendered,
    "answered": Lane._on_answered,
    "failed": Lane._on_failed,
}
