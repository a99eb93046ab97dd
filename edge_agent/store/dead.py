"""Dead letters: changes the server refused for good, and what waits because of them.

Rules of this file:
- Nothing is ever deleted here: an entry is given up with its reason, and can be queued again.
- What depends on an entry is held by it: the push lane says so when it sets the entry aside.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.store.database import placeholders
from edge_agent.store.queue import COUNT_LIMIT
from edge_agent.store.records import columns, many, one


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """`data` is the row as it was frozen, canonical JSON."""

    id: int
    op_id: str
    entity_type: str
    entity_id: str
    operation: str
    priority: int
    retry_count: int
    created_at: str
    dead_at: str
    error_code: str | None
    error_detail: str | None
    base_version: int | None
    sha256: str
    data: str


@dataclass(frozen=True, slots=True)
class Held:
    """An entry that waits for a dead one."""

    id: int
    entity_type: str
    entity_id: str
    operation: str
    created_at: str


_DEAD = f"SELECT {columns(DeadEntry)} FROM sync_queue WHERE dead_at IS NOT NULL AND processed_at IS NULL"


def count_dead(reader: sqlite3.Connection) -> int:
    """At most COUNT_LIMIT."""
    sql = """SELECT count(*) FROM (SELECT 1 FROM sync_queue
             WHERE dead_at IS NOT NULL AND processed_at IS NULL LIMIT ?)"""
    return int(reader.execute(sql, (COUNT_LIMIT,)).fetchone()[0])


def list_dead(
    reader: sqlite3.Connection, after_id: int, limit: int, *, code: str | None = None
) -> list[DeadEntry]:
    """In the order in which they were made, after `after_id`; those of one reason if `code` is named."""
    sql = f"{_DEAD} AND id > ?1 AND (?2 IS NULL OR error_code = ?2) ORDER BY id LIMIT ?3"
    return many(DeadEntry, reader.execute(sql, (after_id, code, limit)))


def find_dead(reader: sqlite3.Connection, entry_id: int) -> DeadEntry | None:
    return one(DeadEntry, reader.execute(f"{_DEAD} AND id = ?", (entry_id,)))


def list_held(reader: sqlite3.Connection, entry_id: int, limit: int) -> list[Held]:
    """The entries that cannot be applied before this one, oldest first."""
    sql = f"SELECT {columns(Held)} FROM sync_queue WHERE held_by = ? ORDER BY id LIMIT ?"
    return many(Held, reader.execute(sql, (entry_id, limit)))


def count_held(reader: sqlite3.Connection) -> int:
    """Entries that wait for another one; at most COUNT_LIMIT."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM sync_queue WHERE held_by IS NOT NULL LIMIT ?)"
    return int(reader.execute(sql, (COUNT_LIMIT,)).fetchone()[0])


def revive(tx: sqlite3.Connection, ids: list[int]) -> list[int]:
    """Queues these dead entries again as if never tried; returns those that were dead."""
    sql = f"""UPDATE sync_queue SET dead_at = NULL, error_code = NULL, error_detail = NULL, retry_count = 0,
                  next_attempt_at = NULL
              WHERE id IN ({placeholders(ids)}) AND dead_at IS NOT NULL AND processed_at IS NULL
              RETURNING id"""
    return sorted(row["id"] for row in tx.execute(sql, ids))
