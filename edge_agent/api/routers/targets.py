"""Physical products that came to the bench."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from edge_agent.api.auth import Anyone, Has
from edge_agent.api.bodies.fields import Cursor, Id, Limit
from edge_agent.api.bodies.inspections import TargetBody, TargetPage
from edge_agent.api.views import session_head
from edge_agent.errors import NotFound
from edge_agent.store import sessions

router = APIRouter(prefix="/targets", tags=["targets"])


@router.get("")
def list_targets(
    _who: Anyone,
    has: Has,
    qr_code: Annotated[str | None, Query(max_length=8192, description="The code exactly as scanned.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> TargetPage:
    """Targets, newest first."""
    with has.database.read() as reader:
        found = sessions.list_targets(reader, qr_code, cursor, limit)
    return TargetPage(found, found[-1].id if len(found) == limit else None)


@router.get("/{target_id}")
def get_target(target_id: Id, _who: Anyone, has: Has) -> TargetBody:
    """One target and its sessions."""
    with has.database.snapshot() as reader:
        target = sessions.get_target(reader, target_id)
        if target is None:
            raise NotFound(f"There is no target {target_id}.", code="unknown-target")
        return TargetBody(target, [session_head(one) for one in sessions.sessions_of(reader, target_id)])
