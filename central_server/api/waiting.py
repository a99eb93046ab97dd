"""Devices that wait for a change: woken the moment their space moves on.

Rules of this file:
- `publish` comes from any thread and never waits; whoever waits looks at what was published, never at the database.
- A wait ends at its timeout at the latest, and at once when the server stops or the device has gone: one that came
  back after a break would else wait twice, and the others would be let go around somebody who is not there.
- One change wakes many: they are let go one after the other, because each of them asks for it at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from central_server.errors import Unavailable
from central_server.store.listening import Heads

Departure = Callable[[], Coroutine[Any, Any, None]]
SPACING_S = 0.002  # more than the server needs for what a device asks next: a pull, and to wait again


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """One request: it waits for `space` to be past `cursor`, and goes on when `woken`."""

    space: str
    cursor: int
    before: Heads | None
    woken: asyncio.Event
    loop: asyncio.AbstractEventLoop

    def has_news(self, heads: Heads | None) -> bool:
        """Whether the space went on, or the history became another one."""
        if heads is None:
            return False
        is_other_history = self.before is not None and heads.server_epoch != self.before.server_epoch
        return is_other_history or heads.by_space.get(self.space, 0) > self.cursor


class Waiting:
    """Who waits, and where the spaces are."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heads: Heads | None = None
        self._open: set[Waiter] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    def publish(self, heads: Heads) -> None:
        if heads != self._heads:
            self._heads = heads
            self._wake((one for one in list(self._open) if one.has_news(heads)), SPACING_S)

    def close(self) -> None:
        """Ends every wait, so that the server can stop; from any thread."""
        self._is_closed = True
        self._wake(list(self._open), 0.0)

    async def until(self, space: str, cursor: int, timeout_s: float, departure: Departure) -> Heads:
        """Returns when the space is past `cursor`, the history became another one, or the time is over; and when
        `departure` does, which waits until nobody wants to know any more.

        Raises Unavailable: `throttled` when too many wait, `database-unavailable` when nothing is known.
        """
        if len(self._open) >= self._limit:
            raise Unavailable("throttled", f"{len(self._open)} devices wait already.", retry_after_s=30.0)
        waiter = Waiter(space, cursor, self._heads, asyncio.Event(), asyncio.get_running_loop())
        self._open.add(waiter)
        leaving = asyncio.create_task(departure())
        leaving.add_done_callback(lambda _: waiter.woken.set())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    if not self._is_closed and not waiter.has_news(self._heads):
                        await waiter.woken.wait()
        finally:
            self._open.discard(waiter)
            leaving.cancel()
        if self._heads is None:
            raise Unavailable("database-unavailable", "The database has not been reached yet.")
        return self._heads

    def _wake(self, waiters: Iterable[Waiter], spacing_s: float) -> None:
        for place, one in enumerate(waiters):
            with suppress(RuntimeError):  # that loop has stopped
                one.loop.call_soon_threadsafe(one.loop.call_later, place * spacing_s, one.woken.set)
