"""Who changed what at the centre: noted in the transaction that does it, and read page by page.

Rules of this file:
- Insert-only (schema/postgresql.sql). `detail` holds names of members, never their values: some are secrets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row

from central_server.store.database import Connection


@dataclass(frozen=True, slots=True)
class Entry:
    """`subject` is what was changed, as people call it: PRODUCT/ITEM, NAME/VERSION, a user name."""

    id: int
    at: str
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries; None = all. `kind` is what an action begins with: product, user, device ..."""

    kind: str | None = None
    subject: str | None = None
    actor: str | None = None


def note(
    tx: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Notes who did what, in the transaction that does it."""
    sql = "INSERT INTO operator_log (actor, action, subject, detail) VALUES (%s, %s, %s, %s::jsonb)"
    tx.execute(sql, (actor, action, subject, json.dumps(detail or {}, ensure_ascii=False)))


def entries(tx: Connection, wanted: LogFilter, before: int | None, limit: int) -> list[Entry]:
    """At most `limit` entries below the id `before`, newest first."""
    given = {
        "split_part(action, '.', 1) = %s": wanted.kind,
        "subject = %s": wanted.subject,
        "actor = %s": wanted.actor,
        "id < %s": before,
    }
    chosen = {condition: value for condition, value in given.items() if value is not None}
    where = f"WHERE {' AND '.join(chosen)}" if chosen else ""
    sql = f"""SELECT id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, actor, action,
                     subject, detail FROM operator_log {where} ORDER BY id DESC LIMIT %s"""
    found = tx.cursor(row_factory=class_row(Entry)).execute(sql.encode(), [*chosen.values(), limit])
    return found.fetchall()
