"""Queues that came on a stick instead of over the network: verified, taken in, and answered.

Rules of this file:
- A parcel becomes a private copy first, within bounds checked before anything is unpacked; its proof is checked
  before anything of it is parsed, and every member against the manifest before anything is stored.
- Its batches go the way of every other batch (`store.ingest`): what came by stick and comes again over the network is
  known by its operations, whichever comes first. Taken in twice, it gets the same answers.
- A batch is a transaction; an import that was cut off is simply begun again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from central_server.blobs import Blobs
from central_server.errors import Refused
from central_server.objects import Objects
from central_server.store import devices, ingest
from central_server.store.database import Database
from edge_agent.archive import FileFacts, Limits, Unpacked, unpack
from edge_agent.clock import Clock
from edge_agent.errors import BadInput
from sync_protocol import parcels, wire
from sync_protocol.checksums import ChecksumMismatch
from sync_protocol.messages import Blob, HaveRequest, Malformed, PushReply, VerifyRequest
from sync_protocol.parcels import Acknowledgement, Manifest

LIMITS = Limits(
    packed_bytes=1 << 32,
    unpacked_bytes=1 << 32,
    files=parcels.PART_FILES,
    directory_bytes=16 << 20,
    ratio=1,  # a parcel's members are stored, not compressed
)
PHOTOGRAPHS_AT_ONCE = 200
Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, of how much."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of a parcel. `waiting` operations need something that has not arrived; `ack` is the file that
    tells the device."""

    manifest: Manifest
    applied: int
    known: int
    waiting: int
    rejected: int
    photographs: int
    ack: bytes


def take_in(
    database: Database, objects: Objects, clock: Clock, file: Path, work: Path, progress: Progress
) -> TakenIn:
    """Stores what the parcel `file` holds and is not here yet; `work` is a directory with room for a copy of it.

    Raises NotFound, BadInput (`parcel-invalid`), BadDefinition (no zip, or beyond the limits), Refused (the device is
    unknown or revoked, or two disks claim to be it), Unavailable.
    """
    with tempfile.TemporaryDirectory(prefix="parcel-", dir=work) as place:
        copy = unpack(file, Path(place) / "parcel", progress, LIMITS)
        if copy.problems:
            raise invalid(file, str(copy.problems[0]))
        manifest, token_sha256 = read_manifest(database, file, copy)
        replies = list(_pushed(database, manifest, copy.folder, progress))
        verified = _stored(database, objects, manifest, copy.folder, progress)
    ack = Acknowledgement(
        parcel_id=manifest.id,
        part=manifest.part,
        device_id=manifest.device_id,
        incarnation=manifest.incarnation,
        server_epoch=replies[-1].server_epoch if replies else _epoch(database, manifest),
        made_at=clock.now(),
        replies=tuple(replies),
        blobs=tuple(verified),
    )
    key = parcels.key_of(token_sha256, "parcel-ack/1")
    return _summary(manifest, replies, len(verified), parcels.write_ack(ack, key))


def read_manifest(database: Database, file: Path, copy: Unpacked) -> tuple[Manifest, str]:
    """The manifest that every member agrees with, and the sha256 of the token that proves it."""
    try:
        signature = parcels.read_signature(_member(copy, parcels.SIGNATURE, parcels.MAX_SIGNATURE_BYTES))
        document = _member(copy, parcels.MANIFEST, parcels.MAX_MANIFEST_BYTES)
        with database.snapshot() as tx:
            token_sha256 = devices.token_of(tx, signature.device_id)
        if token_sha256 is None:
            raise Refused(
                "device-unknown",
                f"Device {signature.device_id} is not enrolled here, or its access was withdrawn.",
                hint="Enrol it (again), let it write a new parcel, and import that one.",
            )
        key = parcels.key_of(token_sha256, "parcel/1")
        manifest = parcels.read_manifest(document, signature.proof, key)
        if manifest.device_id != signature.device_id:
            raise Malformed("signed for one device, made by another")
        _require_members(manifest, copy.files)
    except (parcels.NotAuthentic, Malformed) as error:
        raise invalid(file, str(error)) from None
    return manifest, token_sha256


