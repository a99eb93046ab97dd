"""Everything recorded about one session, read at one instant.

Rules of this file:
- Reads only; who may see what of it is the API's to say.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.inspection.lookup import any_session, snapshot_items
from edge_agent.models import (
    AiInspection,
    CentralDecision,
    Image,
    ItemVerdict,
    Session,
    SnapshotItem,
    Target,
    Verification,
)
from edge_agent.store import audit, decisions, images, results
from edge_agent.store.audit import AuditEntry

AUDIT_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Trace:
    """One session: `items` in their order, `verdicts` by item id what now holds, the rest as it was added;
    `audit` newest first."""

    session: Session
    target: Target
    items: list[SnapshotItem]
    verdicts: dict[str, ItemVerdict]
    images: list[Image]
    ai_results: list[AiInspection]
    verifications: list[Verification]
    decisions: list[CentralDecision]
    audit: list[AuditEntry]


def read_trace(reader: sqlite3.Connection, session_id: str) -> Trace:
    """Inside a snapshot. Raises NotFound (`unknown-session`)."""
    session, target = any_session(reader, session_id)
    return Trace(
        session=session,
        target=target,
        items=snapshot_items(session),
        verdicts={verdict.item_id: verdict for verdict in results.item_verdicts(reader, session_id)},
        images=images.list_images(reader, session_id),
        ai_results=results.list_ai_results(reader, session_id),
        verifications=results.list_verifications(reader, session_id),
        decisions=decisions.in_force(reader, session_id),
        audit=audit.list_entries(reader, entity=("inspection_sessions", session_id), limit=AUDIT_ENTRIES),
    )
