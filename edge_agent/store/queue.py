"""The outbox as people see it: what waits to be sent to the central server.

Rules of this file:
- Counts stop at COUNT_LIMIT: a device that was never connected has millions of entries, and nobody needs to
  know whether it is five thousand or more.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.store.records import columns, many

COUNT_LIMIT = 5000


@dataclass(frozen=True, slots=True)
class Lane:
    """Entries of one priority (100 verdicts of people and NGs, 50 the rest) that wait to be sent.

    `is_more`: there are more than `waiting` says. `oldest_at`: when the oldest of them was made.
    """

    priority: int
    waiting: int
    is_more: bool
    oldest_at: str


@dataclass(frozen=True, slots=True)
class QueueEntry:
    id: int
    entity_type: str
    entity_id: str
    operation: str
    priority: int
    retry_count: int
    created_at: str
    next_attempt_at: str | None
    dead_at: str | None
    error_code: str | None
    error_detail: str | None


def lanes(reader: sqlite3.Connection) -> list[Lane]:
    """Every priority that has something waiting, highest first."""
    found: list[Lane] = []
    below = 2**31
    while (row := _first_below(reader, below)) is not None:
        below = row["priority"]
        sql = """SELECT count(*) FROM (SELECT 1 FROM sync_queue
                 WHERE processed_at IS NULL AND priority = ? LIMIT ?)"""
        count = reader.execute(sql, (below, COUNT_LIMIT + 1)).fetchone()[0]
        found.append(Lane(below, min(count, COUNT_LIMIT), count > COUNT_LIMIT, row["created_at"]))
    return found


def _first_below(reader: sqlite3.Connection, priority: int) -> sqlite3.Row | None:
    sql = """SELECT priority, created_at FROM sync_queue WHERE processed_at IS NULL AND priority < ?
             ORDER BY priority DESC, id LIMIT 1"""
    row: sqlite3.Row | None = reader.execute(sql, (priority,)).fetchone()
    return row


def list_waiting(reader: sqlite3.Connection, after_id: int, limit: int) -> list[QueueEntry]:
    """Unsent entries in the order in which they were made, after `after_id`."""
    sql = f"""SELECT {columns(QueueEntry)} FROM sync_queue WHERE id > ? AND processed_at IS NULL
              ORDER BY id LIMIT ?"""
    return many(QueueEntry, reader.execute(sql, (after_id, limit)))
