"""What a code means: as text from a scanner, or read out of a picture."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter

from edge_agent.api.auth import Anyone, Has
from edge_agent.api.bodies.inspections import PictureScanReply, ReadCode, ScanReply, ScanRequest
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.services import Services
from edge_agent.api.uploads import PICTURE_BODY, APicture, kept_file
from edge_agent.api.views import scan_reply
from edge_agent.errors import BadInput
from edge_agent.images import probe

router = APIRouter(prefix="/scans", tags=["scans"], route_class=KeyedRoute)
READ_S = 20.0


@router.post("")
def scan(body: ScanRequest, _who: Anyone, has: Has) -> ScanReply:
    """The product, its items, and the session to resume; changes nothing."""
    return scan_reply(has.sessions.scan(body.text))


@router.post("/picture", openapi_extra=PICTURE_BODY)
def scan_picture(_who: Anyone, picture: APicture, has: Has) -> PictureScanReply:
    """Every code in a picture, and what the first known one means."""
    probe(
        picture.data,
        picture.name,
        max_bytes=has.config.max_image_bytes,
        max_pixels=has.config.max_image_pixels,
    )
    with kept_file(has.config.data_dir, picture.data) as path:
        found = has.pool.request("read-codes", READ_S, path=str(path)).result(READ_S)["codes"]
    codes = [ReadCode(**code) for code in found]
    answers = (answer for code in codes if (answer := _answer(has, code.text)) is not None)
    return PictureScanReply(codes, next(answers, None))


def _answer(has: Services, text: str) -> ScanReply | None:
    with suppress(BadInput):
        return scan_reply(has.sessions.scan(text))
    return None
