"""What supervisors at the centre decided about inspections, as it was pulled.

Rules of this file:
- Of each session and item only the highest version is in force; nothing here changes the inspector's own verdict.
"""

from __future__ import annotations

import sqlite3

from edge_agent.models import CentralDecision
from edge_agent.store.records import many


def in_force(reader: sqlite3.Connection, session_id: str) -> list[CentralDecision]:
    """What holds for the session (item_id None) and its items, in the order in which it was decided."""
    sql = """SELECT d.id, d.item_id, d.final_result, d.reason, d.decided_at, d.version,
                    coalesce(u.full_name, u.username, d.decided_by) AS decided_by
             FROM central_decisions d LEFT JOIN users u ON u.server_id = d.decided_by
             WHERE d.session_id = ?1 AND d.version = (
                 SELECT max(version) FROM central_decisions o WHERE o.session_id = ?1 AND o.item_id IS d.item_id)
             ORDER BY d.decided_at, d.id"""
    return many(CentralDecision, reader.execute(sql, (session_id,)))
