"""Work on the synchronisation that takes long: begun, watched and stopped; and its switches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from edge_agent.api.auth import Anyone, Has, Technician
from edge_agent.api.bodies.fields import MAX_INT, Id
from edge_agent.api.bodies.syncing import (
    ExportRequest,
    PauseReply,
    RepairRequest,
    ResyncRequest,
    VerifyRequest,
)
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.uploads import ACK_BODY, AnAck
from edge_agent.sync.jobs import LONGEST_WAIT_S, Job, JobKind
from edge_agent.sync.parcel_acks import Settled

router = APIRouter(prefix="/sync", tags=["sync"], route_class=KeyedRoute)


@router.post("/run", status_code=202)
def run_sync(_who: Technician, has: Has) -> Job:
    """Begins a whole pass now, whatever the lanes wait for."""
    return has.jobs.start(JobKind.RUN, has.bench.drain)


@router.post("/verify", status_code=202)
def verify_sync(body: VerifyRequest, _who: Technician, has: Has) -> Job:
    """Begins to compare what is here with what the server has; changes nothing."""
    return has.jobs.start(JobKind.VERIFY, has.bench.verify(deep=body.deep))


@router.post("/repair", status_code=202)
def repair_sync(body: RepairRequest, _who: Technician, has: Has) -> Job:
    """Begins to mend what differs: fetches anew, queues again, uploads again; or only says what it would do."""
    return has.jobs.start(JobKind.REPAIR, has.bench.repair(dry_run=body.dry_run))


@router.post("/resync", status_code=202)
def resync_tables(body: ResyncRequest, _who: Technician, has: Has) -> Job:
    """Begins again with some tables or all of them; safe at any moment, and nothing unsent is discarded."""
    return has.jobs.start(JobKind.RESYNC, has.bench.resync(body.tables))


@router.post("/export", status_code=202)
def export_queue(body: ExportRequest, who: Technician, has: Has) -> Job:
    """Begins to write the unsent queue with its photographs to a file, for a stick; the queue stays as it is."""
    return has.jobs.start(JobKind.EXPORT, has.bench.export(Path(body.file), who.plain_actor))


@router.post("/import-ack", openapi_extra=ACK_BODY)
def import_ack(who: Technician, has: Has, data: AnAck) -> Settled:
    """Settles what the server says it took in from a stick; only what it names, and only if it proves itself."""
    return has.bench.settle_ack(data, who.plain_actor)


@router.post("/pause")
def pause_sync(who: Technician, has: Has) -> PauseReply:
    """No pass begins until it is resumed; what is recorded meanwhile waits."""
    has.sync.pause(who.actor)
    return PauseReply(is_paused=True)


@router.post("/resume")
def resume_sync(who: Technician, has: Has) -> PauseReply:
    """Passes are made again, the first at once."""
    has.sync.resume(who.actor)
    return PauseReply(is_paused=False)


# ── watching ────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/jobs/{job_id}")
def get_job(
    job_id: Id,
    _who: Anyone,
    has: Has,
    after_revision: Annotated[int, Query(ge=0, le=MAX_INT)] = MAX_INT,
    wait_s: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 0.0,
) -> Job:
    """How far it is; with `wait_s`, as soon as it is past `after_revision`, or when that time is up."""
    return has.jobs.wait(job_id, after_revision, wait_s) if wait_s else has.jobs.get(job_id)


@router.post("/jobs/{job_id}/cancel")
def cancel_job(job_id: Id, _who: Technician, has: Has) -> Job:
    """Stops it at its next step; what it did so far is done."""
    return has.jobs.cancel(job_id)
