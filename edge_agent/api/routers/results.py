"""AI results, and what waits for a person."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter

from edge_agent.api.auth import Anyone, Has
from edge_agent.api.bodies.fields import Cursor, Id, Limit, NamedSessions
from edge_agent.api.bodies.inspections import ReviewPage
from edge_agent.api.views import is_blinded, read_cursor, shown_results, shown_review, write_cursor
from edge_agent.errors import Denied, NotFound
from edge_agent.models import AiInspection
from edge_agent.store import results

router = APIRouter(tags=["results"])


@router.get("/results/{result_id}")
def get_result(result_id: Id, who: Anyone, has: Has) -> AiInspection:
    """One AI run: verdict, steps, objects, measurements, versions."""
    with has.database.snapshot() as reader:
        result = results.get_ai_result(reader, result_id)
        if result is None:
            raise NotFound(f"There is no result {result_id}.", code="unknown-result")
        verdicts = {verdict.item_id: verdict for verdict in results.item_verdicts(reader, result.session_id)}
    blinded = is_blinded(who.role, blind_mode=has.config.blind_mode)
    if not shown_results([result], verdicts, blinded=blinded):
        raise Denied(
            "The AI's verdict is shown once the item is decided.",
            code="verdict-withheld",
            hint="Judge the item by eye first.",
        )
    return result


@router.get("/reviews")
def list_reviews(
    who: Anyone, has: Has, cursor: Cursor = None, limit: Limit = 50, session_id: NamedSessions = None
) -> ReviewPage:
    """Items a person must look at, oldest first: NG, REVIEW, ERROR, and OKs picked as samples."""
    blinded = is_blinded(who.role, blind_mode=has.config.blind_mode)
    after = cast("tuple[str, str, str] | None", read_cursor(cursor, 3))
    with has.database.read() as reader:
        found = (
            results.reviews_of(reader, session_id)
            if session_id
            else results.review_list(reader, after, limit)
        )
    last = found[-1] if len(found) == limit and not session_id else None
    more = write_cursor(last.updated_at, last.session_id, last.item_id) if last else None
    return ReviewPage([shown_review(entry, blinded=blinded) for entry in found], more)
