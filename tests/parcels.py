"""Parcels made by hand, so that anything about them can be wrong."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_agent.clock import Clock
from sync_protocol import parcels, wire
from sync_protocol.messages import PushOp, PushRequest
from sync_protocol.parcels import Batch, Manifest, Photograph, Signature

CLOCK = Clock()


def packed(ops: Sequence[PushOp], incarnation: str) -> bytes:
    request = PushRequest.model_construct(
        batch_id=CLOCK.new_id(), incarnation=incarnation, clock_offset_ms=0, ops=tuple(ops)
    )
    return wire.pack(wire.write_push(request))


def make_parcel(
    path: Path,
    device_id: str,
    token_sha256: str,
    incarnation: str,
    bodies: Sequence[bytes],
    photographs: Sequence[bytes] = (),
    /,
    *,
    members: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
    **changed: Any,
) -> Path:
    """A parcel of these push bodies and photographs; `members` replace what is written, `changed` the manifest's
    facts before it is signed."""
    named = {f"{number:05}": body for number, body in enumerate(bodies, 1)}
    blobs = {hashlib.sha256(data).hexdigest(): data for data in photographs}
    facts: dict[str, Any] = {
        "id": CLOCK.new_id(),
        "device_id": device_id,
        "incarnation": incarnation,
        "server_epoch": CLOCK.new_id(),
        "made_at": CLOCK.now(),
        "part": 1,
        "is_last": True,
        "batches": tuple(
            Batch(name=name, size=len(body), sha256=hashlib.sha256(body).hexdigest(), rows=1)
            for name, body in named.items()
        ),
        "blobs": tuple(Photograph(sha256=name, size=len(data)) for name, data in blobs.items()),
    }
    document = parcels.write_manifest(Manifest(**{**facts, **changed}))
    proof = parcels.proof_of(document, parcels.key_of(token_sha256, "parcel/1"))
    content = {
        **{f"batches/{name}": body for name, body in named.items()},
        **{f"blobs/{name}": data for name, data in blobs.items()},
        parcels.MANIFEST: document,
        parcels.SIGNATURE: Signature(device_id=device_id, proof=proof).model_dump_json().encode(),
        **(members or {}),
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path
