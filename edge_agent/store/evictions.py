"""Photographs whose files may leave this machine, because the centre has proof of the bytes and of the row.

Rules of this file:
- The conditions are in the statement that decides, under the write lock: nothing can become unsent in between.
- What was decided is written down with the decision; whoever finds it after a crash removes the files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.store import sync_states
from edge_agent.store.database import placeholders
from edge_agent.store.records import many

JOURNAL = "sync:evicting"
REMOVABLE = """
    SELECT i.id, i.file_path, i.file_size FROM inspection_images i INDEXED BY idx_inspection_images_kept
    JOIN inspection_sessions s ON s.id = i.session_id
    WHERE i.uploaded_at IS NOT NULL AND i.evicted_at IS NULL AND i.upload_lane = ? AND i.id < ?
          AND s.status IN ('COMPLETED', 'FAILED', 'CANCELLED') AND i.state IN ('inspected', 'failed')
          AND NOT EXISTS (SELECT 1 FROM sync_queue q WHERE q.entity_type = 'inspection_images' AND q.entity_id = i.id
                          AND q.processed_at IS NULL)
    ORDER BY i.id LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Removable:
    """One photograph that is safe at the centre; `file_size` in bytes."""

    id: str
    file_path: str
    file_size: int


def removable(reader: sqlite3.Connection, upload_lane: int, before_id: str, limit: int) -> list[Removable]:
    """The oldest of that lane (2: NG, 3: the others) taken before that id, all of them closed, acknowledged and
    verified at the centre."""
    return many(Removable, reader.execute(REMOVABLE, (upload_lane, before_id, limit)))


def evict(tx: sqlite3.Connection, chosen: Sequence[Removable], now: str) -> None:
    """From here on these files are not expected here."""
    marks = placeholders(chosen)
    sql = f"UPDATE inspection_images SET evicted_at = ? WHERE id IN ({marks})"
    tx.execute(sql, (now, *(one.id for one in chosen)))
    sync_states.put(tx, JOURNAL, {"file_paths": [one.file_path for one in chosen]})


def being_removed(reader: sqlite3.Connection) -> list[str]:
    """Files that were evicted last and may still be there."""
    return list(sync_states.get(reader, JOURNAL).get("file_paths", []))
