"""Dead letters: changes the server refused for good, and what waits because of them.

Rules of this file:
- Nothing is ever deleted here: an entry is given up with its reason, and can be queued again.
- What depends on an entry follows from the rows themselves: later changes of the same row, and of rows below it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.store.database import placeholders
from edge_agent.store.queue import COUNT_LIMIT
from edge_agent.store.records import columns, many, one

SEEDS = 100
# The rows below the rows of `seed`, down to the verdicts. A refused change of a row that is at the server holds up
# only later changes of that row, so what was refused as an UPDATE has none.
_BELOW = """
    below (entity_type, entity_id) AS (
        SELECT entity_type, entity_id FROM seed WHERE operation = 'INSERT'
        UNION SELECT 'inspection_sessions', s.id FROM below b JOIN inspection_sessions s
              ON b.entity_type = 'inspection_targets' AND s.target_id = b.entity_id
        UNION SELECT 'inspection_images', i.id FROM below b JOIN inspection_images i
              ON b.entity_type = 'inspection_sessions' AND i.session_id = b.entity_id
        UNION SELECT 'ai_inspection_results', r.id FROM below b JOIN ai_inspection_results r
              ON b.entity_type = 'inspection_images' AND r.image_id = b.entity_id
        UNION SELECT 'human_verification_results', h.id FROM below b JOIN human_verification_results h
              ON b.entity_type = 'inspection_sessions' AND h.session_id = b.entity_id
    )"""


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
    """The unsent entries that cannot be applied before this one, oldest first."""
    sql = f"""
        WITH RECURSIVE seed AS (SELECT * FROM sync_queue WHERE id = ?1), {_BELOW}
        SELECT {columns(Held, "q.")} FROM sync_queue q JOIN
            (SELECT entity_type, entity_id FROM below UNION SELECT entity_type, entity_id FROM seed) b
            ON q.entity_type = b.entity_type AND q.entity_id = b.entity_id
        WHERE q.id > ?1 AND q.processed_at IS NULL AND q.dead_at IS NULL ORDER BY q.id LIMIT ?2"""
    return many(Held, reader.execute(sql, (entry_id, limit)))


def count_held(reader: sqlite3.Connection) -> int:
    """Entries that wait for one of the first SEEDS dead ones; at most COUNT_LIMIT."""
    sql = f"""
        WITH RECURSIVE seed AS (
            SELECT * FROM sync_queue WHERE dead_at IS NOT NULL AND processed_at IS NULL ORDER BY id LIMIT {SEEDS}
        ), {_BELOW}
        SELECT count(*) FROM (
            SELECT 1 FROM (SELECT entity_type, entity_id FROM below UNION SELECT entity_type, entity_id FROM seed) b
            JOIN sync_queue q ON q.entity_type = b.entity_type AND q.entity_id = b.entity_id
            WHERE q.processed_at IS NULL AND q.dead_at IS NULL LIMIT {COUNT_LIMIT})"""
    return int(reader.execute(sql).fetchone()[0])


def revive(tx: sqlite3.Connection, ids: list[int]) -> list[int]:
    """Queues these dead entries again as if never tried; returns those that were dead."""
    sql = f"""UPDATE sync_queue SET dead_at = NULL, error_code = NULL, error_detail = NULL, retry_count = 0,
                  next_attempt_at = NULL
              WHERE id IN ({placeholders(ids)}) AND dead_at IS NOT NULL AND processed_at IS NULL
              RETURNING id"""
    return sorted(row["id"] for row in tx.execute(sql, ids))
