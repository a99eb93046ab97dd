"""What happens in the agent, live."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from edge_agent.api.auth import Anyone, Has
from edge_agent.api.streams import Streams
from edge_agent.api.views import is_blinded

router = APIRouter(tags=["events"])


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow_events(
    who: Anyone,
    has: Has,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> StreamingResponse:
    """Server-sent events: session, image, verdict, folder, health, masters; `reset` = read everything afresh.

    Send the last id seen as Last-Event-ID to get what was missed.
    """
    streams: Streams = request.app.state.streams
    blinded = is_blinded(who.role, blind_mode=has.config.blind_mode)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        streams.follow(last_event_id, is_blind=blinded), media_type="text/event-stream", headers=headers
    )
