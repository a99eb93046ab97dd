"""Decisions of the centre: a supervisor's override of a session or of one of its items.

Rules of this file:
- Insert-only: deciding again adds the next version. Who decides names the version they saw.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import psycopg
from psycopg.rows import class_row

from central_server.store.database import Connection
from central_server.store.masters import lock
from edge_agent.errors import Conflict, NotFound

COLUMNS = """id::text, session_id::text, item_id::text, final_result, reason, decided_by::text,
             to_char(decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS decided_at, version"""


@dataclass(frozen=True, slots=True)
class Decision:
    """`item_id` None: the whole session. The highest `version` of a session or item is in force."""

    id: str
    session_id: str
    item_id: str | None
    final_result: str
    reason: str
    decided_by: str
    decided_at: str
    version: int


def of_session(tx: Connection, session_id: str) -> list[Decision]:
    """Every decision on the session and its items, oldest first."""
    sql = f"SELECT {COLUMNS} FROM central_decisions WHERE session_id = %s ORDER BY decided_at, version"
    return _decisions(tx).execute(sql.encode(), (session_id,)).fetchall()


def decide(
    tx: Connection,
    decision_id: str,
    session_id: str,
    item_id: str | None,
    final_result: str,
    reason: str,
    decided_by: str,
    version: int,
) -> Decision:
    """Adds the decision as `version` (1, 2, ... of its subject).

    Raises NotFound (`unknown-session`), Conflict (`version-differs`) when somebody decided meanwhile.
    """
    there = tx.execute("SELECT 1 FROM inspection_sessions WHERE id = %s", (session_id,)).fetchone()
    if there is None:
        raise NotFound(
            "The session is not here.", code="unknown-session", hint="It may not have arrived yet."
        )
    lock(tx, "decisions")
    before = [one for one in of_session(tx, session_id) if one.item_id == item_id]
    newest = max(before, key=lambda one: one.version, default=None)
    present = newest.version if newest else 0
    if version != present + 1:
        raise Conflict(
            f"The decision in force is version {present}; version {version} does not follow it.",
            code="version-differs",
            hint="Look at the decision that is there, then decide again.",
            present=asdict(newest) if newest else None,
        )
    sql = f"""INSERT INTO central_decisions (id, session_id, item_id, final_result, reason, decided_by, version)
              VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING {COLUMNS}"""
    values = (decision_id, session_id, item_id, final_result, reason, decided_by, version)
    decision = _decisions(tx).execute(sql.encode(), values).fetchone()
    assert decision is not None
    return decision


def _decisions(tx: Connection) -> psycopg.Cursor[Decision]:
    return tx.cursor(row_factory=class_row(Decision))
