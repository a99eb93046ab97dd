"""The outbox as people see it: what waits to be sent to the central server.

Rules of this file:
- Counts stop at COUNT_LIMIT: a device that was never connected has millions of entries, and nobody needs to
  know whether it is five thousand or more.
- Every query walks what waits, never what was acknowledged: a million of those cost nothing.
"""

from __future__ import annotations

import heapq
import sqlite3
from dataclasses import dataclass
from itertools import islice

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
class WaitingImages:
    """Photographs the object store has not verified yet. `is_more`: there are more than are counted here."""

    waiting: int
    bytes: int
    is_more: bool


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
    """Every priority that has something waiting, highest first; what was given up does not wait."""
    found: list[Lane] = []
    for priority in priorities(reader):
        first = reader.execute(
            """SELECT created_at FROM sync_queue INDEXED BY idx_sync_queue_unprocessed
               WHERE processed_at IS NULL AND priority = ? AND dead_at IS NULL ORDER BY id LIMIT 1""",
            (priority,),
        ).fetchone()
        sql = """SELECT count(*) FROM (SELECT 1 FROM sync_queue INDEXED BY idx_sync_queue_unprocessed
                 WHERE processed_at IS NULL AND priority = ? AND dead_at IS NULL LIMIT ?)"""
        count = reader.execute(sql, (priority, COUNT_LIMIT + 1)).fetchone()[0]
        if first is not None:
            found.append(Lane(priority, min(count, COUNT_LIMIT), count > COUNT_LIMIT, first["created_at"]))
    return found


def priorities(reader: sqlite3.Connection) -> list[int]:
    """Every priority that something unsent has, highest first; one step of the index for each."""
    found: list[int] = []
    below = 2**31
    while (top := _highest_below(reader, below)) is not None:
        found.append(top)
        below = top
    return found


def _highest_below(reader: sqlite3.Connection, priority: int) -> int | None:
    sql = "SELECT max(priority) FROM sync_queue WHERE processed_at IS NULL AND priority < ?"
    top: int | None = reader.execute(sql, (priority,)).fetchone()[0]
    return top


def images_waiting(reader: sqlite3.Connection) -> WaitingImages:
    """How many photographs are only on this machine, and their size."""
    sql = """SELECT count(*), coalesce(sum(file_size), 0)
             FROM (SELECT file_size FROM inspection_images WHERE uploaded_at IS NULL LIMIT ?)"""
    count, size = reader.execute(sql, (COUNT_LIMIT,)).fetchone()
    return WaitingImages(count, size, count == COUNT_LIMIT)


def count_ready(reader: sqlite3.Connection) -> int:
    """All entries that may be sent at once, to the last; counted along their index."""
    sql = """SELECT count(*) FROM sync_queue INDEXED BY idx_sync_queue_ready
             WHERE processed_at IS NULL AND dead_at IS NULL AND held_by IS NULL AND next_attempt_at IS NULL"""
    return int(reader.execute(sql).fetchone()[0])


def bytes_not_uploaded(reader: sqlite3.Connection) -> int:
    """Of all photographs the object store has not verified."""
    sql = "SELECT coalesce(sum(file_size), 0) FROM inspection_images WHERE uploaded_at IS NULL"
    return int(reader.execute(sql).fetchone()[0])


def unsent_ids(reader: sqlite3.Connection, after_id: int, limit: int) -> list[int]:
    """What the server does not have and did not refuse, in the order in which it was made, after `after_id`."""
    sql = """SELECT id FROM sync_queue INDEXED BY idx_sync_queue_unprocessed
             WHERE processed_at IS NULL AND priority = ? AND id > ? AND dead_at IS NULL ORDER BY id LIMIT ?"""
    streams = ([row[0] for row in reader.execute(sql, (one, after_id, limit))] for one in priorities(reader))
    return list(islice(heapq.merge(*streams), limit))


def list_waiting(
    reader: sqlite3.Connection,
    after_id: int,
    limit: int,
    *,
    priority: int | None = None,
    entity_type: str | None = None,
) -> list[QueueEntry]:
    """Unsent entries in the order in which they were made, after `after_id`; of one priority or table if named.

    Each priority is read along the index of what waits and the streams are merged: reading by id alone would
    walk over everything that was acknowledged.
    """
    wanted = priorities(reader) if priority is None else [priority]
    kind = "" if entity_type is None else "AND entity_type = ?"
    named = () if entity_type is None else (entity_type,)
    sql = f"""SELECT {columns(QueueEntry)} FROM sync_queue INDEXED BY idx_sync_queue_unprocessed
              WHERE processed_at IS NULL AND priority = ? AND id > ? {kind} ORDER BY id LIMIT ?"""
    streams = [many(QueueEntry, reader.execute(sql, (one, after_id, *named, limit))) for one in wanted]
    return list(islice(heapq.merge(*streams, key=lambda entry: entry.id), limit))
