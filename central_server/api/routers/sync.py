"""What devices and the server tell each other: hello, push, pull, digests and rows for repair."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from central_server.api.auth import DeviceId, Has
from central_server.api.exchange import Exchanged, departure_of
from central_server.devices import hello_reply
from central_server.errors import Refused
from central_server.store import changes, devices, digest, ingest
from sync_protocol.messages import (
    UUID_PATTERN,
    BucketReply,
    DigestReply,
    HelloRequest,
    RowsReply,
    WaitReply,
)
from sync_protocol.wire import read, read_push, write, write_push_reply, write_rows

router = APIRouter(prefix="/sync", tags=["sync"])

Space = Annotated[str, Query(pattern="^[a-z_]{1,63}$")]
Table = Annotated[str, Query(pattern="^[a-z_]{1,63}$")]
Cursor = Annotated[int, Query(ge=0, lt=2**53)]
Epoch = Annotated[str | None, Query(pattern=UUID_PATTERN)]
MaxBytes = Annotated[int, Query(ge=1)]
TimeoutS = Annotated[float, Query(ge=0, le=60)]
Bucket = Annotated[int, Path(ge=0, le=255)]
Ids = Annotated[str, Query(min_length=1, max_length=8000)]


@router.post("/hello")
def hello(exchange: Exchanged, device_id: DeviceId, has: Has) -> Response:
    """Who is there, what is known of it, and where the spaces are."""
    request = read(HelloRequest, exchange.document)
    if request.device_id != device_id:
        raise Refused("token-invalid", "The token is another device's.")
    with has.database.write() as tx:
        devices.note_version(tx, device_id, request.app_version)
        standing = devices.standing(tx, device_id, request.incarnation)
    return exchange.answer(write(hello_reply(request, standing)))


@router.post("/push")
def push(exchange: Exchanged, device_id: DeviceId, has: Has) -> Response:
    """A batch of operations: stored when this answers, with an outcome for each."""
    waited_ms = round(1000 * (has.clock.monotonic() - exchange.arrived_s))
    request = read_push(exchange.document)
    with has.database.batch() as tx:
        reply = ingest.push(tx, device_id, request)
    return exchange.answer(write_push_reply(reply.model_copy(update={"waited_ms": waited_ms})))


@router.get("/pull")
def pull(
    exchange: Exchanged,
    _device_id: DeviceId,
    has: Has,
    space: Space,
    cursor: Cursor,
    epoch: Epoch = None,
    max_bytes: MaxBytes = changes.MAX_BYTES,
) -> Response:
    """What changed after the cursor, oldest first."""
    limit = min(max_bytes, changes.MAX_BYTES)
    return exchange.answer_packed(has.pages.packed(space, cursor, epoch, limit, exchange.encoding))


@router.get("/wait")
async def wait(
    request: Request,
    exchange: Exchanged,
    _device_id: DeviceId,
    has: Has,
    space: Space,
    cursor: Cursor,
    timeout_s: TimeoutS = 25.0,
) -> Response:
    """Answers as soon as the space is past the cursor, else when the time is over."""
    changes.require_space(space)
    heads = await has.waiting.until(space, cursor, timeout_s, partial(departure_of, request))
    head = heads.by_space.get(space, 0)
    return exchange.answer(write(WaitReply(space=space, head=head, server_epoch=heads.server_epoch)))


@router.get("/digest")
def get_digest(exchange: Exchanged, device_id: DeviceId, has: Has, space: Space, table: Table) -> Response:
    """A table as 256 sums; of facts, the device's own."""
    with has.database.snapshot() as tx:
        head = changes.head_of(tx, space)
        buckets = digest.buckets(tx, space, table, device_id)
    reply = DigestReply(space=space, table=table, head=head, buckets=tuple(buckets))
    return exchange.answer(write(reply))


@router.get("/digest/{bucket}")
def get_bucket(
    exchange: Exchanged, device_id: DeviceId, has: Has, bucket: Bucket, space: Space, table: Table
) -> Response:
    """Id and checksum of every row of one bucket."""
    with has.database.snapshot() as tx:
        rows = digest.bucket_rows(tx, space, table, device_id, bucket)
    reply = BucketReply(space=space, table=table, bucket=bucket, rows=tuple(rows))
    return exchange.answer(write(reply))


@router.get("/rows")
def get_rows(
    exchange: Exchanged, _device_id: DeviceId, has: Has, space: Space, table: Table, ids: Ids
) -> Response:
    """The rows with these ids (separated by commas) as they are now."""
    with has.database.snapshot() as tx:
        found = changes.find_rows(tx, space, table, ids.split(","))
    reply = RowsReply.model_construct(space=space, table=table, changes=found)
    return exchange.answer(write_rows(reply))
