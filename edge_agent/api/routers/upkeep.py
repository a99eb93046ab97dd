"""Is this installation sound, and is there a copy of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from edge_agent.api.auth import Has, Senior, Technician
from edge_agent.api.bodies.figures import FindingList
from edge_agent.api.idempotency import KeyedRoute

router = APIRouter(tags=["upkeep"], route_class=KeyedRoute)


@router.post("/check")
def run_check(_who: Senior, has: Has) -> FindingList:
    """Looks at everything: database, files against their hashes, queue, audit chain, models, pipelines."""
    return FindingList(list(has.check()))


@router.post("/backup", status_code=201)
def make_backup(_who: Technician, has: Has) -> Any:
    """Writes a consistent, verified copy while work goes on."""
    return has.make_backup()