def _member(copy: Unpacked, name: str, max_bytes: int) -> bytes:
    facts = copy.files.get(name)
    if facts is None or facts.size_bytes > max_bytes:
        raise Malformed(f"it has no {name}, or one that is too long")
    return (copy.folder / name).read_bytes()


def _require_members(manifest: Manifest, files: dict[str, FileFacts]) -> None:
    """Exactly what the manifest says. Raises Malformed."""
    said = {f"batches/{one.name}": FileFacts(one.sha256, one.size) for one in manifest.batches}
    said |= {f"blobs/{one.sha256}": FileFacts(one.sha256, one.size) for one in manifest.blobs}
    found = {
        name: facts for name, facts in files.items() if name not in (parcels.MANIFEST, parcels.SIGNATURE)
    }
    if wrong := sorted(name for name in said.keys() | found.keys() if said.get(name) != found.get(name)):
        raise Malformed(f"{len(wrong)} members are not what the manifest says; the first: {wrong[0]}")


def _pushed(database: Database, manifest: Manifest, folder: Path, progress: Progress) -> Iterator[PushReply]:
    for done, batch in enumerate(manifest.batches):
        progress("rows", done, len(manifest.batches))
        body = (folder / "batches" / batch.name).read_bytes()
        try:
            request = wire.read_push(wire.unpack(body))
        except (ChecksumMismatch, Malformed, wire.TooLarge) as error:
            raise invalid(folder, f"batch {batch.name}: {error}") from None
        with database.write() as tx:
            reply = ingest.push(tx, manifest.device_id, request)
        yield reply


def _stored(
    database: Database, objects: Objects, manifest: Manifest, folder: Path, progress: Progress
) -> list[str]:
    """Those photographs that the object store now is known to hold."""
    blobs, verified = Blobs(database, objects), list[str]()
    wanted = [Blob(sha256=one.sha256, size=one.size) for one in manifest.blobs]
    for start in range(0, len(wanted), PHOTOGRAPHS_AT_ONCE):
        progress("photographs", start, len(wanted))
        verified += _stored_some(
            blobs, objects, manifest.device_id, wanted[start : start + PHOTOGRAPHS_AT_ONCE], folder
        )
    return verified


def _stored_some(
    blobs: Blobs, objects: Objects, device_id: str, some: Sequence[Blob], folder: Path
) -> list[str]:
    missing = set(blobs.have(device_id, HaveRequest(blobs=tuple(some))).missing)
    for blob in some:
        if blob.sha256 in missing:
            objects.put_file(folder / "blobs" / blob.sha256, blob.sha256)
    return list(blobs.verify(device_id, VerifyRequest(blobs=tuple(some))).verified)


def _epoch(database: Database, manifest: Manifest) -> str:
    with database.snapshot() as tx:
        return devices.standing(tx, manifest.device_id, manifest.incarnation).server_epoch


def _summary(manifest: Manifest, replies: Sequence[PushReply], photographs: int, ack: bytes) -> TakenIn:
    outcomes = [result.outcome for reply in replies for result in reply.results]
    return TakenIn(
        manifest=manifest,
        applied=outcomes.count("applied"),
        known=outcomes.count("duplicate") + outcomes.count("superseded"),
        waiting=outcomes.count("deferred"),
        rejected=outcomes.count("rejected"),
        photographs=photographs,
        ack=ack,
    )


def invalid(file: Path, why: str) -> BadInput:
    return BadInput(
        f"{file.name} is no parcel that this server can take: {why}.",
        code="parcel-invalid",
        hint="Let the device write it again (`edge-agent sync export`); taking the same in twice does no harm.",
    )
