"""The outbox as the push lane works it: what is ready, what was acknowledged, what had to be set aside.

Rules of this file:
- An entry is ready, waiting (`next_attempt_at`), held (`held_by`), dead (`dead_at`) or done (`processed_at`); each
  has an index of its own, so that no claim ever walks over the others, however many they are.
- Statements are set-based; nothing here looks into `data`.
- Entries of one local transaction are neighbours: there is one writer.
- Nothing that was not acknowledged is ever removed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain

from edge_agent.store import audit

COLUMNS = """id, op_id, tx_id, entity_type, entity_id, operation, CAST(data AS BLOB), sha256, base_version, blob_refs"""
_IS_READY = "processed_at IS NULL AND dead_at IS NULL AND held_by IS NULL AND next_attempt_at IS NULL"
MAX_DEAD = 1000
_DUE = """(SELECT id FROM sync_queue INDEXED BY idx_sync_queue_waiting
           WHERE next_attempt_at IS NOT NULL AND (next_attempt_at <= :now OR next_attempt_at > :beyond))"""
_RELEASED = """(SELECT DISTINCT h.held_by FROM sync_queue h INDEXED BY idx_sync_queue_held
                WHERE h.held_by IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM sync_queue a WHERE a.id = h.held_by AND a.processed_at IS NULL
                        AND (a.dead_at IS NOT NULL OR a.next_attempt_at IS NOT NULL)))"""


@dataclass(frozen=True, slots=True)
class Head:
    """The oldest ready entry of one priority."""

    priority: int
    id: int
    created_at: str


# ── claims ──────────────────────────────────────────────────────────────────────────────────────────────


def heads(reader: sqlite3.Connection) -> list[Head]:
    """Of every priority that has something ready, highest first; one step of the index each."""
    sql = f"""SELECT priority, id, created_at FROM sync_queue INDEXED BY idx_sync_queue_ready
              WHERE {_IS_READY} AND priority < ? ORDER BY priority DESC, id LIMIT 1"""
    found: list[Head] = []
    below = 2**31
    while (row := reader.execute(sql, (below,)).fetchone()) is not None:
        found.append(Head(*row))
        below = found[-1].priority
    return found


def oldest_ready(reader: sqlite3.Connection, priorities: Iterable[int], limit: int) -> list[int]:
    """The first ready entries of these priorities, oldest first."""
    sql = f"""SELECT json_group_array(id) FROM (
                  SELECT id FROM sync_queue INDEXED BY idx_sync_queue_ready
                  WHERE {_IS_READY} AND priority = ? ORDER BY id LIMIT ?)"""
    found = (json.loads(reader.execute(sql, (priority, limit)).fetchone()[0]) for priority in priorities)
    return sorted(chain.from_iterable(found))[:limit]


def with_all_they_need(reader: sqlite3.Connection, ids: list[int], max_ids: int) -> list[int] | None:
    """These ready entries, what is ready of the rows above theirs, and the rest of all their transactions,
    oldest first; None when that is more than `max_ids`."""
    found = frontier = set(ids)
    while frontier and len(found) <= max_ids:
        frontier = (_rows_above(reader, frontier) | _whole_transactions(reader, frontier)) - found
        found = found | frontier
    return sorted(found) if len(found) <= max_ids else None


def entries(reader: sqlite3.Connection, ids: Collection[int]) -> list[tuple[object, ...]]:
    """Their `COLUMNS`, oldest first; the data as bytes, because a damaged row need not be text."""
    sql = f"SELECT {COLUMNS} FROM sync_queue WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    rows = reader.cursor()
    rows.row_factory = None
    return rows.execute(sql, (json.dumps(list(ids)),)).fetchall()


def ready_among(reader: sqlite3.Connection, ids: Collection[int]) -> int:
    """How many of them are ready."""
    sql = f"SELECT count(*) FROM sync_queue WHERE id IN (SELECT value FROM json_each(?)) AND {_IS_READY}"
    return int(reader.execute(sql, (json.dumps(list(ids)),)).fetchone()[0])


def ids_of(reader: sqlite3.Connection, op_ids: Collection[str]) -> list[int]:
    """The entries of these operations that are not acknowledged, oldest first."""
    sql = """SELECT id FROM sync_queue WHERE op_id IN (SELECT value FROM json_each(?)) AND processed_at IS NULL
             ORDER BY id"""
    return [row[0] for row in reader.execute(sql, (json.dumps(list(op_ids)),))]


def _rows_above(reader: sqlite3.Connection, ids: Collection[int]) -> set[int]:
    """The ready entries of the inspections that these belong to, up to the last of these."""
    sql = f"""
        WITH own AS (
            SELECT entity_type, entity_id FROM sync_queue WHERE id IN (SELECT value FROM json_each(?1))
        ), session (id) AS (
            SELECT entity_id FROM own WHERE entity_type = 'inspection_sessions'
            UNION SELECT i.session_id FROM own JOIN inspection_images i
                ON own.entity_type = 'inspection_images' AND i.id = own.entity_id
            UNION SELECT r.session_id FROM own JOIN ai_inspection_results r
                ON own.entity_type = 'ai_inspection_results' AND r.id = own.entity_id
            UNION SELECT h.session_id FROM own JOIN human_verification_results h
                ON own.entity_type = 'human_verification_results' AND h.id = own.entity_id
        ), above (entity_type, entity_id) AS (
            SELECT 'inspection_sessions', id FROM session
            UNION ALL SELECT 'inspection_targets', s.target_id
                FROM session JOIN inspection_sessions s ON s.id = session.id
            UNION ALL SELECT 'inspection_images', i.id
                FROM session JOIN inspection_images i ON i.session_id = session.id
            UNION ALL SELECT 'human_verification_results', h.id
                FROM session JOIN human_verification_results h ON h.session_id = session.id
        )
        SELECT q.id FROM above JOIN sync_queue q INDEXED BY idx_sync_queue_entity
            ON q.entity_type = above.entity_type AND q.entity_id = above.entity_id
        WHERE q.id < ?2 AND {_IS_READY}"""
    return {row[0] for row in reader.execute(sql, (json.dumps(list(ids)), max(ids)))}


def _whole_transactions(reader: sqlite3.Connection, ids: Collection[int]) -> set[int]:
    sql = f"""
        WITH RECURSIVE together (id, tx_id) AS (
            SELECT id, tx_id FROM sync_queue WHERE id IN (SELECT value FROM json_each(?1))
            UNION SELECT q.id, q.tx_id FROM together t JOIN sync_queue q
                ON q.id IN (t.id - 1, t.id + 1) AND q.tx_id = t.tx_id
        )
        SELECT id FROM together JOIN sync_queue q USING (id) WHERE {_IS_READY}"""
    return {row[0] for row in reader.execute(sql, (json.dumps(list(ids)),))}


# ── fates ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SetAside:
    """An entry that cannot go on now. `next_attempt_at` None: it is dead, until a person queues it again."""

    id: int
    code: str
    detail: str
    next_attempt_at: str | None


def acknowledge(tx: sqlite3.Connection, ids: Collection[int], incarnation: str, ack: int, now: str) -> None:
    """The server has them for good, as part of the incarnation's batch number `ack`."""
    tx.execute(
        """UPDATE sync_queue SET processed_at = ?, incarnation = ?, ack = ?, next_attempt_at = NULL, dead_at = NULL,
               held_by = NULL, error_code = NULL, error_detail = NULL
           WHERE id IN (SELECT value FROM json_each(?)) AND processed_at IS NULL""",
        (now, incarnation, ack, json.dumps(list(ids))),
    )


