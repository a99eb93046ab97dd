"""A round of the server's rows, as values: what changed between two cursors of a space.

Rules of this file:
- Only values: `sync.pull` makes them of pages, `masters.arrivals` brings them into force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from edge_agent.errors import Problem
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.tables import PulledTable

Row = tuple[Any, ...]
"""As it is written: the table's columns in order, then the row's version and the sha256 of the JSON it came as.

A plain tuple, because there are tens of thousands at once: of texts and numbers alone, they cost the garbage
collector nothing."""


@dataclass(slots=True)
class Round:
    """Everything from one cursor to another: rows and deletions by table and id.

    `is_full`: it began at 0, so what it does not name is no longer the server's. With `problems` nothing of it
    may be applied.
    """

    space: str
    server_epoch: str
    from_cursor: int
    to_cursor: int
    puts: dict[str, dict[str, Row]] = field(default_factory=dict)
    tombstones: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return self.from_cursor == 0

    def touches(self, *tables: PulledTable) -> bool:
        """Whether it says anything about one of these tables; a full round speaks of all of them."""
        named = [table.name for table in tables if table.name in self.puts]
        return any(self.is_full or self.puts[name] or self.tombstones[name] for name in named)

    def rows(self, table: PulledTable) -> Iterator[dict[str, Any]]:
        """The rows put, by column."""
        return (by_column(table, row) for row in self.puts[table.name].values())

    def ids_by(self, table: PulledTable, *columns: str) -> dict[tuple[Any, ...], list[str]]:
        """The rows put, grouped by what they have in these columns (two or more)."""
        values_of = itemgetter(*(table.columns.index(name) for name in columns))
        found: dict[tuple[Any, ...], list[str]] = {}
        for row_id, row in self.puts[table.name].items():
            found.setdefault(values_of(row), []).append(row_id)
        return found


def by_column(table: PulledTable, row: Row) -> dict[str, Any]:
    """The wire row, without version and checksum."""
    return dict(zip(table.columns, row, strict=False))


def sha256_of(table: PulledTable, row: Mapping[str, Any], came_as: str | None) -> str:
    """Of the wire row's canonical JSON: in the form of the version it came in, else of the newest."""
    sums = [
        sha256_hex(canonical_row({name: row[name] for name in form}))
        for form in table.forms
        if all(row[name] is None for name in row.keys() - {*form})
    ]
    return came_as if came_as in sums else sums[0]
