"""Pages as devices get them: read and packed once for all who ask from the same place within a few seconds.

Rules of this file:
- One change wakes the whole fleet, and all of it asks for the same bytes.
- Where the space is, is read for every request: a page that was kept is of the head that is the newest now.
- Versions tell one head from another, but a database that is put back to an older state counts them again. So a page
  is kept for KEPT_S only, which is less than putting back takes.
- Who asks for a page that is being made waits for it, without a connection of the database.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import NamedTuple

from central_server.store import changes
from central_server.store.database import Database
from edge_agent.clock import Clock
from sync_protocol.wire import pack, write_page

KEPT_S = 5.0
KEPT_BYTES = 16 << 20


class Place(NamedTuple):
    """What makes a page's bytes what they are."""

    space: str
    cursor: int
    head: int
    server_epoch: str
    max_bytes: int
    encoding: str


class Kept(NamedTuple):
    body: Future[bytes]
    until_s: float

    @property
    def size(self) -> int:
        """0 while it is being made."""
        return len(self.body.result()) if self.body.done() else 0


class Pages:
    """The pages of `database`; those made last are kept, `kept_bytes` of them."""

    def __init__(self, database: Database, clock: Clock, kept_bytes: int = KEPT_BYTES) -> None:
        self._db, self._clock, self._kept_bytes = database, clock, kept_bytes
        self._kept: dict[Place, Kept] = {}
        self._lock = threading.Lock()

    def packed(
        self, space: str, cursor: int, server_epoch: str | None, max_bytes: int, encoding: str
    ) -> bytes:
        """The page after `cursor` as it travels. Raises as `changes.pull`."""
        stand = changes.continued(self._db, space, cursor, server_epoch)
        place = Place(space, cursor, stand.head, stand.server_epoch, max_bytes, encoding)
        with self._lock:
            self._forget()
            kept = self._kept.get(place)
            if kept is None:
                mine = Kept(Future(), self._clock.monotonic() + KEPT_S)
                self._kept[place] = mine
        return kept.body.result() if kept is not None else self._made(place, mine)

    def _made(self, place: Place, kept: Kept) -> bytes:
        try:
            page = changes.pull(self._db, place.space, place.cursor, place.server_epoch, place.max_bytes)
            kept.body.set_result(pack(write_page(page), place.encoding))
        except BaseException as error:
            with self._lock:
                self._kept.pop(place, None)
            kept.body.set_exception(error)
        return kept.body.result()

    def _forget(self) -> None:
        """What is too old, and of the rest the oldest that are too much."""
        now_s, size = self._clock.monotonic(), sum(kept.size for kept in self._kept.values())
        for place, kept in tuple(self._kept.items()):
            if kept.until_s > now_s and size <= self._kept_bytes:
                return
            size -= kept.size
            del self._kept[place]
