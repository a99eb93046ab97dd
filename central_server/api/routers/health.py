"""For probes and Prometheus: no token, and nothing that only people who have one should know."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse

from central_server.api.auth import Has
from central_server.store.state import require_answer

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def get_live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@router.get("/health/ready")
def get_ready(has: Has) -> dict[str, str]:
    """The database answers too: devices can send what they have."""
    require_answer(has.database)
    return {"status": "ready"}


@router.get("/health/store")
async def get_store(has: Has) -> dict[str, str]:
    """The object store took a test object less than some two minutes ago: devices can send images."""
    if (trouble := has.store_watch.trouble) is not None:
        raise trouble
    return {"status": "ready"}


@router.get("/metrics")
async def get_metrics(request: Request, has: Has) -> PlainTextResponse:
    """Figures of this process, in Prometheus' text form."""
    places = request.app.state.places
    figures = {
        "central_requests_at_work": places.taken,
        "central_requests_at_work_max": places.largest,
        "central_requests_throttled_total": places.refused,
        "central_devices_waiting": len(has.waiting),
        "central_object_store_well": int(has.store_watch.trouble is None),
    }
    figures |= {
        f'central_answers_total{{status="{status}"}}': count for status, count in places.answers.items()
    }
    return PlainTextResponse("".join(f"{name} {value}\n" for name, value in figures.items()))
