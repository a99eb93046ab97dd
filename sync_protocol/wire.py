"""Messages as the bytes that travel: sealed, compressed, and rows without what the other end can work out itself.

Rules of this file:
- Pure. `write*` makes a JSON document of a message and `read*` the message of a document; `pack` seals and
  compresses a document into a body, `unpack` undoes it. Nothing is parsed before its seal is verified.
- Rows travel as columns: a batch has one checksum over all its rows' checksums instead of 32 random bytes a row,
  and an id or a blob reference that stands in the row is not said twice. `read*` works them out again, so that in
  memory both ends have the whole message; rows that are not those written raise ChecksumMismatch.
- Whatever the other end sends, `read*` and `unpack` raise only ChecksumMismatch, Malformed or TooLarge, and take
  no more memory than `max_bytes` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, groupby, repeat
from typing import Annotated, Any, Literal

import orjson
import zstandard
from pydantic import Field, ValidationError

from sync_protocol.canonical import sha256_hex
from sync_protocol.checksums import ChecksumMismatch, seal, unseal
from sync_protocol.columns import (
    IDS,
    SEQS,
    differences,
    id_in,
    looked_up,
    malformed,
    numbered,
    parsed,
    refs_in,
    require_lengths,
    require_positions,
    require_rows,
    row_ids,
    sha256_of_rows,
    valid,
)
from sync_protocol.messages import (
    MAX_OPS,
    AnyMessage,
    Change,
    Id,
    Malformed,
    Message,
    Name,
    Operation,
    OpResult,
    Outcome,
    Page,
    PushOp,
    PushReply,
    PushRequest,
    RowsReply,
    Seq,
    Sha256,
)

ENCODING = "zstd"
MEDIA_TYPE = "application/json"
MAX_BODY_BYTES = 4 << 20
MAX_DOCUMENT_BYTES = 32 << 20
LEVEL = 1  # measured on a day of inspections: higher ones cost three times as much and save 4 %

Position = Annotated[int, Field(ge=0)]


class TooLarge(ValueError):
    """More bytes than the receiver is ready to hold."""


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────────────


def pack(document: bytes, encoding: str = ENCODING) -> bytes:
    """The body to send with this Content-Encoding ("" and "identity": none)."""
    return zstandard.compress(seal(document), LEVEL) if encoding == ENCODING else seal(document)


def unpack(body: bytes, encoding: str = ENCODING, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The document in a body; `encoding` is its Content-Encoding ("" and "identity": none)."""
    if encoding in ("", "identity"):
        sealed = body
    elif encoding == ENCODING:
        sealed = _decompressed(body, max_bytes)
    else:
        raise Malformed(f"the content encoding {encoding[:40]!r} is not known")
    if len(sealed) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes")
    return unseal(sealed)


def _decompressed(body: bytes, max_bytes: int) -> bytes:
    try:
        said = zstandard.frame_content_size(body)  # -1: not said
        reader = zstandard.ZstdDecompressor().stream_reader(body)
        return reader.read(max_bytes + 1 if said < 0 else min(said, max_bytes) + 1)
    except zstandard.ZstdError as error:
        raise ChecksumMismatch(f"{len(body)} bytes cannot be decompressed: {error}") from None


def write(message: Message) -> bytes:
    """Any message that has no form of its own below."""
    return message.model_dump_json().encode()


def read(kind: type[AnyMessage], document: bytes) -> AnyMessage:
    """Inverse of `write`."""
    try:
        return kind.model_validate_json(document)
    except ValidationError as error:
        raise malformed(error) from None


# ── push ────────────────────────────────────────────────────────────────────────────────────────────────


