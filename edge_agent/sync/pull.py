"""What a pulled page may do: join the round it continues, and become rows, or be refused with the reason.

Rules of this file:
- Pure: pages come in, a round or an error goes out. A page has come through `wire.read_page`, so its seal and its
  rows' checksums hold; nothing else about it is believed.
- A page is accepted only if it is of the space asked for, begins where the round ends, is of the round's epoch, and
  its versions rise strictly within its bounds.
- A round is the pages from one cursor to where the server had no more. A row counts as it came last, so what was
  wrong in an earlier version and mended in a later one never matters.
- A row is taken only with exactly the columns this version knows, each of its kind: a row half understood would be
  a row half applied. What a newer server says more is a problem that stops the cursor, never a guess.
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


def assemble(pages: Iterable[Page], place: Place) -> Round:
    """The round that accepted pages make, beginning at `place`; what of it cannot be used is in `problems`.

    Raises PageRefused when the pages do not join.
    """
    start, latest = place.cursor, dict[tuple[str, str], Change]()
    for page in pages:
        place = accept_page(page, place)
        latest.update({(change.table, change.id): change for change in page.changes})
    return _round(Round(place.space, place.server_epoch or "", start, place.cursor), latest)


def mending(place: Place, changes: Iterable[Change], gone: Iterable[tuple[str, str]]) -> Round:
    """A round that moves no cursor: rows as the server has them now, and those (table, id) it does not have."""
    made = Round(place.space, place.server_epoch or "", place.cursor, place.cursor)
    latest = {(change.table, change.id): change for change in changes}
    return _round(made, latest | {key: Change(*key, "tombstone", place.cursor) for key in gone})


def _round(made: Round, latest: Mapping[tuple[str, str], Change]) -> Round:
    tables = {
        name: (table, table.columns, set[tuple[type, ...]]()) for name, table in SPACES[made.space].items()
    }
    made.puts = {name: {} for name in tables}
    made.tombstones = {name: {} for name in tables}
    for (name, row_id), change in latest.items():
        known = tables.get(name)
        if known is None:
            made.problems.append(_problem(name, row_id, "schema-newer", f"there is no table {name} here"))
        elif change.operation == "tombstone":
            made.tombstones[name][row_id] = change.version
        else:
            _read_row(made, change, *known)
    return made


def _read_row(
    made: Round,
    change: Change,
    table: PulledTable,
    columns: tuple[str, ...],
    signatures: set[tuple[type, ...]],
) -> None:
    """Puts the row into the round. `signatures`: the combinations of types seen to be right, so that most rows
    cost one look."""
    try:
        row = orjson.loads(change.data)
    except orjson.JSONDecodeError:
        row = None
    if isinstance(row, dict) and tuple(row) == columns:
        values = tuple(row.values())
        signature = tuple(map(type, values))
        if signature in signatures or not any(_wrong_kinds(table, row)):
            signatures.add(signature)
            if row[table.key] == change.id:
                sha256, data = change.sha256, change.data
                made.puts[table.name][change.id] = Row(change.id, change.version, sha256, data, values)
                return
    made.problems += row_problems(table, change.id, row)


def row_problems(table: PulledTable, row_id: str, row: Any) -> Iterator[Problem]:
    """Why a row of the server cannot be held here."""
    if not isinstance(row, dict):
        yield _problem(table.name, row_id, "row-invalid", "it is not a JSON object")
        return
    for name in row.keys() - table.kinds.keys():
        yield _problem(table.name, row_id, "schema-newer", f"there is no column {name} here", name)
    for name in table.kinds.keys() - row.keys():
        yield _problem(table.name, row_id, "schema-older", f"the server's row has no {name}", name)
    for name in _wrong_kinds(table, row):
        yield _problem(table.name, row_id, "row-invalid", "the value is of another kind", name)
    if row.get(table.key, row_id) != row_id:
        yield _problem(table.name, row_id, "row-invalid", "it is the row of another id", table.key)
    if row.keys() == table.kinds.keys() and tuple(row) != table.columns:
        yield _problem(table.name, row_id, "row-invalid", "it is not canonical JSON")


def _wrong_kinds(table: PulledTable, row: Mapping[str, Any]) -> Iterator[str]:
    return (name for name, kinds in table.kinds.items() if name in row and type(row[name]) not in kinds)


def _problem(table: str, row_id: str, code: str, message: str, column: str = "") -> Problem:
    """A problem of the wire row `TABLE/ID`."""
    return Problem(f"{table}/{row_id}", f"/{column}" if column else "", code, message)
