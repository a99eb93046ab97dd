"""The pages of the pull lane as they are asked for; one page ahead where there is a thread.

Rules of this file:
- Only a page of the place asked for, whose seal held, says where the next one begins; nothing is asked for on a guess.
  That its rows are verified and it is accepted while the next one is on its way costs a request where they are not.
- What was asked for ahead is used by the next page asked for, if that begins at the same place under the same epoch,
  and by nothing else. A greeting in between lets it go: what it says of the server would be older than the greeting.
- Nothing is written here. A failure on the way is the failure of the step that wants the page.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Protocol

from edge_agent.sync.lane import understood
from edge_agent.sync.pull import Place
from sync_protocol import wire
from sync_protocol.messages import Page

PAGE_BYTES = 4 << 20

Came = tuple[wire.PageColumns, bytes]
"""A page, its rows not verified yet, and the packed body it came in."""


class Server(Protocol):
    """What of `Central` is needed."""

    def pull(self, space: str, cursor: int, epoch: str, max_bytes: int) -> Came: ...


class Pages:
    """`beside` asks for the next page while one is verified and staged; None: nobody does."""

    def __init__(self, central: Server, beside: Executor | None) -> None:
        self._central, self._beside = central, beside
        self._ahead: tuple[Place, Future[Came]] | None = None

    def next(self, place: Place) -> tuple[Page, bytes]:
        """The page that begins at `place`, and the body it came in. Raises SyncFailed."""
        ahead = self.forget()
        columns, body = ahead[1].result() if ahead is not None and ahead[0] == place else self._ask(place)
        after = _after(columns, place)
        if after is not None and self._beside is not None:
            self._ahead = after, self._beside.submit(self._ask, after)
        with understood():
            return wire.page_of(columns), body

    def forget(self) -> tuple[Place, Future[Came]] | None:
        """What was asked for ahead, if anything was: it is not used any more."""
        ahead, self._ahead = self._ahead, None
        return ahead

    def _ask(self, place: Place) -> Came:
        return self._central.pull(place.space, place.cursor, place.server_epoch or "", PAGE_BYTES)


def _after(columns: wire.PageColumns, place: Place) -> Place | None:
    """Where the page after this one begins, if there is one and this is the page of the place."""
    is_its = (columns.space, columns.from_cursor) == (place.space, place.cursor)
    is_its &= place.server_epoch in (None, columns.server_epoch)
    if not is_its or not columns.has_more or columns.to_cursor <= place.cursor:
        return None
    return Place(place.space, columns.to_cursor, columns.server_epoch)