class _PushColumns(Message):
    """`seq` holds differences; `kind` and the keys of mappings are positions; `tx` are runs of one tx_id."""

    batch_id: Id
    incarnation: Id
    clock_offset_ms: Annotated[int, Field(gt=-(2**53), lt=2**53)]
    rows_sha256: Sha256
    kinds: list[tuple[Name, Operation]]
    kind: list[Position]
    seq: list[int]
    op_id: list[Id]
    tx: list[tuple[Id, Annotated[int, Field(gt=0, le=MAX_OPS)]]]
    base_version: dict[int, Seq]
    blob_refs: dict[int, tuple[Sha256, ...]]
    entity_id: dict[int, Id]
    data: Annotated[list[str], Field(min_length=1, max_length=MAX_OPS)]


def write_push(request: PushRequest) -> bytes:
    """A batch whose rows' checksums the sender has verified."""
    seqs, op_ids, tx_ids, tables, ids, operations, rows, checksums, versions, refs = zip(
        *request.ops, strict=True
    )
    kind = list(zip(tables, operations, strict=True))
    kinds = numbered(kind)
    return orjson.dumps(
        {
            "batch_id": request.batch_id,
            "incarnation": request.incarnation,
            "clock_offset_ms": request.clock_offset_ms,
            "rows_sha256": sha256_of_rows(checksums),
            "kinds": list(kinds),
            "kind": [kinds[one] for one in kind],
            "seq": differences(seqs),
            "op_id": op_ids,
            "tx": [(tx_id, len(list(run))) for tx_id, run in groupby(tx_ids)],
            "base_version": {str(at): version for at, version in enumerate(versions) if version is not None},
            "blob_refs": _unsaid(refs, map(refs_in, rows)),
            "entity_id": _unsaid(ids, map(id_in, rows)),
            "data": rows,
        }
    )


def _unsaid(values: Iterable[object], in_rows: Iterable[object]) -> dict[str, object]:
    """By position what does not stand in its row."""
    pairs = enumerate(zip(values, in_rows, strict=True))
    return {str(at): value for at, (value, in_row) in pairs if value != in_row}


def read_push(document: bytes) -> PushRequest:
    """Inverse of `write_push`."""
    columns = parsed(_PushColumns, document)
    count = len(columns.data)
    require_lengths(count, columns.kind, columns.seq, columns.op_id)
    require_positions(count, columns.base_version, columns.blob_refs, columns.entity_id)
    if sum(length for _, length in columns.tx) != count:
        raise Malformed("the transactions are not those of the operations")
    checksums = [sha256_hex(data.encode()) for data in columns.data]
    require_rows(columns.rows_sha256, checksums)
    kinds = looked_up(columns.kinds, columns.kind)
    ops = map(
        PushOp,
        valid(SEQS, list(accumulate(columns.seq))),
        columns.op_id,
        chain.from_iterable(repeat(tx_id, length) for tx_id, length in columns.tx),
        [entity_type for entity_type, _ in kinds],
        valid(IDS, row_ids(columns.entity_id, columns.data)),
        [operation for _, operation in kinds],
        columns.data,
        checksums,
        map(columns.base_version.get, range(count)),
        [
            columns.blob_refs[at] if at in columns.blob_refs else refs_in(data)
            for at, data in enumerate(columns.data)
        ],
    )
    return PushRequest.model_construct(
        batch_id=columns.batch_id,
        incarnation=columns.incarnation,
        clock_offset_ms=columns.clock_offset_ms,
        ops=tuple(ops),
    )


class _PushReplyColumns(Message):
    """`results`: (position in the batch, outcome, code, detail) of all that are not plainly applied."""

    batch_id: Id
    ack: Seq
    server_epoch: Id
    server_time: str
    results: list[tuple[Position, Outcome, str, str]]
    waited_ms: Seq = 0


def write_push_reply(reply: PushReply) -> bytes:
    plain = ("applied", "", "")
    results = [(at, *one[1:]) for at, one in enumerate(reply.results) if one[1:] != plain]
    return orjson.dumps(reply.model_dump(exclude={"results"}) | {"results": results})


