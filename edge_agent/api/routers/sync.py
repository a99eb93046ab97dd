"""What waits to be sent to the central server."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from edge_agent.api.auth import Anyone, Has, Senior
from edge_agent.api.bodies.fields import MAX_INT, Limit
from edge_agent.api.bodies.figures import QueuePage, SyncStatus
from edge_agent.store import queue

router = APIRouter(prefix="/sync", tags=["sync"])


@router.get("/status")
def get_sync_status(_who: Anyone, has: Has) -> SyncStatus:
    """How much waits, by lane, and since when. This version has no server to send it to."""
    with has.database.snapshot() as reader:
        lanes = queue.lanes(reader)
    return SyncStatus(False, min((lane.oldest_at for lane in lanes), default=None), lanes)


@router.get("/queue")
def list_queue(
    _who: Senior, has: Has, after_id: Annotated[int, Query(ge=0, le=MAX_INT)] = 0, limit: Limit = 100
) -> QueuePage:
    """Unsent entries in the order in which they were made."""
    with has.database.read() as reader:
        found = queue.list_waiting(reader, after_id, limit)
    return QueuePage(found, found[-1].id if len(found) == limit else None)