def retry_counts(reader: sqlite3.Connection, ids: Collection[int]) -> dict[int, int]:
    sql = "SELECT id, retry_count FROM sync_queue WHERE id IN (SELECT value FROM json_each(?))"
    return dict(tuple(row) for row in reader.execute(sql, (json.dumps(list(ids)),)))


def set_aside(tx: sqlite3.Connection, entries: Collection[SetAside], now: str) -> None:
    """Marks them with their reason, and holds back what cannot be applied without them, or without what is dead."""
    tx.executemany(
        """UPDATE sync_queue SET retry_count = retry_count + 1, last_retry_at = ?, next_attempt_at = ?,
               dead_at = ?, error_code = ?, error_detail = ?, held_by = NULL
           WHERE id = ? AND processed_at IS NULL""",
        [
            (
                now,
                one.next_attempt_at,
                now if one.next_attempt_at is None else None,
                one.code,
                one.detail,
                one.id,
            )
            for one in entries
        ],
    )
    if entries:
        dead = tx.execute("SELECT id FROM sync_queue WHERE dead_at IS NOT NULL LIMIT ?", (MAX_DEAD,))
        _hold_dependants(tx, {one.id for one in entries} | {row[0] for row in dead})


def _hold_dependants(tx: sqlite3.Connection, ids: Collection[int]) -> None:
    """Later entries of the same rows, and, where a row itself is missing, of every row below it."""
    tx.execute(
        """
        WITH RECURSIVE aside AS (
            SELECT id, entity_type, entity_id, operation FROM sync_queue
            WHERE id IN (SELECT value FROM json_each(?))
        ), below (by, entity_type, entity_id) AS (
            SELECT id, entity_type, entity_id FROM aside WHERE operation = 'INSERT'
            UNION SELECT by, 'inspection_sessions', s.id FROM below JOIN inspection_sessions s
                ON below.entity_type = 'inspection_targets' AND s.target_id = below.entity_id
            UNION SELECT by, 'inspection_images', i.id FROM below JOIN inspection_images i
                ON below.entity_type = 'inspection_sessions' AND i.session_id = below.entity_id
            UNION SELECT by, 'ai_inspection_results', r.id FROM below JOIN ai_inspection_results r
                ON below.entity_type = 'inspection_images' AND r.image_id = below.entity_id
            UNION SELECT by, 'human_verification_results', h.id FROM below JOIN human_verification_results h
                ON below.entity_type = 'inspection_sessions' AND h.session_id = below.entity_id
        ), needs (by, id) AS (
            SELECT min(d.by), q.id
            FROM (SELECT * FROM below UNION SELECT id, entity_type, entity_id FROM aside) d
            JOIN sync_queue q ON q.entity_type = d.entity_type AND q.entity_id = d.entity_id AND q.id > d.by
            WHERE q.processed_at IS NULL AND q.dead_at IS NULL GROUP BY q.id
        )
        UPDATE sync_queue SET held_by = needs.by, next_attempt_at = NULL FROM needs WHERE sync_queue.id = needs.id""",
        (json.dumps(list(ids)),),
    )


