"""From records to what one caller may see of them.

Rules of this file:
- Pure: the decision what blind mode hides is made here and nowhere else.
- Blind mode hides the AI's verdict on an item from inspectors until a person has decided that item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edge_agent.api.bodies.inspections import (
    ImageReply,
    ItemBody,
    ScanReply,
    SessionBody,
    SessionHead,
    VerdictState,
)
from edge_agent.errors import BadInput
from edge_agent.inspection.sessions import ItemProgress, ScanAnswer, SessionView
from edge_agent.models import AiInspection, CentralDecision, Image, ItemVerdict, Role, Session
from edge_agent.store.results import ReviewEntry


def session_head(session: Session) -> SessionHead:
    return SessionHead(**{name: getattr(session, name) for name in SessionHead.__slots__})


def scan_reply(answer: ScanAnswer) -> ScanReply:
    open_session = session_head(answer.open_session) if answer.open_session else None
    return ScanReply(answer.scan, answer.product, answer.items, answer.target, open_session)


def is_blinded(role: Role, *, blind_mode: bool) -> bool:
    """Whether this role judges without seeing the AI's verdict first."""
    return blind_mode and role is Role.INSPECTOR


def is_withheld(verdict: ItemVerdict | None, *, blinded: bool) -> bool:
    return blinded and not (verdict and verdict.human_result)


def session_body(view: SessionView, decisions: list[CentralDecision], *, blinded: bool) -> SessionBody:
    items = [item_body(item, blinded=blinded) for item in view.items]
    head = session_head(view.session)
    return SessionBody(head, view.target, items, view.missing, view.can_complete, decisions)


def item_body(progress: ItemProgress, *, blinded: bool) -> ItemBody:
    hidden = is_withheld(progress.verdict, blinded=blinded)
    pictures = [shown_image(image, hidden=hidden) for image in progress.images]
    return ItemBody(progress.item, None if hidden else progress.verdict, pictures, hidden)


def shown_image(image: Image, *, hidden: bool) -> Image:
    return replace(image, failure=None) if hidden else image


def shown_results(
    results: Iterable[AiInspection], verdicts: Mapping[str, ItemVerdict], *, blinded: bool
) -> list[AiInspection]:
    """The results on items this caller may see the AI's verdict of."""
    return [r for r in results if not is_withheld(verdicts.get(r.item_id), blinded=blinded)]


def shown_review(entry: ReviewEntry, *, blinded: bool) -> ReviewEntry:
    return replace(entry, ai_result_id=None, ai_result="", review="WITHHELD") if blinded else entry


def image_reply(
    image: Image, result: AiInspection | None, *, is_done: bool, is_duplicate: bool, hidden: bool
) -> ImageReply:
    if not is_done:
        state = VerdictState.PENDING
    elif result is None:
        state = VerdictState.NONE
    else:
        state = VerdictState.WITHHELD if hidden else VerdictState.READY
    verdict = result if state is VerdictState.READY else None
    return ImageReply(shown_image(image, hidden=hidden), verdict, state, is_duplicate)


def write_cursor(*parts: str) -> str:
    return "~".join(parts)


def read_cursor(cursor: str | None, parts: int) -> tuple[str, ...] | None:
    """The parts of a cursor we gave. Raises BadInput (`bad-cursor`)."""
    if cursor is None:
        return None
    found = tuple(cursor.split("~"))
    if len(found) != parts or not all(found):
        raise BadInput(
            "The cursor is none that was given here.",
            code="bad-cursor",
            hint="Start the list again without a cursor.",
        )
    return found
