"""Image bytes and what masters name: which are missing, tickets to the object store, proof of arrival.

Rules of this file:
- No bytes of a blob pass through here.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from central_server.api.auth import DeviceId, Has
from central_server.api.exchange import Exchanged
from sync_protocol.messages import CompleteRequest, HaveRequest, UploadRequest, VerifyRequest
from sync_protocol.wire import read, write

router = APIRouter(prefix="/blobs", tags=["blobs"])

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


@router.post("/have")
def have(exchange: Exchanged, device_id: DeviceId, has: Has) -> Response:
    """Which of these blobs are missing, and if asked for, tickets to send the small ones at once."""
    request = read(HaveRequest, exchange.document)
    return exchange.answer(write(has.blobs.have(device_id, request)))


@router.post("/verify")
def verify(exchange: Exchanged, device_id: DeviceId, has: Has) -> Response:
    """Which of these blobs have arrived whole."""
    request = read(VerifyRequest, exchange.document)
    return exchange.answer(write(has.blobs.verify(device_id, request)))


@router.post("/{sha256}/upload")
def get_upload_ticket(sha256: Sha256, exchange: Exchanged, _device_id: DeviceId, has: Has) -> Response:
    """How to send one blob, from where an earlier attempt was cut off."""
    request = read(UploadRequest, exchange.document)
    return exchange.answer(write(has.blobs.upload(sha256, request)))


@router.post("/{sha256}/complete")
def complete(sha256: Sha256, exchange: Exchanged, device_id: DeviceId, has: Has) -> Response:
    """Puts the parts together and verifies the whole."""
    request = read(CompleteRequest, exchange.document)
    return exchange.answer(write(has.blobs.complete(device_id, sha256, request)))


@router.post("/{sha256}/download")
def get_download_ticket(sha256: Sha256, exchange: Exchanged, device_id: DeviceId, has: Has) -> Response:
    """Where to fetch one blob: the device's own, or one that masters name."""
    return exchange.answer(write(has.blobs.download(device_id, sha256)))