def read_push_reply(document: bytes, request: PushRequest) -> PushReply:
    """The whole answer to `request`. Raises Malformed also when it answers another batch."""
    columns = parsed(_PushReplyColumns, document)
    if columns.batch_id != request.batch_id:
        raise Malformed("this answers another batch")
    others = {at: rest for at, *rest in columns.results}
    require_positions(len(request.ops), others)
    results = (OpResult(op.op_id, *others.get(at, ("applied",))) for at, op in enumerate(request.ops))
    return PushReply.model_construct(
        batch_id=columns.batch_id,
        ack=columns.ack,
        server_epoch=columns.server_epoch,
        server_time=columns.server_time,
        results=tuple(results),
        waited_ms=columns.waited_ms,
    )


# ── pull ────────────────────────────────────────────────────────────────────────────────────────────────


class _ChangeColumns(Message):
    """`version` holds differences; `table`, `tombstone` and the keys of `id` are positions."""

    rows_sha256: Sha256
    tables: list[Name]
    table: list[Position]
    version: list[int]
    id: dict[int, str]
    tombstone: list[Position]
    data: list[str]


class PageColumns(_ChangeColumns):
    """A page as it came: its seal held, its rows are still to be verified (`page_of`)."""

    space: Name
    server_epoch: Id
    from_cursor: Seq
    to_cursor: Seq
    has_more: bool


class _RowsColumns(_ChangeColumns):
    space: Name
    of_table: Name


def write_page(page: Page) -> bytes:
    about = page.model_dump(exclude={"changes"})
    return orjson.dumps(about | _columns_of(page.changes))


def read_page(document: bytes) -> Page:
    """Inverse of `write_page`; whether it continues the reader's cursor is the reader's to check."""
    return page_of(page_columns(document))


def page_columns(document: bytes) -> PageColumns:
    """The first half of `read_page`: enough to know where the next page begins."""
    return parsed(PageColumns, document)


def page_of(columns: PageColumns) -> Page:
    """The other half, and the longer one."""
    return Page.model_construct(
        space=columns.space,
        server_epoch=columns.server_epoch,
        from_cursor=columns.from_cursor,
        to_cursor=columns.to_cursor,
        has_more=columns.has_more,
        changes=_changes_of(columns),
    )


def write_rows(reply: RowsReply) -> bytes:
    return orjson.dumps({"space": reply.space, "of_table": reply.table} | _columns_of(reply.changes))


def read_rows(document: bytes) -> RowsReply:
    """Inverse of `write_rows`."""
    columns = parsed(_RowsColumns, document)
    return RowsReply.model_construct(
        space=columns.space, table=columns.of_table, changes=_changes_of(columns)
    )


def _columns_of(changes: Sequence[Change]) -> dict[str, Any]:
    tables = numbered(change.table for change in changes)
    return {
        "rows_sha256": sha256_of_rows(change.sha256 for change in changes),
        "tables": list(tables),
        "table": [tables[change.table] for change in changes],
        "version": differences([change.version for change in changes]),
        "id": _unsaid((change.id for change in changes), (id_in(change.data) for change in changes)),
        "tombstone": [at for at, change in enumerate(changes) if change.operation == "tombstone"],
        "data": [change.data for change in changes],
    }


def _changes_of(columns: _ChangeColumns) -> tuple[Change, ...]:
    count, tombstones = len(columns.data), dict.fromkeys(columns.tombstone)
    require_lengths(count, columns.table, columns.version)
    require_positions(count, columns.id, tombstones)
    checksums = [
        "" if at in tombstones else sha256_hex(data.encode()) for at, data in enumerate(columns.data)
    ]
    require_rows(columns.rows_sha256, checksums)
    operations: list[Literal["put", "tombstone"]] = ["put" if one else "tombstone" for one in checksums]
    changes = map(
        Change,
        looked_up(columns.tables, columns.table),
        row_ids(columns.id, columns.data),
        operations,
        valid(SEQS, list(accumulate(columns.version))),
        columns.data,
        checksums,
    )
    return tuple(changes)
