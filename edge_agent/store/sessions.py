"""Targets and sessions: what was put on the bench, and how far its inspection is.

Rules of this file:
- SQL only; which status may follow which is `inspection.rules`' to say.
- Lists page by key (started_at, id), never by offset: page 10,000 costs what page 1 does.
- Every mix of filters reads one index in its order, so a list costs its length whether much or nothing matches;
  what bears a text that is searched for is looked up by it, and only that is sorted.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_agent.models import Session, SessionStatus, Target
from edge_agent.store.records import columns, many, one

HISTORY_INDEXES = {
    (): "idx_inspection_sessions_started",
    ("status",): "idx_inspection_sessions_status_started",
    ("product_id", "status"): "idx_inspection_sessions_product_status",
    ("user_id", "status"): "idx_inspection_sessions_user_status",
    ("user_id", "product_id", "status"): "idx_inspection_sessions_user_product_status",
}
"""Columns held equal → the index that has them first, then started_at and id."""
SUMMARY = """s.id, s.status, s.final_result, s.started_at, s.completed_at, s.product_id, s.user_id, s.source,
             s.target_id, t.product_code, t.batch_id, t.serial_no, t.qr_code"""
LETS_THROUGH = """
    s.product_id = coalesce(:product_id, s.product_id) AND s.user_id IS coalesce(:user_id, s.user_id)
    AND s.status = coalesce(:status, s.status)
    AND s.started_at >= coalesce(:since, '') AND s.started_at < coalesce(:until, '~')
"""


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What to list; None = any. `since` ≤ started_at < `until`, RFC 3339. `text`: exactly the serial number, the lot
    or the code as it was scanned."""

    product_id: str | None = None
    user_id: int | None = None
    status: SessionStatus | None = None
    since: str | None = None
    until: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line of the history."""

    id: str
    status: SessionStatus
    final_result: str | None
    started_at: str
    completed_at: str | None
    product_id: str
    user_id: int | None
    source: str
    target_id: str
    product_code: str
    batch_id: str
    serial_no: str
    qr_code: str


def get_target(reader: sqlite3.Connection, target_id: str) -> Target | None:
    return one(
        Target, reader.execute(f"SELECT {columns(Target)} FROM inspection_targets WHERE id = ?", (target_id,))
    )


def find_target(reader: sqlite3.Connection, qr_code: str) -> Target | None:
    """The newest target with exactly this code."""
    sql = f"SELECT {columns(Target)} FROM inspection_targets WHERE qr_code = ? ORDER BY id DESC LIMIT 1"
    return one(Target, reader.execute(sql, (qr_code,)))


def version_of(reader: sqlite3.Connection, session_id: str) -> int | None:
    """The session's row version: what was read of it before still holds while this is the same."""
    row = reader.execute("SELECT version FROM inspection_sessions WHERE id = ?", (session_id,)).fetchone()
    return None if row is None else int(row[0])


def get_session(reader: sqlite3.Connection, session_id: str) -> Session | None:
    sql = f"SELECT {columns(Session)} FROM inspection_sessions WHERE id = ?"
    return one(Session, reader.execute(sql, (session_id,)))


def open_session_of(reader: sqlite3.Connection, target_id: str) -> Session | None:
    """The target's newest session that is not finished."""
    sql = (
        f"SELECT {columns(Session)} FROM inspection_sessions WHERE target_id = ? "
        "AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') ORDER BY started_at DESC, id DESC LIMIT 1"
    )
    return one(Session, reader.execute(sql, (target_id,)))


def open_session_of_serial(
    reader: sqlite3.Connection, product_id: str, serial_no: str, *, automatic: bool
) -> Session | None:
    """The newest open session of that serial number, made by a hot folder or by a person."""
    sql = f"""
        SELECT {columns(Session, "s.")} FROM inspection_targets t
        JOIN inspection_sessions s ON s.target_id = t.id
        WHERE t.serial_no = ? AND t.serial_no <> '' AND t.product_id = ? AND (s.source = 'folder') = ?
              AND s.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')
        ORDER BY s.started_at DESC, s.id DESC LIMIT 1
    """
    return one(Session, reader.execute(sql, (serial_no, product_id, automatic)))


def open_session_of_product(reader: sqlite3.Connection, product_id: str) -> Session | None:
    """The newest open session a person started for the product."""
    sql = f"""
        SELECT {columns(Session)} FROM inspection_sessions
        WHERE product_id = ? AND source = 'inspector'
              AND status IN ('PENDING', 'IN_PROGRESS', 'AI_COMPLETED', 'HUMAN_REVIEW')
        ORDER BY started_at DESC, id DESC LIMIT 1
    """
    return one(Session, reader.execute(sql, (product_id,)))


def change_status(
    tx: sqlite3.Connection,
    session: Session,
    status: SessionStatus,
    now: str,
    *,
    final_result: str | None = None,
    reason: str | None = None,
    completed_at: str | None = None,
) -> bool:
    """Moves the session on, if nobody else has since it was read; False if somebody has."""
    changed = tx.execute(
        """
        UPDATE inspection_sessions
        SET status = ?, final_result = ?, reason = ?, completed_at = ?, version = version + 1, updated_at = ?
        WHERE id = ? AND version = ?
        """,
        (status, final_result, reason, completed_at, now, session.id, session.version),
    )
    return changed.rowcount == 1


