"""Time and identity: where "now" and new ids come from.

Rules of this file:
- Nothing else in the product reads a clock or draws random bytes; constructors take a `Clock`.
- Records carry wall-clock instants (UTC, RFC 3339, milliseconds, Z); waits use `monotonic`.
"""

from __future__ import annotations

import os
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
    value = (int(unix_s * 1000) & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


@dataclass(frozen=True, slots=True)
class Clock:
    """The three sources of everything that is not a function of its arguments."""

    time: Callable[[], float] = field(default=system_time.time)
    monotonic: Callable[[], float] = field(default=system_time.monotonic)
    random: Callable[[int], bytes] = field(default=os.urandom)

    def now(self) -> str:
        """The present instant as stored in records."""
        return to_rfc3339(self.time())

    def new_id(self) -> str:
        """A fresh UUIDv7: sorts by creation time, so indexes grow at one end."""
        return uuid7(self.time(), self.random(10))
