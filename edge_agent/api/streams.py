"""The agent's events as a stream that any number of windows can follow (server-sent events).

Rules of this file:
- An event is published on any thread and never waits for a window: one that does not keep up is cut off and
  comes back with the id of the last event it saw.
- An id is START-SEQ. Who missed more than is kept, or comes back to a restarted agent, gets `reset`: read
  everything afresh.
- In blind mode an inspector's stream does not say what the AI found.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from edge_agent.events import Event, Events

MAX_BEHIND = 500
HEARTBEAT_S = 15.0
WITHHELD = frozenset({"overall_result", "confidence"})


class Streams:
    """The open streams. `start` tells this run of the agent from every other."""

    def __init__(self, events: Events, start: str) -> None:
        self._events, self._start = events, start
        self._open: dict[asyncio.Queue[Event | None], asyncio.AbstractEventLoop] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Ends every stream after what was published before, so that the server can stop; from any thread."""
        self._is_closed = True
        for queue, loop in list(self._open.items()):
            _put(loop, queue, None)

    async def follow(
        self, last_id: str | None, *, is_blind: bool = False, heartbeat_s: float = HEARTBEAT_S
    ) -> AsyncIterator[bytes]:
        """Frames as they go over the wire: what came after `last_id`, then what comes, heartbeats between."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Event | None](MAX_BEHIND)

        def arrived(event: Event) -> None:
            _put(loop, queue, event)

        after_seq = seq_of(last_id, self._start)
        missed = self._events.subscribe(arrived, after_seq)
        self._open[queue] = loop
        is_over = self._is_closed  # else `close` sees this one and says so in the queue
        try:
            yield b": stream\nretry: 2000\n\n"
            if last_id is not None and is_gap(after_seq, missed):
                yield b"event: reset\ndata: {}\n\n"
            for event in missed:
                yield self._frame(event, is_blind)
            while not is_over:
                try:
                    event_ = await asyncio.wait_for(queue.get(), heartbeat_s)
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                if event_ is None:
                    return
                yield self._frame(event_, is_blind)
        finally:
            self._events.unsubscribe(arrived)
            del self._open[queue]

    def _frame(self, event: Event, is_blind: bool) -> bytes:
        facts = withhold(event.facts) if is_blind else event.facts
        data = json.dumps(facts, ensure_ascii=False, default=str)
        return f"id: {self._start}-{event.seq}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def seq_of(last_id: str | None, start: str) -> int | None:
    """The number in an id of this run; None for anything else."""
    own, _, number = (last_id or "").partition("-")
    return int(number) if own == start and number.isdecimal() and len(number) < 19 else None


def is_gap(after_seq: int | None, missed: list[Event]) -> bool:
    """Whether something between `after_seq` and the kept events is lost."""
    return after_seq is None or bool(missed and missed[0].seq != after_seq + 1)


def withhold(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in WITHHELD}


def _put(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Event | None], event: Event | None) -> None:
    def put() -> None:
        if queue.full():  # this window does not keep up: the end instead of everything it has not read
            while not queue.empty():
                queue.get_nowait()
            event_ = None
        else:
            event_ = event
        queue.put_nowait(event_)

    with suppress(RuntimeError):  # its loop has ended: the stream is gone
        loop.call_soon_threadsafe(put)
