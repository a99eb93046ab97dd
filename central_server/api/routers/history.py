"""What was inspected: sessions by filters, by a scanned code; pipeline runs; components by words.

Rules of this file:
- A page says where the next one begins (`next`, null at the end); send it back as it is.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, StringConstraints

from central_server.api.auth import Has
from central_server.api.operators import AnyOperator
from central_server.store import history
from central_server.store.history import Cursors, SessionFilter
from edge_agent.errors import BadInput
from edge_agent.models import SessionStatus
from sync_protocol.messages import UUID_PATTERN

router = APIRouter(prefix="/history", tags=["history"])
Id = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
Limit = Annotated[int, Query(ge=1, le=200)]
Text = Annotated[str, Query(max_length=500)]
Document = dict[str, Any]


@router.get("/sessions")
def list_sessions(
    has: Has,
    _: AnyOperator,
    since_day: date | None = None,
    until_day: date | None = None,
    product_id: Id | None = None,
    item_id: Id | None = None,
    user_id: Id | None = None,
    device_id: Annotated[str | None, Query(max_length=255)] = None,
    status: SessionStatus | None = None,
    verdict: Literal["OK", "NG", "REVIEW", "HOLD", "ERROR"] | None = None,
    before: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 50,
) -> Document:
    """Sessions, newest first. `verdict` is the session's, or with `item_id` the item's."""
    wanted = SessionFilter(since_day, until_day, product_id, item_id, user_id, device_id, status, verdict)
    with has.database.snapshot() as tx:
        found = history.sessions(tx, wanted, cursor_in(before), limit)
    return {"sessions": found, "next": cursor_of(found[-1]) if len(found) == limit else None}


@router.get("/sessions/{session_id}")
def show_session(session_id: Id, has: Has, _: AnyOperator) -> Document:
    """One session with its items, images, verdicts, decisions and conflicts."""
    with has.database.snapshot() as tx:
        return history.session(tx, session_id)


@router.get("/lookup")
def look_up(has: Has, _: AnyOperator, code: Annotated[str, Query(min_length=1, max_length=1000)]) -> Document:
    """Sessions of the product with this scanned code (exactly as scanned) or serial number."""
    with has.database.snapshot() as tx:
        return {"sessions": history.find(tx, code)}


@router.get("/executions")
def list_executions(
    has: Has,
    _: AnyOperator,
    pipeline_id: Id | None = None,
    status: Literal["pending", "running", "completed", "failed"] | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    before: Id | None = None,
    limit: Limit = 50,
) -> Document:
    """Pipeline runs at the centre, newest first."""
    period: dict[str, datetime | None] = {"since": since, "until": until}
    with has.database.snapshot() as tx:
        found = history.executions(
            tx, pipeline_id=pipeline_id, status=status, before=before, limit=limit, **period
        )
    return {"executions": found, "next": found[-1]["id"] if len(found) == limit else None}


@router.get("/executions/{execution_id}")
def show_execution(execution_id: Id, has: Has, _: AnyOperator) -> Document:
    """One run with its components' parts."""
    with has.database.snapshot() as tx:
        return history.execution(tx, execution_id)


@router.get("/components")
def search_components(
    has: Has,
    _: AnyOperator,
    text: Text = "",
    after: Annotated[str | None, Query(max_length=400)] = None,
    limit: Limit = 50,
    with_inactive: bool = False,
) -> Document:
    """Components whose name, description or image holds the text; `after` is NAME/VERSION."""
    name, _slash, version = (after or "").rpartition("/")
    start = (name, version) if after else None
    with has.database.snapshot() as tx:
        found = history.components(tx, text, start, limit, with_inactive=with_inactive)
    last = found[-1] if len(found) == limit else None
    return {"components": found, "next": f"{last['name']}/{last['version']}" if last else None}


def cursor_of(record: Document) -> str:
    return f"{record['work_day']}.{record['id']}"


def cursor_in(text: str | None) -> Cursors | None:
    """Raises BadInput (`bad-cursor`)."""
    if text is None:
        return None
    day, _, row_id = text.partition(".")
    try:
        return Cursors(date.fromisoformat(day), str(UUID(row_id)))
    except ValueError:
        raise BadInput(
            "before is no cursor.", code="bad-cursor", hint="Send `next` of a page as it is."
        ) from None
