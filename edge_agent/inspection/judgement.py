"""What a person decides of an item or a session: whether it may be recorded, and as what row.

Rules of this file:
- Pure; nothing is read or written here.
- An OK against the item's own checklist is refused; a completed session is corrected by supervisors only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import BadInput, Conflict, Denied, NotFound
from edge_agent.inspection.lookup import snapshot_items
from edge_agent.models import Actor, FinalResult, InspectionType, ItemVerdict, Role, Session, SessionStatus


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a person decided of one item (or of the whole session: `item_id` None).

    `verification_time` in seconds; `region` [x, y, w, h] pixels of the original image.
    """

    final_result: FinalResult
    item_id: str | None = None
    image_id: str | None = None
    reason_code: str | None = None
    notes: str | None = None
    verification_time: float = 0.0
    saw_ai: bool = True
    checks: Mapping[str, Any] | None = None
    region: tuple[float, float, float, float] | None = None


def check_judgement(session: Session, judgement: Judgement) -> None:
    """Raises NotFound (`unknown-item`), BadInput (`failed-check`): an OK against an unmet checklist."""
    if judgement.item_id is None:
        return
    item = next((item for item in snapshot_items(session) if item.id == judgement.item_id), None)
    if item is None:
        raise NotFound(f"This session has no item {judgement.item_id}.", code="unknown-item")
    if item.inspection_type is InspectionType.FUNCTION and judgement.final_result is FinalResult.OK:
        answers = judgement.checks or {}
        unmet = [c["key"] for c in item.criteria.get("checks", ()) if answers.get(c["key"]) != c["expect"]]
        if unmet:
            raise BadInput(
                f"OK was given, but these checks are not as they should be: {', '.join(unmet)}.",
                code="failed-check",
                hint="Answer every check; if one fails, the item is NG or HOLD.",
                unmet=unmet,
            )


def check_correction(session: Session, actor: Actor) -> None:
    """Of a closed session. Raises Conflict (`session-closed`), Denied (`correction-needs-supervisor`)."""
    if session.status is not SessionStatus.COMPLETED:
        raise Conflict(
            f"The session is {session.status}; it takes no more verdicts.",
            code="session-closed",
            hint="Start a new session for this product.",
        )
    if actor.role not in (Role.SUPERVISOR, Role.ADMIN):
        raise Denied(
            "The session is completed; only a supervisor may correct it.",
            code="correction-needs-supervisor",
            hint="Ask a supervisor to record the correction.",
        )


def verification_row(
    judgement: Judgement, session_id: str, user_id: int, present: ItemVerdict | None
) -> dict[str, Any]:
    """The row to insert, but for its id and instant; `present`: what holds for the item until now."""
    return {
        "session_id": session_id,
        "user_id": user_id,
        "final_result": judgement.final_result,
        "notes": judgement.notes,
        "verification_time": judgement.verification_time,
        "item_id": judgement.item_id,
        "image_id": judgement.image_id or (present.image_id if present else None),
        "reason_code": judgement.reason_code,
        "saw_ai": int(judgement.saw_ai),
        "checks": _json(judgement.checks),
        "region": _json(judgement.region),
        "supersedes": present.human_result_id if present else None,
    }


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
