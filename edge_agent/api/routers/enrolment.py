"""Making this device known to a central server."""

from __future__ import annotations

from fastapi import APIRouter

from edge_agent.api.auth import Has, Technician
from edge_agent.api.bodies.syncing import EnrolRequest
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.sync.enrolment import Enrolment

router = APIRouter(prefix="/sync", tags=["sync"], route_class=KeyedRoute)


@router.post("/enroll")
def enrol_device(who: Technician, has: Has, asked: EnrolRequest) -> Enrolment:
    """Exchanges a one-time code for this device's token; what waits to be sent is kept."""
    return has.sync.enrol(asked.server, asked.code, who.actor)
