"""The pull lane: pages become rounds, rounds come into force.

Rules of this file:
- A step does one thing: fetch one page, fetch one file, or settle one round. What came is kept in `pull_pages`, so
  a kill between any two steps loses at most one request.
- While a page is verified and staged the next one is on its way (`pages.py`); it is accepted, or not, in a step of its
  own.
- A round that one page completes is applied at once; only what must wait (more pages, files, a refusal) is staged.
- A round that cannot be used stops its cursor and nothing else: the old masters judge, the reason is kept and shown
  (`masters-refused`), and it is tried again at once when the server changes anything, else ever more rarely.
- Whatever makes a cursor unusable (another epoch, forgotten deletions, a resync asked for) means: stage everything
  from 0, then swap. Nothing that was pulled before is touched until then.
- So does a row that refers to one the server never sent from this cursor: it was restored to before that row, nobody
  said so, and its versions have caught up. Only staging begins again, once; the cursor in force stays where it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any, Protocol

from edge_agent.clock import Clock, from_rfc3339, to_rfc3339
from edge_agent.errors import BadDefinition
from edge_agent.masters.arrivals import Arrivals
from edge_agent.masters.round import Round
from edge_agent.models import Finding, Severity
from edge_agent.store import pulled
from edge_agent.store.database import Database
from edge_agent.store.pulled import SpaceState, StagedPage
from edge_agent.sync import pages
from edge_agent.sync.downloads import Downloads, Source
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.pages import Pages
from edge_agent.sync.pull import Assembly, PageRefused, Place, accept_page, assemble
from sync_protocol import wire
from sync_protocol.checksums import ChecksumMismatch
from sync_protocol.messages import Malformed, Page
from sync_protocol.tables import SPACES

FIRST_RETRY_S, LONGEST_RETRY_S = 60.0, 3600.0
MAX_PAGES = 500
"""Of a refused round; more are dropped and the round is pulled again, each row once."""
MAX_PROBLEMS = 50
FROM_ZERO, REFUSED = "from_zero", "refused"
ASTRAY = ("unknown-product", "unknown-pipeline", "missing-model", "missing-asset")
"""Problems that a row has with what is not here."""


class Server(pages.Server, Source, Protocol):
    """What of `Central` is needed."""


class PullLane:
    """Brings what the server owns to this device."""

    name = "pull"

    def __init__(
        self,
        database: Database,
        clock: Clock,
        central: Server,
        arrivals: Arrivals,
        downloads: Downloads,
        beside: Executor | None = None,
    ) -> None:
        self._db, self._clock, self._pages = database, clock, Pages(central, beside)
        self._arrivals, self._downloads = arrivals, downloads
        self._heads: Mapping[str, int] = {}
        self._epoch = ""
        self._asked: dict[str, Place] = {}
        self._assembly: Assembly | None = None

    def told(self, heads: Mapping[str, int], server_epoch: str) -> None:
        """What the server last said of these spaces: what is not there is not asked for."""
        self._heads, self._epoch = {**self._heads, **heads}, server_epoch
        self._pages.forget()

    def step(self) -> bool:
        """One page, one file or one round; True: more is due now. Raises SyncFailed, AgentError (our own disk)."""
        return any(self._step(space) for space in SPACES)

    def _step(self, space: str) -> bool:
        with self._db.snapshot() as reader:
            state, staged = pulled.state(reader, space), pulled.pages(reader, space)
        start = _start(space, state)
        place = Place(space, staged[-1].to_cursor, staged[-1].server_epoch) if staged else start
        if (staged and staged[-1].has_more) or self._is_behind(place):
            return self._fetch(place, start, state, staged)
        return bool(staged) and self._is_due(state, place) and self._settle(start, state, place)

    def _is_behind(self, place: Place) -> bool:
        """Whether the server may have more, or less: one restored from a backup is behind us, and says so only when
        asked. Without its word, as long as it was not asked from here."""
        head = self._heads.get(place.space)
        if head is None:
            return self._asked.get(place.space) != place
        return self._epoch != place.server_epoch or head != place.cursor

    def _fetch(self, place: Place, start: Place, state: SpaceState, staged: Sequence[StagedPage]) -> bool:
        try:
            page, body = self._pages.next(place)
            after = accept_page(page, place)
        except SyncFailed as error:
            if error.code_ != "pull-reset" or not place.cursor:
                raise
            return self._reset(place.space, error.detail)
        except PageRefused as error:
            if error.code != "pull-reset":
                raise SyncFailed(Kind.DAMAGED, error.code, error.detail) from error
            return self._reset(place.space, error.detail)
        if not page.has_more:
            self._asked[place.space] = after
            if place.space in self._heads:
                self._heads = {**self._heads, place.space: after.cursor}
        if after.cursor == place.cursor and staged:
            return self._close(start, state, place, staged)
        if after == place and FROM_ZERO not in state.detail:
            with self._db.write(local=False) as tx:
                pulled.touch(tx, place.space, self._clock.now())
            return False
        if staged or page.has_more:
            with self._db.write(local=False) as tx:
                self._stage(tx, page, body, staged)
            self._gather(page, place, start, staged)
            return True
        return self._settle(start, state, place, (page, body))

    def _gather(self, page: Page, place: Place, start: Place, staged: Sequence[StagedPage]) -> None:
        """Reads into the round under way what was staged just now, so that it need not be read from the disk again."""
        gathered = self._assembly if staged else Assembly(start)
        if gathered is not None and (gathered.start, gathered.place) == (start, place):
            gathered.add(page)
        self._assembly = gathered

    def _settle(
        self, start: Place, state: SpaceState, place: Place, whole: tuple[Page, bytes] | None = None
    ) -> bool:
        """Applies the round, or does one thing it still needs. `whole`: all of it, not staged yet."""
        made = self._staged_round(start, place) if whole is None else assemble([whole[0]], start)
        if made is None:
            return True
        try:
            named = [] if made.problems else self._arrivals.wanted(made)
            wanted = [one for one in named if not self._downloads.has(one.sha256)]
            if not wanted:
                self._arrivals.apply(made, self._downloads.path)
                self._downloads.clear()
                return True
        except BadDefinition as error:
            if not made.is_full and any(problem.code in ASTRAY for problem in error.problems):
                return self._reset(made.space, "a row refers to what is not here")
            self._refuse(state, made, error, whole)
            return False
        if whole is not None:
            with self._db.write(local=False) as tx:
                self._stage(tx, *whole, ())
        self._downloads.fetch(wanted[0].sha256, wanted[0].size)
        return True

    def _staged_round(self, start: Place, place: Place) -> Round | None:
        """The staged pages as a round; None after dropping them, when the disk did not keep them."""
        gathered, self._assembly = self._assembly, None
        if gathered is not None and (gathered.start, gathered.place) == (start, place):
            return gathered.round()
        try:
            with self._db.snapshot() as reader:
                return assemble(_staged(reader, start.space), start)
        except (PageRefused, ChecksumMismatch, Malformed, wire.TooLarge):
            with self._db.write(local=False) as tx:
                pulled.drop_pages(tx, start.space)
            return None

    def _close(self, start: Place, state: SpaceState, place: Place, staged: Sequence[StagedPage]) -> bool:
        """The server had no more: what is staged is the whole round."""
        if not staged[-1].has_more:
            return self._is_due(state, place) and self._settle(start, state, place)
        with self._db.write(local=False) as tx:
            pulled.close_round(tx, place.space)
        return True

    def _stage(self, tx: sqlite3.Connection, page: Page, body: bytes, staged: Sequence[StagedPage]) -> None:
        if len(staged) >= MAX_PAGES and not staged[-1].has_more:
            pulled.drop_pages(tx, page.space)
            return
        if page.to_cursor > page.from_cursor:
            about = StagedPage(page.from_cursor, page.to_cursor, page.server_epoch, page.has_more)
            pulled.add_page(tx, page.space, about, body)

    def _refuse(
        self, state: SpaceState, made: Round, error: BadDefinition, whole: tuple[Page, bytes] | None
    ) -> None:
        """Keeps the round and the reason. The cursor stays where it is."""
        last = state.detail.get(REFUSED, {})
        attempts = last.get("attempts", 0) + 1 if last.get("to_cursor") == made.to_cursor else 1
        wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** (attempts - 1))
        now_s = self._clock.time()
        refused = {
            "to_cursor": made.to_cursor,
            "attempts": attempts,
            "since": last.get("since") or to_rfc3339(now_s),
            "next_attempt_at": to_rfc3339(now_s + wait_s),
            "problems": [asdict(problem) for problem in error.problems[:MAX_PROBLEMS]],
        }
        with self._db.write(local=False) as tx:
            if whole is not None:
                self._stage(tx, *whole, ())
            pulled.set_detail(tx, made.space, {**state.detail, REFUSED: refused})

    def _is_due(self, state: SpaceState, place: Place) -> bool:
        refused = state.detail.get(REFUSED)
        if refused is None or refused["to_cursor"] != place.cursor:
            return True
        wait_s = from_rfc3339(refused["next_attempt_at"]) - self._clock.time()
        return not 0 < wait_s <= LONGEST_RETRY_S  # beyond: the clock was set back

    def _reset(self, space: str, reason: str) -> bool:
        with self._db.write(local=False) as tx:
            begin_again(tx, space, reason)
        return True


def begin_again(tx: sqlite3.Connection, space: str, reason: str) -> None:
    """From the next step on the space is pulled from 0 and swapped; what is in force stays so until then."""
    detail = pulled.state(tx, space).detail
    pulled.drop_pages(tx, space)
    kept = {name: value for name, value in detail.items() if name == REFUSED}
    pulled.set_detail(tx, space, {**kept, FROM_ZERO: reason})


def begin_all_again(tx: sqlite3.Connection) -> None:
    """For a server that was restored: nothing that was pulled of its later history may stay unnoticed."""
    for space in SPACES:
        begin_again(tx, space, "the server was restored")


def refusals(reader: sqlite3.Connection) -> list[Finding]:
    """What of the server's rows cannot be used here, and why."""
    found = []
    for space in SPACES:
        refused = pulled.state(reader, space).detail.get(REFUSED)
        if refused:
            found.append(
                Finding(
                    "masters-refused",
                    Severity.ERROR,
                    space,
                    _sentence(refused),
                    f"{_advice(refused)} Until then what was in force before stays so.",
                )
            )
    return found


def _advice(refused: Mapping[str, Any]) -> str:
    codes = {one["code"] for one in refused["problems"]}
    if "schema-newer" in codes:
        return "Update this agent: the server is newer."
    if "schema-older" in codes:
        return "Update the central server: this agent is newer."
    return "Mend the named row at the central server."


def _sentence(refused: Mapping[str, Any]) -> str:
    problems = [
        f"{one['file']}{one['pointer']}: {one['message']} [{one['code']}]" for one in refused["problems"]
    ]
    more = f" … and {len(problems) - 3} more" if len(problems) > 3 else ""
    return (
        f"The server's changes up to {refused['to_cursor']} are not in force: {'; '.join(problems[:3])}{more}"
    )


def _start(space: str, state: SpaceState) -> Place:
    if FROM_ZERO in state.detail:
        return Place(space)
    return Place(space, state.cursor, state.server_epoch)


def _staged(reader: sqlite3.Connection, space: str) -> Iterable[Page]:
    """The staged pages, verified again: a disk may have changed them."""
    return (wire.read_page(wire.unpack(body)) for body in pulled.page_bodies(reader, space))
