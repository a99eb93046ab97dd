"""Enrolment: the only request without a token."""

from __future__ import annotations

from fastapi import APIRouter, Response

from central_server import devices
from central_server.api.auth import Has
from central_server.api.exchange import Exchanged
from sync_protocol.messages import EnrollRequest
from sync_protocol.wire import read, write

router = APIRouter(prefix="/devices", tags=["devices"])


@router.post("/enroll")
def enroll(exchange: Exchanged, has: Has) -> Response:
    """A one-time code becomes a device's token."""
    request = read(EnrollRequest, exchange.document)
    return exchange.answer(write(devices.enrol(has.database, has.clock, request)))
