"""A device's unsent queue as one file, for a stick where there is no network, and what the server answers to it.

Rules of this file:
- Pure. A parcel is a zip (stored, no zip64): `batches/NNNNN` are push bodies exactly as on the wire, `blobs/SHA256`
  the photographs, `manifest.json` names every member with size and sha256, `signature.json` proves the manifest.
- Both ways are authenticated with what only the device and its server have, the sha256 of the device's token; a key
  for one direction is of no use in the other. Nothing is parsed before its proof is verified.
- A parcel is complete by itself: of a queue that is larger, several are made, each at most PART_BYTES, because sticks
  are often FAT32, whose files end at 4 GiB.
- The operations are the very ones that the device would send; that they came by stick changes nothing about them.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from sync_protocol.checksums import ChecksumMismatch
from sync_protocol.messages import AnyMessage, Id, Malformed, Message, PushReply, Sha256
from sync_protocol.wire import TooLarge, pack, unpack

PART_BYTES = 3_900_000_000
PART_FILES = 50_000
MAX_MANIFEST_BYTES = 32 << 20
MAX_SIGNATURE_BYTES = 1000
MAX_ACK_BYTES = 64 << 20
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
Purpose = Literal["parcel/1", "parcel-ack/1"]
_PROOF_LENGTH = 64
_Size = Annotated[int, Field(ge=0, lt=2**40)]


class NotAuthentic(ValueError):
    """The proof is not one that the device, or its server, could have made."""


class Batch(Message):
    """The member `batches/NAME`."""

    name: Annotated[str, Field(pattern="^[0-9]{5}$")]
    size: _Size
    sha256: Sha256
    rows: Annotated[int, Field(ge=1)]


class Photograph(Message):
    """The member `blobs/SHA256`."""

    sha256: Sha256
    size: _Size


class Manifest(Message):
    """`part` counts from 1; `id` is one for all parts. `batches` in the order in which they were made."""

    schema_: Annotated[Literal["parcel/1"], Field(alias="schema")] = "parcel/1"
    id: Id
    device_id: Id
    incarnation: Id
    server_epoch: Id
    made_at: str
    part: Annotated[int, Field(ge=1)]
    is_last: bool
    batches: tuple[Batch, ...]
    blobs: tuple[Photograph, ...]


class Signature(Message):
    device_id: Id
    proof: Sha256


class Acknowledgement(Message):
    """What became of one part: a reply for every batch, with a result for every operation; `blobs` are those
    the object store is now known to hold."""

    schema_: Annotated[Literal["parcel-ack/1"], Field(alias="schema")] = "parcel-ack/1"
    parcel_id: Id
    part: Annotated[int, Field(ge=1)]
    device_id: Id
    incarnation: Id
    server_epoch: Id
    made_at: str
    replies: tuple[PushReply, ...]
    blobs: tuple[Sha256, ...]


def key_of(token_sha256: str, purpose: Purpose) -> bytes:
    """The key of one direction, from the hex sha256 of the device's token."""
    return hmac.digest(bytes.fromhex(token_sha256), purpose.encode(), "sha256")


def token_sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def proof_of(document: bytes, key: bytes) -> str:
    """HMAC-SHA256, lower-case hex."""
    return hmac.digest(key, document, "sha256").hex()


def write_manifest(manifest: Manifest) -> bytes:
    return manifest.model_dump_json(by_alias=True).encode()


def read_manifest(document: bytes, proof: str, key: bytes) -> Manifest:
    """Raises NotAuthentic, Malformed."""
    if not hmac.compare_digest(proof_of(document, key), proof):
        raise NotAuthentic("the manifest's proof is not the device's")
    return _parsed(Manifest, document)


def read_signature(document: bytes) -> Signature:
    """Raises Malformed."""
    return _parsed(Signature, document)


def write_ack(ack: Acknowledgement, key: bytes) -> bytes:
    """The file's bytes: the proof, then the packed document."""
    body = pack(ack.model_dump_json(by_alias=True).encode())
    return proof_of(body, key).encode() + body


def read_ack(data: bytes, key: bytes) -> Acknowledgement:
    """Inverse of `write_ack`. Raises NotAuthentic, Malformed."""
    proof, body = data[:_PROOF_LENGTH], data[_PROOF_LENGTH:]
    if not hmac.compare_digest(proof_of(body, key).encode(), proof):
        raise NotAuthentic("the proof is not the server's, or the file is for another device")
    try:
        return _parsed(Acknowledgement, unpack(body, max_bytes=MAX_ACK_BYTES))
    except (ChecksumMismatch, TooLarge) as error:
        raise Malformed(str(error)) from None


def _parsed(kind: type[AnyMessage], document: bytes) -> AnyMessage:
    try:
        return kind.model_validate_json(document)
    except ValidationError as error:
        raise Malformed(f"{error.error_count()} faults; the first: {error.errors()[0]['msg']}") from None