def has_due(reader: sqlite3.Connection, now: str, beyond_belief: str) -> bool:
    """Whether `wake` would find anything."""
    sql = f"SELECT EXISTS (SELECT 1 FROM {_DUE}) OR EXISTS (SELECT 1 FROM {_RELEASED})"
    return bool(reader.execute(sql, {"now": now, "beyond": beyond_belief}).fetchone()[0])


def wake(tx: sqlite3.Connection, now: str, beyond_belief: str) -> None:
    """Makes ready what has waited long enough, and what was held by entries that are no longer set aside."""
    instants = {"now": now, "beyond": beyond_belief}
    tx.execute(
        f"UPDATE sync_queue SET next_attempt_at = NULL WHERE id IN (SELECT id FROM {_DUE})",
        instants,
    )
    tx.execute(f"UPDATE sync_queue SET held_by = NULL WHERE held_by IN (SELECT held_by FROM {_RELEASED})")


def next_due_at(reader: sqlite3.Connection, after: str) -> str | None:
    """When the first entry that was still waiting at the instant `after` may be tried again."""
    sql = "SELECT min(next_attempt_at) FROM sync_queue WHERE next_attempt_at > ?"
    found: str | None = reader.execute(sql, (after,)).fetchone()[0]
    return found


# ── after the server went back in time, and after a long time ───────────────────────────────────────────

WINDOW = 5000


def requeue_lost(
    tx: sqlite3.Connection, after_id: int, incarnation: str, after_ack: int, everything: bool
) -> int | None:
    """Queues again, of WINDOW entries from `after_id` on, what was acknowledged after the incarnation's batch
    `after_ack` (`everything`: whatever was acknowledged). Returns where to go on; None at the end."""
    last = tx.execute(
        "SELECT max(id) FROM (SELECT id FROM sync_queue WHERE id > ? ORDER BY id LIMIT ?)", (after_id, WINDOW)
    ).fetchone()[0]
    if last is None:
        return None
    tx.execute(
        """UPDATE sync_queue SET processed_at = NULL, incarnation = NULL, ack = NULL, retry_count = 0
           WHERE id > ? AND id <= ? AND processed_at IS NOT NULL
               AND (? OR (incarnation = ? AND ack > ?))""",
        (after_id, last, everything, incarnation, after_ack),
    )
    return int(last)


def has_purgeable(reader: sqlite3.Connection, before: str) -> bool:
    """Whether `purge` would remove anything."""
    row = reader.execute("SELECT processed_at FROM sync_queue ORDER BY id LIMIT 1").fetchone()
    return row is not None and row[0] is not None and row[0] < before


def purge(tx: sqlite3.Connection, before: str) -> int:
    """Removes, from the start only, up to WINDOW entries acknowledged before that instant; returns how many."""
    ids: list[int] = []
    for entry_id, processed_at in tx.execute(
        "SELECT id, processed_at FROM sync_queue ORDER BY id LIMIT ?", (WINDOW,)
    ):
        if processed_at is None or processed_at >= before:
            break
        ids.append(entry_id)
    if ids:
        tx.execute("DELETE FROM sync_queue WHERE id <= ?", (ids[-1],))
        audit.append(tx, "queue.purge", "sync_queue", str(ids[-1]))
    return len(ids)


def last_id(reader: sqlite3.Connection) -> int:
    """The number of the newest entry ever queued."""
    row = reader.execute("SELECT seq FROM sqlite_sequence WHERE name = 'sync_queue'").fetchone()
    return int(row[0]) if row else 0
