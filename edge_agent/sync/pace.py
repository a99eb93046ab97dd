"""How fast the queue drains, and when it will be empty, from what was seen waiting at a few instants.

Rules of this file:
- Pure. A rate is over the last WINDOW_S seconds; what was added meanwhile counts against it, so the estimate is
  of the queue as it really shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 20.0
SHORTEST_S = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """What waited at an instant (monotonic seconds)."""

    at_s: float
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Pace:
    """None: not known yet, or nothing moves."""

    rows_per_s: float | None = None
    bytes_per_s: float | None = None
    eta_s: float | None = None


def add(samples: Sequence[Sample], new: Sample) -> tuple[Sample, ...]:
    """The samples of the window that ends with `new`."""
    return (*(one for one in samples if new.at_s - one.at_s <= WINDOW_S), new)


def pace(samples: Sequence[Sample]) -> Pace:
    """How fast the newest sample came about from the oldest."""
    if len(samples) < 2 or samples[-1].at_s - samples[0].at_s < SHORTEST_S:
        return Pace()
    first, last = samples[0], samples[-1]
    seconds = last.at_s - first.at_s
    rows, size = (first.rows - last.rows) / seconds, (first.bytes - last.bytes) / seconds
    waits = [left / rate for left, rate in ((last.rows, rows), (last.bytes, size)) if left and rate > 0]
    stuck = (last.rows and rows <= 0) or (last.bytes and size <= 0)
    return Pace(max(rows, 0.0), max(size, 0.0), None if stuck else max(waits, default=0.0))
