"""A round of the server's rows, as values: what changed between two cursors of a space.

Rules of this file:
- Only values: `sync.pull` makes them of pages, `masters.arrivals` brings them into force.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from edge_agent.errors import Problem
from sync_protocol.tables import PulledTable


class Row(NamedTuple):
    """`values` in the order of the table's columns; `data`, of a table that is kept whole, the canonical JSON they
    were read from."""

    id: str
    version: int
    sha256: str
    data: str | None
    values: tuple[Any, ...]


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
        columns = table.columns
        return (dict(zip(columns, row.values, strict=True)) for row in self.puts[table.name].values())

    def ids_by(self, table: PulledTable, *columns: str) -> dict[tuple[Any, ...], list[str]]:
        """The rows put, grouped by what they have in these columns (two or more)."""
        values_of = itemgetter(*(table.columns.index(name) for name in columns))
        found: dict[tuple[Any, ...], list[str]] = {}
        for row in self.puts[table.name].values():
            found.setdefault(values_of(row.values), []).append(row.id)
        return found
