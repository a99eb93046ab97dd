"""Image bytes on their way to the object store: what is due, what waits, what was given up.

Rules of this file:
- What has to be sent is a photograph without `uploaded_at`; `blob_uploads` knows only of those with a story.
- The same bytes may belong to several photographs: they travel once, and all are settled together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from edge_agent.store.database import placeholders
from edge_agent.store.records import columns, many

LANES = (2, 3)
WINDOW = 1000
DUE = """
    SELECT i.id AS image_id, i.sha256, i.file_size, i.file_path, i.created_at, i.upload_lane, b.upload_id,
           coalesce(b.retry_count, 0) AS retry_count
    FROM inspection_images i INDEXED BY idx_inspection_images_upload LEFT JOIN blob_uploads b ON b.sha256 = i.sha256
    WHERE i.uploaded_at IS NULL AND i.upload_lane = ? AND b.dead_at IS NULL
          AND NOT coalesce(b.next_attempt_at > ? AND b.next_attempt_at < ?, 0)
    ORDER BY i.id LIMIT ?"""


@dataclass(frozen=True, slots=True)
class DueBlob:
    """One photograph whose bytes may be sent now. `upload_lane` 2: NG, 3: the others."""

    image_id: str
    sha256: str
    file_size: int
    file_path: str
    created_at: str
    upload_lane: int
    upload_id: str | None
    retry_count: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why bytes are still here; `next_attempt_at` None: given up until somebody asks for it again."""

    sha256: str
    code: str
    detail: str
    next_attempt_at: str | None


@dataclass(frozen=True, slots=True)
class DeadBlob:
    """Bytes given up; `error_detail` names the file."""

    sha256: str
    retry_count: int
    dead_at: str
    error_code: str
    error_detail: str


def due(reader: sqlite3.Connection, now: str, unbelievable: str, limit: int) -> list[DueBlob]:
    """The oldest `limit` of each lane. What waits for an instant from `unbelievable` on does not wait: the clock
    was set back since it was noted."""
    return [
        one for lane in LANES for one in many(DueBlob, reader.execute(DUE, (lane, now, unbelievable, limit)))
    ]


def settle(tx: sqlite3.Connection, sha256s: Collection[str], now: str) -> None:
    """These bytes are verified at the centre: every photograph of them has been uploaded."""
    names, marks = list(sha256s), placeholders(list(sha256s))
    tx.execute(
        f"UPDATE inspection_images SET uploaded_at = ? WHERE sha256 IN ({marks}) AND uploaded_at IS NULL",
        (now, *names),
    )
    tx.execute(f"DELETE FROM blob_uploads WHERE sha256 IN ({marks})", names)


def keep_upload_id(tx: sqlite3.Connection, sha256: str, upload_id: str | None) -> None:
    """The multipart upload that is to be gone on with after an interruption; None: begin anew."""
    tx.execute(
        """INSERT INTO blob_uploads (sha256, upload_id) VALUES (?, ?)
           ON CONFLICT (sha256) DO UPDATE SET upload_id = excluded.upload_id""",
        (sha256, upload_id),
    )


def note(tx: sqlite3.Connection, troubles: Sequence[Trouble], now: str) -> None:
    """One more attempt of each has failed."""
    for one in troubles:
        dead_at = now if one.next_attempt_at is None else None
        tx.execute(
            """INSERT INTO blob_uploads (sha256, retry_count, next_attempt_at, dead_at, error_code, error_detail)
               VALUES (?1, 1, ?2, ?3, ?4, ?5) ON CONFLICT (sha256) DO UPDATE SET retry_count = retry_count + 1,
               next_attempt_at = ?2, dead_at = ?3, error_code = ?4, error_detail = ?5""",
            (one.sha256, one.next_attempt_at, dead_at, one.code, one.detail),
        )


def next_due_at(reader: sqlite3.Connection, after: str) -> str | None:
    """When the first of those that were still waiting at the instant `after` may be tried again."""
    sql = "SELECT min(next_attempt_at) FROM blob_uploads WHERE dead_at IS NULL AND next_attempt_at > ?"
    found: str | None = reader.execute(sql, (after,)).fetchone()[0]
    return found


def list_dead(reader: sqlite3.Connection, limit: int, *, code: str | None = None) -> list[DeadBlob]:
    """Bytes given up, the longest so first; those of one reason if `code` is named."""
    sql = f"""SELECT {columns(DeadBlob)} FROM blob_uploads
              WHERE dead_at IS NOT NULL AND (?1 IS NULL OR error_code = ?1) ORDER BY dead_at, sha256 LIMIT ?2"""
    return many(DeadBlob, reader.execute(sql, (code, limit)))


def dead_files(reader: sqlite3.Connection) -> Iterator[dict[str, object]]:
    """Every photograph whose bytes were given up: which it is, where its file lies, and why."""
    sql = """SELECT i.id AS image_id, i.session_id, i.file_path, b.sha256, b.retry_count, b.dead_at, b.error_code,
                    b.error_detail
             FROM blob_uploads b JOIN inspection_images i ON i.sha256 = b.sha256
             WHERE b.dead_at IS NOT NULL ORDER BY b.dead_at, i.id"""
    return (dict(row) for row in reader.execute(sql))


def count_dead(reader: sqlite3.Connection) -> int:
    return int(reader.execute("SELECT count(*) FROM blob_uploads WHERE dead_at IS NOT NULL").fetchone()[0])


def revive(tx: sqlite3.Connection, *, sha256: str | None = None, code: str | None = None) -> int:
    """What was given up is due again: these bytes, or all that failed for this reason, or all; how many."""
    sql = """UPDATE blob_uploads SET dead_at = NULL, next_attempt_at = NULL, retry_count = 0
             WHERE dead_at IS NOT NULL AND coalesce(?1, sha256) = sha256 AND coalesce(?2, error_code) = error_code"""
    return tx.execute(sql, (sha256, code)).rowcount


def doubt(tx: sqlite3.Connection) -> int:
    """The centre may have lost what it had verified (it was restored from a backup): photographs that are still here
    are asked about again, at most WINDOW of them. Bytes that it has are not sent again. How many; 0: none is left."""
    sql = """UPDATE inspection_images SET uploaded_at = NULL WHERE id IN (
                 SELECT id FROM inspection_images WHERE uploaded_at IS NOT NULL AND evicted_at IS NULL LIMIT ?)"""
    return tx.execute(sql, (WINDOW,)).rowcount