def list_sessions(
    reader: sqlite3.Connection, wanted: HistoryFilter, after: tuple[str, str] | None, limit: int
) -> list[SessionSummary]:
    """Newest first; `after` = (started_at, id) of the last line of the page before."""
    if wanted.text is not None:
        return _list_found(reader, wanted, after, limit)
    parts = [_history(wanted, status, after) for status in _statuses(wanted)]
    sql = " UNION ALL ".join(text for text, _ in parts) + " ORDER BY s.started_at DESC, s.id DESC LIMIT ?"
    args = [value for _, values in parts for value in values]
    return many(SessionSummary, reader.execute(sql, (*args, limit)))


def list_named(
    reader: sqlite3.Connection, wanted: HistoryFilter, session_ids: Sequence[str]
) -> list[SessionSummary]:
    """Those of these sessions that the filter lets through, newest first."""
    sql = f"""
        SELECT {SUMMARY} FROM inspection_sessions s CROSS JOIN inspection_targets t ON t.id = s.target_id
        WHERE s.id IN (SELECT value FROM json_each(:ids)) AND {LETS_THROUGH}
              AND coalesce(:text IN (t.serial_no, t.batch_id, t.qr_code), 1)
        ORDER BY s.started_at DESC, s.id DESC
    """
    return many(SessionSummary, reader.execute(sql, {**asdict(wanted), "ids": json.dumps([*session_ids])}))


def _list_found(
    reader: sqlite3.Connection, wanted: HistoryFilter, after: tuple[str, str] | None, limit: int
) -> list[SessionSummary]:
    """The sessions of the few targets that bear the text, found by it."""
    sql = f"""
        SELECT {SUMMARY} FROM inspection_targets t
        CROSS JOIN inspection_sessions s INDEXED BY idx_inspection_sessions_target ON s.target_id = t.id
        WHERE t.id IN (SELECT id FROM inspection_targets WHERE serial_no = :text AND serial_no <> ''
                       UNION ALL SELECT id FROM inspection_targets WHERE batch_id = :text AND batch_id <> ''
                       UNION ALL SELECT id FROM inspection_targets WHERE qr_code = :text)
              AND {LETS_THROUGH} AND (s.started_at, s.id) < (:last_at, :last_id)
        ORDER BY s.started_at DESC, s.id DESC LIMIT :limit
    """
    last_at, last_id = after or ("~", "~")
    args = {**asdict(wanted), "last_at": last_at, "last_id": last_id, "limit": limit}
    return many(SessionSummary, reader.execute(sql, args))


def _statuses(wanted: HistoryFilter) -> list[SessionStatus | None]:
    """One list per status, to be merged, where the index begins with product or inspector and status."""
    if wanted.status is not None:
        return [wanted.status]
    return [None] if wanted.product_id is None and wanted.user_id is None else list(SessionStatus)


def _history(
    wanted: HistoryFilter, status: SessionStatus | None, after: tuple[str, str] | None
) -> tuple[str, list[Any]]:
    """SELECT and arguments of the sessions in one status (None = any), along the index for this mix."""
    equal = {"user_id": wanted.user_id, "product_id": wanted.product_id, "status": status}
    used = {column: value for column, value in equal.items() if value is not None}
    where, args = [f"s.{column} = ?" for column in used], [*used.values()]
    if wanted.since is not None:
        where.append("s.started_at >= ?")
        args.append(wanted.since)
    if after is not None and (wanted.until is None or after[0] < wanted.until):
        where.append("(s.started_at, s.id) < (?, ?)")
        args.extend(after)
    elif wanted.until is not None:
        where.append("s.started_at < ?")
        args.append(wanted.until)
    sql = f"""
        SELECT {SUMMARY}
        FROM inspection_sessions s INDEXED BY {HISTORY_INDEXES[tuple(used)]}
             CROSS JOIN inspection_targets t ON t.id = s.target_id
        {f"WHERE {' AND '.join(where)}" if where else ""}"""
    return sql, args


def list_targets(
    reader: sqlite3.Connection, qr_code: str | None, before_id: str | None, limit: int
) -> list[Target]:
    """Newest first; `before_id` = the last of the page before."""
    wanted = [("qr_code = ?", qr_code), ("id < ?", before_id)]
    where = [text for text, value in wanted if value is not None]
    clause = f"WHERE {' AND '.join(where)}" if where else ""
    sql = f"SELECT {columns(Target)} FROM inspection_targets {clause} ORDER BY id DESC LIMIT ?"
    args = [value for _, value in wanted if value is not None]
    return many(Target, reader.execute(sql, (*args, limit)))


def sessions_of(reader: sqlite3.Connection, target_id: str, limit: int = 100) -> list[Session]:
    """The target's sessions, newest first."""
    sql = (
        f"SELECT {columns(Session)} FROM inspection_sessions WHERE target_id = ? "
        "ORDER BY started_at DESC, id DESC LIMIT ?"
    )
    return many(Session, reader.execute(sql, (target_id, limit)))


def count_open(reader: sqlite3.Connection) -> int:
    sql = """SELECT count(*) FROM inspection_sessions
             WHERE status IN ('PENDING', 'IN_PROGRESS', 'AI_COMPLETED', 'HUMAN_REVIEW')"""
    return int(reader.execute(sql).fetchone()[0])
