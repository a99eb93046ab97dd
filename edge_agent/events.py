"""What just happened, for whoever watches: windows, loops, logs.

Rules of this file:
- An event is a hint; whoever needs certainty reads the tables. Publishing never blocks and never fails.
- The last events are kept so that a window that lost its connection can ask for what it missed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

KEPT = 1000

Notify = Callable[[str, Mapping[str, Any]], None]
"""What `Events.publish` is to whoever has news: its kind, and the facts."""


@dataclass(frozen=True, slots=True)
class Event:
    """`seq` counts from 1 since the agent started."""

    seq: int
    kind: str
    facts: Mapping[str, Any]


class Events:
    """Publish and subscribe within the process; subscribers run on the publisher's thread: be quick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._subscribers: list[Callable[[Event], None]] = []
        self._seq = 0

    def publish(self, kind: str, facts: Mapping[str, Any]) -> None:
        with self._lock:
            self._seq += 1
            event = Event(self._seq, kind, facts)
            self._kept.append(event)
            subscribers = tuple(self._subscribers)
        for subscriber in subscribers:
            subscriber(event)

    def subscribe(self, subscriber: Callable[[Event], None], after_seq: int | None = None) -> list[Event]:
        """From now on calls `subscriber`; returns the kept events after `after_seq` (None: none of them)."""
        with self._lock:
            self._subscribers.append(subscriber)
            return [] if after_seq is None else [event for event in self._kept if event.seq > after_seq]

    def unsubscribe(self, subscriber: Callable[[Event], None]) -> None:
        with self._lock:
            self._subscribers.remove(subscriber)
