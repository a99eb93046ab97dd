"""How fast what waits goes out, and when it will be gone, from what was sent in the last seconds.

Rules of this file:
- A rate is over the last WINDOW_S seconds and over SHORTEST_S at least: one batch is no rate.
- Who listens never holds up who sends: hearing of a batch adds a line to a short list.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.clock import Clock
from edge_agent.events import Event

WINDOW_S = 20.0
SHORTEST_S = 1.0
KEPT = 2000


@dataclass(frozen=True, slots=True)
class Sent:
    """What the server acknowledged at an instant (monotonic seconds)."""

    at_s: float
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Pace:
    """None: nothing was sent lately, or there is no telling."""

    rows_per_s: float | None = None
    bytes_per_s: float | None = None
    eta_s: float | None = None


def pace(sent: Sequence[Sent], now_s: float, rows_left: int, bytes_left: int) -> Pace:
    """How fast it goes; `bytes_left` of photographs."""
    recent = [one for one in sent if now_s - one.at_s <= WINDOW_S]
    if not recent:
        return Pace()
    seconds = max(now_s - recent[0].at_s, SHORTEST_S)
    rows, size = sum(one.rows for one in recent) / seconds, sum(one.bytes for one in recent) / seconds
    waits = [left / rate if rate else None for left, rate in ((rows_left, rows), (bytes_left, size)) if left]
    known = [wait for wait in waits if wait is not None]
    return Pace(rows, size, max(known, default=0.0) if len(known) == len(waits) else None)


class Meter:
    """Hears what the lanes send. `heard` is a subscriber of the agent's events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sent: deque[Sent] = deque(maxlen=KEPT)
        self._rows = self._bytes = 0

    def heard(self, event: Event) -> None:
        if event.kind != "sync" or event.facts.get("lane") not in ("push", "blobs"):
            return
        is_rows = event.facts["lane"] == "push"
        rows, size = (int(event.facts["rows"]), 0) if is_rows else (0, int(event.facts["bytes"]))
        with self._lock:
            self._sent.append(Sent(self._clock.monotonic(), rows, size))
            self._rows, self._bytes = self._rows + rows, self._bytes + size

    @property
    def total(self) -> Sent:
        """Everything heard of so far."""
        with self._lock:
            return Sent(self._clock.monotonic(), self._rows, self._bytes)

    def pace(self, rows_left: int, bytes_left: int) -> Pace:
        with self._lock:
            sent = list(self._sent)
        return pace(sent, self._clock.monotonic(), rows_left, bytes_left)
