"""Finding a session, its target and its items, or saying what is not there.

Rules of this file:
- Reads only; whoever is about to write looks again inside the transaction.
"""

from __future__ import annotations

import sqlite3

from edge_agent.errors import Conflict, NotFound
from edge_agent.inspection.rules import CLOSED
from edge_agent.models import InspectionType, Session, SnapshotItem, Target
from edge_agent.store import sessions


def open_session(reader: sqlite3.Connection, session_id: str) -> tuple[Session, Target]:
    """The session and its target. Raises NotFound, Conflict (`session-closed`)."""
    session, target = any_session(reader, session_id)
    if session.status in CLOSED:
        raise Conflict(
            f"The session is {session.status}; it takes no more images.",
            code="session-closed",
            hint="Start a new session for this product.",
        )
    return session, target


def any_session(reader: sqlite3.Connection, session_id: str) -> tuple[Session, Target]:
    session = sessions.get_session(reader, session_id)
    target = sessions.get_target(reader, session.target_id) if session else None
    if session is None or target is None:
        raise NotFound(f"There is no session {session_id}.", code="unknown-session")
    return session, target


def item_of(session: Session, item_id: str) -> SnapshotItem:
    """Raises NotFound (`unknown-item`)."""
    for item in snapshot_items(session):
        if item.id == item_id:
            return item
    raise NotFound(f"This session has no item {item_id}.", code="unknown-item")


def scan_facts(target: Target) -> dict[str, str]:
    """What a TEXT criterion may compare with: scan.text, scan.product_code, scan.lot, scan.serial."""
    return {
        "text": target.qr_code,
        "product_code": target.product_code,
        "lot": target.batch_id,
        "serial": target.serial_no,
    }


def snapshot_items(session: Session) -> list[SnapshotItem]:
    """The items of a session as they were when it started, in order."""
    return [
        SnapshotItem(**{**item, "inspection_type": InspectionType(item["inspection_type"])})
        for item in session.criteria_snapshot
    ]
