"""The synchronisation with the central server: how it stands, what waits, what was refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from edge_agent.api.auth import Anyone, Has, Language, Senior, Technician
from edge_agent.api.bodies.fields import MAX_INT, Cursor, Id, Limit
from edge_agent.api.bodies.syncing import (
    ConflictPage,
    DeadLetter,
    DeadPage,
    QueuePage,
    RetryReply,
    RetryRequest,
)
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.views import read_cursor, write_cursor
from edge_agent.errors import NotFound
from edge_agent.store import audit, conflicts, dead, queue, uploads
from edge_agent.store.conflicts import Conflict
from edge_agent.sync import dead_letters
from edge_agent.sync.status import SyncStatus, meaning_of, read_status

router = APIRouter(prefix="/sync", tags=["sync"], route_class=KeyedRoute)
EntryId = Annotated[int, Path(ge=1, le=MAX_INT)]
AfterId = Annotated[int, Query(ge=0, le=MAX_INT)]
Code = Annotated[str | None, Query(pattern="^[a-z0-9-]{1,64}$", description="Only those with this reason.")]


@router.get("/status")
def get_sync_status(_who: Anyone, has: Has, language: Language) -> SyncStatus:
    """How much waits and since when, what was refused, how each lane does; answers without a network too."""
    with has.database.snapshot() as reader:
        status = read_status(reader, has.clock.time(), language=language)
    rows = sum(lane.waiting for lane in status.lanes)
    return replace(status, pace=has.bench.meter.pace(rows, status.images.bytes))


@router.get("/queue")
def list_queue(
    _who: Senior,
    has: Has,
    after_id: AfterId = 0,
    limit: Limit = 100,
    priority: Annotated[int | None, Query(ge=-MAX_INT, le=MAX_INT)] = None,
    entity_type: Annotated[str | None, Query(pattern="^[a-z_]{1,64}$")] = None,
) -> QueuePage:
    """Unsent entries in the order in which they were made."""
    with has.database.read() as reader:
        found = queue.list_waiting(reader, after_id, limit, priority=priority, entity_type=entity_type)
    return QueuePage(found, found[-1].id if len(found) == limit else None)


# ── dead letters ────────────────────────────────────────────────────────────────────────────────────────


@router.get("/dead")
def list_dead_letters(
    _who: Senior,
    has: Has,
    language: Language,
    after_id: AfterId = 0,
    code: Code = None,
    limit: Limit = 100,
) -> DeadPage:
    """Changes the server refused for good, in the order in which they were made, and photographs given up."""
    with has.database.snapshot() as reader:
        found = dead.list_dead(reader, after_id, limit, code=code)
        images = [] if after_id else uploads.list_dead(reader, limit, code=code)
    codes = {*(one.error_code for one in found), *(one.error_code for one in images)}
    reasons = {code: meaning_of("permanent", code, language) for code in codes if code}
    return DeadPage(found, images, reasons, found[-1].id if len(found) == limit else None)


@router.get(
    "/dead/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
def export_dead_letters(_who: Technician, has: Has) -> StreamingResponse:
    """All of them with their data and what they hold up, as one document to send to whoever can say why."""
    headers = {"Content-Disposition": 'attachment; filename="dead-letters.json"', "Cache-Control": "no-store"}
    return StreamingResponse(
        dead_letters.export(has.database), media_type="application/json", headers=headers
    )


@router.get("/dead/{entry_id}")
def get_dead_letter(entry_id: EntryId, _who: Senior, has: Has) -> DeadLetter:
    """One of them: the row, why it was refused, what waits because of it."""
    with has.database.snapshot() as reader:
        entry = dead.find_dead(reader, entry_id)
        if entry is None:
            raise dead_letters.unknown(entry_id)
        return DeadLetter(entry, dead.list_held(reader, entry_id, dead_letters.HELD_SHOWN))


@router.post("/dead/{entry_id}/retry")
def retry_dead_letter(entry_id: EntryId, who: Technician, has: Has) -> RetryReply:
    """Queues it again, as if it had never been tried."""
    dead_letters.retry_one(has.database, entry_id, who.actor)
    return RetryReply(1)


@router.post("/dead/retry")
def retry_dead_letters(body: RetryRequest, who: Technician, has: Has) -> RetryReply:
    """Queues all of them again, or those with one reason, photographs too."""
    return RetryReply(dead_letters.retry_many(has.database, who.plain_actor, code=body.code))


# ── conflicts ───────────────────────────────────────────────────────────────────────────────────────────


@router.get("/conflicts")
def list_conflicts(_who: Senior, has: Has, cursor: Cursor = None, limit: Limit = 100) -> ConflictPage:
    """Changes that met another, with both sides, until a person has seen them; oldest first."""
    after = read_cursor(cursor, 2)
    with has.database.read() as reader:
        found = conflicts.list_open(reader, (after[0], after[1]) if after else None, limit)
    last = write_cursor(found[-1].created_at, found[-1].id) if len(found) == limit else None
    return ConflictPage(found, last)


@router.post("/conflicts/{conflict_id}/resolve")
def resolve_conflict(conflict_id: Id, who: Senior, has: Has) -> Conflict:
    """Says that a person has seen it; what is effective stays effective."""
    with has.database.write(who.actor) as tx:
        if conflicts.resolve(tx, conflict_id, has.clock.now(), who.user.id if who.user else None):
            audit.append(tx, "conflict.resolve", "conflict_log", conflict_id)
        found = conflicts.find(tx, conflict_id)
    if found is None:
        raise NotFound(f"There is no conflict {conflict_id}.", code="unknown-conflict")
    return found
