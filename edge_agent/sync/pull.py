"""What a pulled page may do: join the round it continues, and become rows, or be refused with the reason.

Rules of this file:
- Pure: pages come in, a round or an error goes out. A page has come through `wire.read_page`, so its seal and its
  rows' checksums hold; nothing else about it is believed.
- A page is accepted only if it is of the space asked for, begins where the round ends, is of the round's epoch, and
  its versions rise strictly within its bounds.
- A round is the pages from one cursor to where the server had no more. A row counts as it came last, so what was
  wrong in an earlier version and mended in a later one never matters.
- A row is taken only with exactly the columns of this version or an older one, each of its kind: a row half understood
  would be a row half applied. What a newer server says more is a problem that stops the cursor, never a guess; what
  an older one cannot say yet is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from edge_agent.errors import Problem
from edge_agent.masters.round import Round, Row
from sync_protocol.messages import Change, Page
from sync_protocol.tables import SPACES, PulledTable


class PageRefused(ValueError):
    """`code`: `page-damaged` (fetch it again) or `pull-reset` (another epoch: begin again from 0)."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next page of a space must begin; `server_epoch` None: any, nothing was pulled yet."""

    space: str
    cursor: int = 0
    server_epoch: str | None = None


def accept_page(page: Page, place: Place) -> Place:
    """Where the page after this one begins. Raises PageRefused; then nothing of the page may be kept."""
    if page.space != place.space:
        raise PageRefused("page-damaged", f"a page of {page.space} came for {place.space}")
    if place.server_epoch is not None and page.server_epoch != place.server_epoch:
        raise PageRefused("pull-reset", f"the server's history is another one ({page.server_epoch})")
    if page.from_cursor != place.cursor:
        message = f"the page begins at {page.from_cursor}, expected {place.cursor}"
        raise PageRefused("page-damaged", message)
    last = page.from_cursor
    for change in page.changes:
        if change.version <= last:
            raise PageRefused("page-damaged", f"version {change.version} comes after {last}")
        last = change.version
    if page.to_cursor < last or (page.has_more and page.to_cursor == page.from_cursor):
        raise PageRefused("page-damaged", f"the page ends at {page.to_cursor}, its last version is {last}")
    return Place(place.space, page.to_cursor, page.server_epoch)


class Assembly:
    """One round, made of accepted pages as they come; `place` is where it has come to."""

    def __init__(self, start: Place) -> None:
        self.start = self.place = start
        self._tables = {name: _Table(table) for name, table in SPACES[start.space].items()}
        self._problems: dict[tuple[str, str], list[Problem]] = {}

    def add(self, page: Page) -> None:
        """Raises PageRefused when the page does not continue the round."""
        self.place = accept_page(page, self.place)
        self.take(page.changes)

    def take(self, changes: Iterable[Change]) -> None:
        for change in changes:
            table = self._tables.get(change.table)
            problems = [_no_table(change)] if table is None else table.take(change)
            if problems:
                self._problems[change.table, change.id] = problems
            elif self._problems:
                self._problems.pop((change.table, change.id), None)

    def round(self) -> Round:
        """What the pages say together; what of it cannot be used is in `problems`."""
        return Round(
            self.start.space,
            self.place.server_epoch or "",
            self.start.cursor,
            self.place.cursor,
            {name: table.puts for name, table in self._tables.items()},
            {name: table.tombstones for name, table in self._tables.items()},
            [problem for found in self._problems.values() for problem in found],
        )


class _Table:
    """The changes of one table; of each row only what came last."""

    def __init__(self, table: PulledTable) -> None:
        self.puts: dict[str, Row] = {}
        self.tombstones: dict[str, int] = {}
        self._table, self._columns, self._forms = table, table.columns, table.forms
        self._key = self._columns.index(table.key)
        self._signatures: set[tuple[type, ...]] = set()
        """The combinations of types seen to be right, so that most rows cost one look."""

    def take(self, change: Change) -> list[Problem]:
        """Why the row cannot be held here, if so."""
        if change.operation == "tombstone":
            self.puts.pop(change.id, None)
            self.tombstones[change.id] = change.version
            return []
        if self.tombstones:
            self.tombstones.pop(change.id, None)
        try:
            row = orjson.loads(change.data)
        except orjson.JSONDecodeError:
            row = None
        if type(row) is dict and (values := self._values(row)) and values[self._key] == change.id:
            self.puts[change.id] = (*values, change.version, change.sha256)
            return []
        self.puts.pop(change.id, None)
        return list(row_problems(self._table, change.id, row))

    def _values(self, row: dict[str, Any]) -> tuple[Any, ...]:
        """In the order of the columns; none where the row is not right."""
        names = tuple(row)
        if names == self._columns:
            values = tuple(row.values())
        elif names in self._forms:
            values = tuple(map(row.get, self._columns))
        else:
            return ()
        signature = tuple(map(type, values))
        if signature not in self._signatures:
            if any(_wrong_kinds(self._table, row)):
                return ()
            self._signatures.add(signature)
        return values


def assemble(pages: Iterable[Page], place: Place) -> Round:
    """The round that accepted pages make, beginning at `place`. Raises PageRefused when they do not join."""
    assembly = Assembly(place)
    for page in pages:
        assembly.add(page)
    return assembly.round()


def mending(place: Place, changes: Iterable[Change], gone: Iterable[tuple[str, str]]) -> Round:
    """A round that moves no cursor: rows as the server has them now, and those (table, id) it does not have."""
    assembly = Assembly(place)
    assembly.take(changes)
    assembly.take(Change(*key, "tombstone", place.cursor) for key in gone)
    return assembly.round()


def row_problems(table: PulledTable, row_id: str, row: Any) -> Iterator[Problem]:
    """Why a row of the server cannot be held here."""
    if not isinstance(row, dict):
        yield _problem(table.name, row_id, "row-invalid", "it is not a JSON object")
        return
    for name in row.keys() - table.kinds.keys():
        yield _problem(table.name, row_id, "schema-newer", f"there is no column {name} here", name)
    for name in table.kinds.keys() - row.keys() - {*table.later}:
        yield _problem(table.name, row_id, "schema-older", f"the server's row has no {name}", name)
    for name in _wrong_kinds(table, row):
        yield _problem(table.name, row_id, "row-invalid", "the value is of another kind", name)
    if row.get(table.key, row_id) != row_id:
        yield _problem(table.name, row_id, "row-invalid", "it is the row of another id", table.key)
    if {*table.forms[-1]} <= row.keys() <= table.kinds.keys() and tuple(row) not in table.forms:
        yield _problem(table.name, row_id, "row-invalid", "it is not canonical JSON of any version")


def _wrong_kinds(table: PulledTable, row: Mapping[str, Any]) -> Iterator[str]:
    return (name for name, kinds in table.kinds.items() if name in row and type(row[name]) not in kinds)


def _no_table(change: Change) -> Problem:
    return _problem(change.table, change.id, "schema-newer", f"there is no table {change.table} here")


def _problem(table: str, row_id: str, code: str, message: str, column: str = "") -> Problem:
    """A problem of the wire row `TABLE/ID`."""
    return Problem(f"{table}/{row_id}", f"/{column}" if column else "", code, message)
