"""The few numbers that health is judged by.

Rules of this file:
- Every query ends at an index: asking costs the same with a million records as with none.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.store import uploads


@dataclass(frozen=True, slots=True)
class Vitals:
    """Instants RFC 3339; None where there is no such record."""

    first_record_at: str | None
    newest_record_at: str | None
    oldest_unsynced_at: str | None
    dead_entries: int
    dead_blobs: int


def vitals(reader: sqlite3.Connection) -> Vitals:
    """The newest record is sought among the last 100 audited and by start: the clock may have gone back."""
    first = reader.execute("SELECT created_at FROM audit_log ORDER BY seq LIMIT 1").fetchone()
    newest = reader.execute(
        """SELECT max(at) FROM (
               SELECT created_at AS at FROM (SELECT created_at FROM audit_log ORDER BY seq DESC LIMIT 100)
               UNION ALL SELECT max(started_at) FROM inspection_sessions)"""
    ).fetchone()
    dead = reader.execute("SELECT count(*) FROM sync_queue WHERE dead_at IS NOT NULL").fetchone()
    return Vitals(
        first[0] if first else None,
        newest[0],
        oldest_unsynced_at(reader),
        dead[0],
        uploads.count_dead(reader),
    )


def oldest_unsynced_at(reader: sqlite3.Connection) -> str | None:
    """The first of each priority, by the index of what is waiting; the oldest of those."""
    oldest: tuple[int, str] | None = None
    row = reader.execute("SELECT max(priority) FROM sync_queue WHERE processed_at IS NULL").fetchone()
    while row[0] is not None:
        priority = row[0]
        first = reader.execute(
            """SELECT id, created_at FROM sync_queue INDEXED BY idx_sync_queue_unprocessed
               WHERE processed_at IS NULL AND priority = ? AND dead_at IS NULL ORDER BY id LIMIT 1""",
            (priority,),
        ).fetchone()
        oldest = min(filter(None, [oldest, first and (first[0], first[1])]), default=None)
        row = reader.execute(
            "SELECT max(priority) FROM sync_queue WHERE processed_at IS NULL AND priority < ?", (priority,)
        ).fetchone()
    return oldest[1] if oldest else None
