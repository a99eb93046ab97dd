"""Time and identity: where "now" and new ids come from.

Rules of this file:
- Nothing else in the product reads a clock or draws random bytes; constructors take a `Clock`.
- Records carry wall-clock instants (UTC, RFC 3339, milliseconds, Z); waits use `monotonic`.
- Ids only ever grow, whatever the wall clock does: which image is newer is decided by them, so a clock set
  back must not make today's verdict older than yesterday's. A restart goes on from the store's newest id.
"""

from __future__ import annotations

import os
import threading
import time as system_time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


def to_rfc3339(unix_s: float) -> str:
    """Seconds since the epoch as the text we store: `2026-11-23T04:05:06.789Z`."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> float:
    """Inverse of `to_rfc3339`, seconds; raises ValueError on anything without a zone."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return instant.timestamp()


def uuid7(unix_s: float, random: bytes) -> str:
    """A UUID version 7 (RFC 9562 §5.7) from an instant and 10 random bytes, as lower-case text."""
    return _as_uuid7(_rank(unix_s, random))


@dataclass(slots=True)
class _LastId:
    """The highest rank handed out: the 48 bits of time and 74 of randomness of a UUIDv7 as one number."""

    rank: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Clock:
    """The three sources of everything that is not a function of its arguments."""

    time: Callable[[], float] = field(default=system_time.time)
    monotonic: Callable[[], float] = field(default=system_time.monotonic)
    random: Callable[[int], bytes] = field(default=os.urandom)
    _last: _LastId = field(default_factory=_LastId, init=False, repr=False, compare=False)

    def now(self) -> str:
        """The present instant as stored in records."""
        return to_rfc3339(self.time())

    def new_id(self) -> str:
        """A fresh UUIDv7, higher than every one before it: indexes grow at one end."""
        random = self.random(10)
        fresh = _rank(self.time(), random)
        with self._last.lock:
            step = 1 + int.from_bytes(random[-4:], "big")  # RFC 9562 §6.2, method 2
            self._last.rank = max(fresh, self._last.rank + step)
            return _as_uuid7(self._last.rank)

    def continue_after(self, newest_id: str) -> None:
        """Makes every later id higher than this UUIDv7 (the newest one in the store)."""
        value = uuid.UUID(newest_id).int
        rank = (value >> 80) << 74 | (value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1
        with self._last.lock:
            self._last.rank = max(rank, self._last.rank)


def _rank(unix_s: float, random: bytes) -> int:
    bits = int.from_bytes(random[:10], "big")
    milliseconds = int(unix_s * 1000) & (1 << 48) - 1
    return milliseconds << 74 | (bits >> 64 & 0xFFF) << 62 | bits & (1 << 62) - 1


def _as_uuid7(rank: int) -> str:
    time_and_version = (rank >> 74) << 16 | 0x7000 | rank >> 62 & 0xFFF
    return str(uuid.UUID(int=time_and_version << 64 | 0b10 << 62 | rank & (1 << 62) - 1))
