"""The pages of the pull lane as they are asked for; one page ahead where there is a thread.

Rules of this file:
- Only a page that was verified and accepted says where the next one begins; nothing is asked for on a guess.
- What was asked for ahead is used by the next page asked for, if that begins at the same place under the same epoch,
  and by nothing else. A greeting in between lets it go: what it says of the server would be older than the greeting.
- Nothing is written here. A failure on the way is the failure of the step that wants the page.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Protocol

from edge_agent.sync.pull import Place
from sync_protocol.messages import Page

PAGE_BYTES = 4 << 20

Came = tuple[Page, bytes]
"""A page, and the packed body it came in."""


class Server(Protocol):
    """What of `Central` is needed."""

    def pull(self, space: str, cursor: int, epoch: str, max_bytes: int) -> Came: ...


class Pages:
    """`beside` asks for the next page while one is staged; None: nobody does."""

    def __init__(self, central: Server, beside: Executor | None) -> None:
        self._central, self._beside = central, beside
        self._ahead: tuple[Place, Future[Came]] | None = None

    def next(self, place: Place) -> Came:
        """The page that begins at `place`. Raises SyncFailed."""
        ahead = self.forget()
        return ahead[1].result() if ahead is not None and ahead[0] == place else self._ask(place)

    def look_ahead(self, place: Place) -> None:
        """Asks for the page at `place`, as if it were wanted next."""
        if self._beside is not None:
            self._ahead = place, self._beside.submit(self._ask, place)

    def forget(self) -> tuple[Place, Future[Came]] | None:
        """What was asked for ahead, if anything was: it is not used any more."""
        ahead, self._ahead = self._ahead, None
        return ahead

    def _ask(self, place: Place) -> Came:
        return self._central.pull(place.space, place.cursor, place.server_epoch or "", PAGE_BYTES)
