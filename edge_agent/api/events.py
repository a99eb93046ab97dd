"""What happens in the agent, as a stream that any number of windows can follow.

Rules of this file:
- `publish` may be called from any thread and never blocks; a window that does not keep up is cut off and
  comes back with the id of the last event it saw.
- A bounded buffer answers what a window missed; one that was away for longer, or across a restart of the
  agent, gets `reset`: read everything afresh.
- An event wakes, it never carries what only some people may see: who follows decides by `Event.facts` what
  to pass on.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.clock import Clock

BUFFERED = 1000
MAX_BEHIND = 500


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is START-SEQ: a restarted agent never continues another's numbers."""

    id: str
    kind: str
    facts: Mapping[str, Any]
    at: str


@dataclass(frozen=True, slots=True, eq=False)
class _Follower:
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Event | None]


class Events:
    """The stream. `publish` is what sessions, intake, folders and health call after each change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.random(4).hex()
        self._seq = 0
        self._buffer: deque[Event] = deque(maxlen=BUFFERED)
        self._followers: set[_Follower] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    def publish(self, kind: str, facts: Mapping[str, Any]) -> None:
        with self._lock:
            self._seq += 1
            event = Event(f"{self._start}-{self._seq}", kind, dict(facts), self._clock.now())
            self._buffer.append(event)
            for follower in self._followers:
                _wake(follower, event)

    def close(self) -> None:
        """Ends every stream, so that the server can stop."""
        with self._lock:
            self._is_closed = True
            for follower in self._followers:
                _wake(follower, None)

    @property
    def followers(self) -> int:
        return len(self._followers)

    async def follow(self, last_id: str | None) -> AsyncIterator[Event]:
        """Everything after `last_id` (None: from now on), then what comes; ends when cut off or closed."""
        follower = _Follower(asyncio.get_running_loop(), asyncio.Queue(MAX_BEHIND))
        with self._lock:
            missed = self._missed(last_id)
            if self._is_closed:
                return
            self._followers.add(follower)
        try:
            for event in missed:
                yield event
            while (event_ := await follower.queue.get()) is not None:
                yield event_
        finally:
            with self._lock:
                self._followers.discard(follower)

    def _missed(self, last_id: str | None) -> list[Event]:
        if last_id is None:
            return []
        start, _, number = last_id.partition("-")
        seq = int(number) if number.isdecimal() and len(number) < 19 else -1
        first = self._seq - len(self._buffer) + 1
        if start != self._start or not first - 1 <= seq <= self._seq:
            return [Event(f"{self._start}-{self._seq}", "reset", {}, self._clock.now())]
        return list(self._buffer)[seq - first + 1 :]


def _wake(follower: _Follower, event: Event | None) -> None:
    def put() -> None:
        try:
            follower.queue.put_nowait(event)
        except asyncio.QueueFull:
            while not follower.queue.empty():
                follower.queue.get_nowait()
            follower.queue.put_nowait(None)

    try:
        follower.loop.call_soon_threadsafe(put)
    except RuntimeError:  # its loop has ended; the stream's own clean-up removes it
        return
