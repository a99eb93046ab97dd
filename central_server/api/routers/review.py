"""What waits for a person: operations of devices that were refused, and changes of a session that met another.

Rules of this file:
- A page says where the next one begins (`next`, null at the end); send it back as `after`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from central_server.api.auth import Has
from central_server.api.operators import Senior
from central_server.api.services import Services
from central_server.masters.operators import Operator
from central_server.store import review
from central_server.store.review import After, Kind, ReviewFilter
from edge_agent.errors import BadInput
from sync_protocol.messages import UUID_PATTERN

router = APIRouter(tags=["review"])
Id = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
Text = Annotated[str | None, Query(max_length=255)]
Start = Annotated[str | None, Query(max_length=100)]
Limit = Annotated[int, Query(ge=1, le=200)]
Document = dict[str, Any]


@router.get("/rejections")
def list_rejections(
    has: Has,
    _: Senior,
    device_id: Text = None,
    entity_id: Text = None,
    code: Text = None,
    with_resolved: bool = False,
    after: Start = None,
    limit: Limit = 50,
) -> Document:
    """Operations that were refused for good, the one that has waited longest first."""
    wanted = ReviewFilter(device_id, entity_id, code, with_resolved)
    return _page(has, "rejected", "rejections", wanted, after, limit)


@router.get("/rejections/{op_id}")
def show_rejection(op_id: Id, has: Has, _: Senior) -> Document:
    """One of them with the row as it was sent."""
    return _one(has, "rejected", op_id)


@router.post("/rejections/{op_id}/resolve")
def resolve_rejection(op_id: Id, who: Senior, has: Has) -> Document:
    """A person has seen it. The device keeps its row; sent and refused again, it is open again."""
    return _resolved(has, "rejected", op_id, who)


@router.get("/conflicts")
def list_conflicts(
    has: Has,
    _: Senior,
    device_id: Text = None,
    entity_id: Text = None,
    with_resolved: bool = False,
    after: Start = None,
    limit: Limit = 50,
) -> Document:
    """Changes of a session that met another, oldest first. `kept`: whose is effective."""
    wanted = ReviewFilter(device_id, entity_id, None, with_resolved)
    return _page(has, "conflict", "conflicts", wanted, after, limit)


@router.get("/conflicts/{conflict_id}")
def show_conflict(conflict_id: Id, has: Has, _: Senior) -> Document:
    """One of them with both sides."""
    return _one(has, "conflict", conflict_id)


@router.post("/conflicts/{conflict_id}/resolve")
def resolve_conflict(conflict_id: Id, who: Senior, has: Has) -> Document:
    """A person has seen it; what is effective stays effective."""
    return _resolved(has, "conflict", conflict_id, who)


def _page(
    has: Services, kind: Kind, name: str, wanted: ReviewFilter, after: str | None, limit: int
) -> Document:
    with has.database.snapshot() as tx:
        found = review.listed(tx, kind, wanted, start_in(after), limit)
    return {name: found, "next": "_".join(review.end_of(kind, found[-1])) if len(found) == limit else None}


def _one(has: Services, kind: Kind, wanted_id: str) -> Document:
    with has.database.snapshot() as tx:
        return review.one(tx, kind, wanted_id)


def _resolved(has: Services, kind: Kind, wanted_id: str, who: Operator) -> Document:
    with has.database.write() as tx:
        return review.resolve(tx, kind, wanted_id, who.name, who.user_id)


def start_in(text: str | None) -> After | None:
    """Raises BadInput (`bad-cursor`)."""
    if text is None:
        return None
    at, _, row_id = text.partition("_")
    try:
        return After(datetime.fromisoformat(at).isoformat(), str(UUID(row_id)))
    except ValueError:
        raise BadInput(
            "after is no cursor.", code="bad-cursor", hint="Send `next` of a page as it is."
        ) from None
