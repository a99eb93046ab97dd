"""Changes that lost against another: kept with both sides until a person has seen them.

Rules of this file:
- Resolving says that a person has seen it; neither side is changed by that.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.store.queue import COUNT_LIMIT
from edge_agent.store.records import columns, many, one


@dataclass(frozen=True, slots=True)
class Conflict:
    """`kept`: which side is effective; `local_data` and `server_data` are the rows as JSON."""

    id: str
    entity_type: str
    entity_id: str
    kept: str
    local_data: str
    server_data: str
    reason: str
    created_at: str
    resolved_at: str | None
    resolved_by: int | None


def count_open(reader: sqlite3.Connection) -> int:
    """At most COUNT_LIMIT."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM conflict_log WHERE resolved_at IS NULL LIMIT ?)"
    return int(reader.execute(sql, (COUNT_LIMIT,)).fetchone()[0])


def list_open(reader: sqlite3.Connection, after: tuple[str, str] | None, limit: int) -> list[Conflict]:
    """Those nobody has seen, oldest first, after (created_at, id)."""
    sql = f"""SELECT {columns(Conflict)} FROM conflict_log
              WHERE resolved_at IS NULL AND (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?"""
    return many(Conflict, reader.execute(sql, (*(after or ("", "")), limit)))


def find(reader: sqlite3.Connection, conflict_id: str) -> Conflict | None:
    return one(
        Conflict,
        reader.execute(f"SELECT {columns(Conflict)} FROM conflict_log WHERE id = ?", (conflict_id,)),
    )


def resolve(tx: sqlite3.Connection, conflict_id: str, now: str, user_id: int | None) -> bool:
    """Whether it was still open."""
    sql = "UPDATE conflict_log SET resolved_at = ?, resolved_by = ? WHERE id = ? AND resolved_at IS NULL"
    return tx.execute(sql, (now, user_id, conflict_id)).rowcount > 0
