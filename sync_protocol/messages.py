"""What the two ends say to each other.

Rules of this file:
- Immutable; a field is called what the column is called. Unknown members are ignored, so that a newer peer may say
  more; what an older one must not misread needs a new protocol version.
- What there is one of per row is a NamedTuple: made by the tens of thousands, at a tenth of a model's price. It is
  checked where it becomes part of a message, and by `wire.py` when it comes from the other end.
- `data` is the row's canonical JSON as text: the very bytes its sha256 is of.
- Instants are RFC 3339 with milliseconds and Z, sha256 lower-case hex, ids lower-case UUIDs.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

MAX_OPS = 1000
UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Id = Annotated[str, Field(pattern=UUID_PATTERN)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Seq = Annotated[int, Field(ge=0, lt=2**53)]
DeviceType = Literal["mobile", "desktop", "tablet"]
Operation = Literal["INSERT", "UPDATE", "DELETE"]
Outcome = Literal["applied", "duplicate", "superseded", "deferred", "rejected"]


class Malformed(ValueError):
    """Undamaged, but not a message of this protocol."""


class Message(BaseModel):
    model_config = ConfigDict(frozen=True)


AnyMessage = TypeVar("AnyMessage", bound=Message)


# ── enrolment ───────────────────────────────────────────────────────────────────────────────────────────


class EnrollRequest(Message):
    code: str
    device_id: Id
    device_type: DeviceType
    app_version: Name


class EnrollReply(Message):
    """`token` replaces the one the device had before, if any."""

    token: str
    site: str
    server_epoch: Id


# ── hello ───────────────────────────────────────────────────────────────────────────────────────────────


class HelloRequest(Message):
    """`last_seq` and `last_ack` are what the device knows to be acknowledged; `cursors` by space."""

    device_id: Id
    incarnation: Id
    app_version: Name
    protocol_versions: tuple[int, ...]
    schema_version: int
    queue_head: Seq
    last_seq: Seq
    last_ack: Seq
    cursors: dict[str, Seq]


class HelloReply(Message):
    """`device_last_ack` below the device's: the server was restored, push again what came after it."""

    protocol_version: int
    schema_version: int
    server_epoch: Id
    server_time: str
    device_last_seq: Seq
    device_last_ack: Seq
    heads: dict[str, Seq]


# ── push ────────────────────────────────────────────────────────────────────────────────────────────────


class PushOp(NamedTuple):
    seq: Seq
    op_id: Id
    tx_id: Id
    entity_type: Name
    entity_id: Id
    operation: Operation
    data: str
    sha256: Sha256
    base_version: Seq | None = None
    blob_refs: tuple[Sha256, ...] = ()


class PushRequest(Message):
    """`clock_offset_ms`: server time minus device time, as the device last measured it."""

    batch_id: Id
    incarnation: Id
    clock_offset_ms: int = Field(default=0, gt=-(2**53), lt=2**53)
    ops: Annotated[tuple[PushOp, ...], Field(min_length=1, max_length=MAX_OPS)]


class OpResult(NamedTuple):
    """`code` and `detail` say why it was deferred or rejected; the code is one of `codes.CODES`. The detail of one
    that was superseded is what stands instead, as JSON, as far as the server still knows."""

    op_id: Id
    outcome: Outcome
    code: str = ""
    detail: str = ""


class PushReply(Message):
    """`ack` counts the acknowledged batches of the incarnation: kept with each entry of this batch. `waited_ms`: how
    long the batch stood behind others before the server began with it."""

    batch_id: Id
    ack: Seq
    server_epoch: Id
    server_time: str
    results: tuple[OpResult, ...]
    waited_ms: Seq = 0


# ── pull ────────────────────────────────────────────────────────────────────────────────────────────────


class Change(NamedTuple):
    """One row at its newest version; a tombstone has no data and no sha256."""

    table: Name
    id: str
    operation: Literal["put", "tombstone"]
    version: Seq
    data: str = ""
    sha256: str = ""


class Page(Message):
    """Apply `changes` in order and set the cursor to `to_cursor`."""

    space: Name
    server_epoch: Id
    from_cursor: Seq
    to_cursor: Seq
    has_more: bool
    changes: tuple[Change, ...]


class WaitReply(Message):
    """`head` above the cursor asked with: there is something to pull."""

    space: Name
    head: Seq
    server_epoch: Id


# ── digest ──────────────────────────────────────────────────────────────────────────────────────────────


class BucketSum(Message):
    """`hash_sum` is decimal text: JSON numbers end at 2^53."""

    bucket: Annotated[int, Field(ge=0, le=255)]
    count: Seq
    hash_sum: Annotated[str, Field(pattern="^[0-9]{1,20}$")]


class DigestReply(Message):
    space: Name
    table: Name
    head: Seq
    buckets: tuple[BucketSum, ...]


class RowSum(Message):
    id: str
    sha256: Sha256


class BucketReply(Message):
    space: Name
    table: Name
    bucket: Annotated[int, Field(ge=0, le=255)]
    rows: tuple[RowSum, ...]


class RowsReply(Message):
    """Rows asked for by id, for repair; those that are not there are left out."""

    space: Name
    table: Name
    changes: tuple[Change, ...]


# ── blobs ───────────────────────────────────────────────────────────────────────────────────────────────


class Blob(Message):
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class HaveRequest(Message):
    """`wants_tickets`: a ticket for each missing blob that one PUT can carry, to save asking for it."""

    blobs: Annotated[tuple[Blob, ...], Field(min_length=1, max_length=MAX_OPS)]
    wants_tickets: bool = False


class UploadPart(Message):
    """Send exactly `size` bytes with `headers` as given: the store checks the bytes by them."""

    number: Annotated[int, Field(ge=1, le=10_000)]
    url: str
    offset: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=0)]
    headers: dict[str, str]


class UploadTicket(Message):
    """Without `upload_id` one part, a plain PUT; with it the parts that the store does not hold yet."""

    sha256: Sha256
    upload_id: str | None
    parts: tuple[UploadPart, ...]
    expires_at: str


class HaveReply(Message):
    """What is not `missing` is verified. `tickets` are for some of what is missing, or for none of it."""

    missing: tuple[Sha256, ...]
    tickets: tuple[UploadTicket, ...] = ()


class UploadRequest(Message):
    """`upload_id`: the multipart upload to go on with; the ticket names another if that one is gone."""

    size: Annotated[int, Field(ge=0)]
    upload_id: str | None = None


class CompleteRequest(Message):
    size: Annotated[int, Field(ge=0)]
    upload_id: str | None = None


class CompleteReply(Message):
    """`is_verified` only when the hash that the store or the server computed is the blob's name."""

    sha256: Sha256
    is_verified: bool


class VerifyRequest(Message):
    """Many blobs at once, each of which was sent with a plain PUT."""

    blobs: Annotated[tuple[Blob, ...], Field(min_length=1, max_length=MAX_OPS)]


class VerifyReply(Message):
    """`verified` as in CompleteReply; `differing` had other bytes and are gone; the rest never arrived."""

    verified: tuple[Sha256, ...]
    differing: tuple[Sha256, ...] = ()


class DownloadTicket(Message):
    """`url` answers a plain GET until `expires_at`."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]
    url: str
    expires_at: str


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────


class ProblemDetails(Message):
    """RFC 9457 with what the hearer needs: `code` decides (see codes.py), never the HTTP status alone."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    scope: Literal["op", "batch", "device", "server"]
    retry_after: float | None = None
