"""Devices that wait for a change: woken the moment their space moves on.

Rules of this file:
- `publish` comes from any thread and never waits; whoever waits looks at what was published, never at the database.
- A wait ends at its timeout at the latest, and at once when the server stops.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from central_server.errors import Unavailable
from central_server.store.listening import Heads


class Waiting:
    """Who waits, and where the spaces are."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heads: Heads | None = None
        self._open: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    def publish(self, heads: Heads) -> None:
        if heads != self._heads:
            self._heads = heads
            self._wake()

    def close(self) -> None:
        """Ends every wait, so that the server can stop; from any thread."""
        self._is_closed = True
        self._wake()

    async def until(self, space: str, cursor: int, timeout_s: float) -> Heads:
        """Returns when the space is past `cursor`, the history became another one, or the time is over.

        Raises Unavailable: `throttled` when too many wait, `database-unavailable` when nothing is known.
        """
        if len(self._open) >= self._limit:
            raise Unavailable("throttled", f"{len(self._open)} devices wait already.", retry_after_s=30.0)
        changed, before = asyncio.Event(), self._heads
        self._open[changed] = asyncio.get_running_loop()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while not self._is_closed and not _is_news(self._heads, before, space, cursor):
                        await changed.wait()
                        changed.clear()
        finally:
            del self._open[changed]
        if self._heads is None:
            raise Unavailable("database-unavailable", "The database has not been reached yet.")
        return self._heads

    def _wake(self) -> None:
        for changed, loop in list(self._open.items()):
            with suppress(RuntimeError):  # that loop has stopped
                loop.call_soon_threadsafe(changed.set)


def _is_news(heads: Heads | None, before: Heads | None, space: str, cursor: int) -> bool:
    if heads is None:
        return False
    is_other_history = before is not None and heads.server_epoch != before.server_epoch
    return is_other_history or heads.by_space.get(space, 0) > cursor
