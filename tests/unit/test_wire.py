"""What travels comes back whole, and nothing else is ever taken for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, get_args

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.checksums import ChecksumMismatch, seal
from sync_protocol.columns import id_in, refs_in
from sync_protocol.messages import (
    Change,
    HelloReply,
    Malformed,
    OpResult,
    Outcome,
    Page,
    PushOp,
    PushReply,
    PushRequest,
    RowsReply,
)
from sync_protocol.wire import (
    TooLarge,
    pack,
    read,
    read_page,
    read_push,
    read_push_reply,
    read_rows,
    unpack,
    write,
    write_page,
    write_push,
    write_push_reply,
    write_rows,
)

IDS = st.uuids(version=4).map(str)
SEQS = st.integers(0, 2**53 - 1)
SHAS = st.binary(min_size=32, max_size=32).map(bytes.hex)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ROWS = st.dictionaries(
    st.sampled_from(("id", "server_id", "sha256", "notes", "a")),
    IDS | SHAS | TEXT | st.integers(0, 9) | st.none(),
).map(lambda row: canonical_row(row).decode())
DATA = ROWS | TEXT


def op_of(row_id: str, data: str, rest: tuple[Any, ...]) -> PushOp:
    seq, op_id, tx_id, table, operation, base, refs = rest
    return PushOp(seq, op_id, tx_id, table, row_id, operation, data, sha256_hex(data.encode()), base, refs)


OPERATIONS = st.sampled_from(("INSERT", "UPDATE", "DELETE"))
TABLES = st.sampled_from(("inspection_targets", "inspection_sessions", "robots"))
OPS = st.builds(
    op_of,
    IDS,
    DATA,
    st.tuples(SEQS, IDS, IDS, TABLES, OPERATIONS, st.none() | SEQS, st.lists(SHAS, max_size=2).map(tuple)),
)
REQUESTS = st.builds(
    PushRequest,
    batch_id=IDS,
    incarnation=IDS,
    clock_offset_ms=st.integers(-(2**53) + 1, 2**53 - 1),
    ops=st.lists(OPS, min_size=1, max_size=6).map(tuple),
)


def tombstone(table: str, row_id: str, version: int) -> Change:
    return Change(table, row_id, "tombstone", version)


PUTS = st.builds(
    lambda table, row_id, version, data: Change(
        table, row_id, "put", version, data, sha256_hex(data.encode())
    ),
    TABLES,
    IDS,
    SEQS,
    DATA,
)
CHANGES = st.lists(PUTS | st.builds(tombstone, TABLES, IDS, SEQS), max_size=6).map(tuple)
PAGES = st.builds(
    Page,
    space=st.just("masters"),
    server_epoch=IDS,
    from_cursor=SEQS,
    to_cursor=SEQS,
    has_more=st.booleans(),
    changes=CHANGES,
)
INSERT = ("INSERT", None, ())
ONE = PushRequest(
    batch_id="018f0000-0000-7000-8000-000000000001",
    incarnation="018f0000-0000-7000-8000-000000000002",
    ops=(
        op_of(
            "018f0000-0000-7000-8000-000000000003",
            '{"id":"018f0000-0000-7000-8000-000000000003"}',
            (7, "018f0000-0000-7000-8000-000000000004", f"{'0' * 8}-0000-7000-8000-{'0' * 12}", "t", *INSERT),
        ),
    ),
)


# ── messages ────────────────────────────────────────────────────────────────────────────────────────────


@given(REQUESTS)
def test_a_push_comes_back_whole(request: PushRequest) -> None:
    assert read_push(unpack(pack(write_push(request)))) == request


@given(REQUESTS, st.data())
def test_an_answer_says_only_what_is_not_plain(request: PushRequest, data: st.DataObject) -> None:
    outcomes: st.SearchStrategy[Outcome] = st.sampled_from(get_args(Outcome))
    results = tuple(OpResult(op.op_id, data.draw(outcomes), data.draw(TEXT)) for op in request.ops)
    reply = PushReply(
        batch_id=request.batch_id,
        ack=3,
        server_epoch=data.draw(IDS),
        server_time="now",
        results=results,
        waited_ms=data.draw(st.integers(0, 2**53 - 1)),
    )
    document = write_push_reply(reply)
    assert read_push_reply(document, request) == reply
    assert len(orjson.loads(document)["results"]) == sum(one[1:3] != ("applied", "") for one in results)


def test_an_answer_to_another_batch_is_none() -> None:
    reply = PushReply(batch_id=ONE.incarnation, ack=1, server_epoch=ONE.batch_id, server_time="", results=())
    with pytest.raises(Malformed, match="another batch"):
        read_push_reply(write_push_reply(reply), ONE)


@given(PAGES)
def test_a_page_comes_back_whole(page: Page) -> None:
    assert read_page(unpack(pack(write_page(page)))) == page


@given(CHANGES)
def test_rows_come_back_whole(changes: tuple[Change, ...]) -> None:
    reply = RowsReply(space="masters", table="users", changes=changes)
    assert read_rows(write_rows(reply)) == reply


def test_other_messages_travel_as_they_are() -> None:
    reply = HelloReply(
        protocol_version=1,
        schema_version=1,
        server_epoch=ONE.batch_id,
        server_time="2026-11-23T00:00:00.000Z",
        device_last_seq=1,
        device_last_ack=2,
        heads={"masters": 3},
    )
    for encoding in ("zstd", "identity", ""):
        assert read(HelloReply, unpack(pack(write(reply), encoding), encoding)) == reply


@given(ROWS)
def test_the_id_in_a_row_is_its_member(data: str) -> None:
    row = orjson.loads(data)
    said = row.get("id") if isinstance(row.get("id"), str) else row.get("server_id")
    if isinstance(said, str) and said.isalnum():
        assert id_in(data) == said


@given(ROWS)
def test_the_reference_in_a_row_is_its_sha256(data: str) -> None:
    said = orjson.loads(data).get("sha256")
    is_one = isinstance(said, str) and re.fullmatch("[0-9a-f]{64}", said)
    assert refs_in(data) == ((said,) if is_one else ())


def test_a_batch_travels_small() -> None:
    """Ids and checksums are noise that cannot be compressed; everything else nearly vanishes."""
    ids = [f"018f0000-0000-7000-8000-{number:012x}" for number in range(2000)]
    ops = [
        op_of(
            ids[at],
            f'{{"a":"{"x" * 400}","id":"{ids[at]}"}}',
            (at, ids[-at], ids[7], "t", "INSERT", None, ()),
        )
        for at in range(500)
    ]
    body = pack(write_push(ONE.model_copy(update={"ops": tuple(ops)})))
    assert len(body) < 0.03 * sum(len(op.data) for op in ops)


# ── what is not a message ───────────────────────────────────────────────────────────────────────────────


@given(st.data())
def test_a_damaged_body_is_never_read(data: st.DataObject) -> None:
    body = bytearray(pack(write_push(ONE)))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    with suppress(ChecksumMismatch, TooLarge):
        assert unpack(bytes(body)) == write_push(ONE)  # a bit that means nothing to zstd


@pytest.mark.parametrize("encoding", ["zstd", "identity", ""])
@given(st.binary(max_size=200))
def test_whatever_comes_is_refused_as_damaged(encoding: str, body: bytes) -> None:
    with pytest.raises(ChecksumMismatch):
        unpack(body, encoding)


@given(st.integers(0, 200))
def test_a_cut_body_is_refused(left: int) -> None:
    body = pack(write_push(ONE))
    with pytest.raises(ChecksumMismatch):
        unpack(body[: min(left, len(body) - 1)])


def test_a_page_of_a_proxy_is_refused() -> None:
    with pytest.raises(ChecksumMismatch):
        unpack(b"<html><body>Sign in to the network</body></html>", "")


def test_a_body_that_unfolds_without_end_is_cut_off() -> None:
    bomb = zstandard.compress(seal(b'{"a":"' + b"0" * 1_000_000 + b'"}'))
    assert len(bomb) < 1000
    with pytest.raises(TooLarge):
        unpack(bomb, max_bytes=100_000)
    with pytest.raises(TooLarge):
        unpack(seal(b'{"a":1}'), "identity", max_bytes=10)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(Malformed, match="gzip"):
        unpack(b"", "gzip")


def _changed(**changed: Any) -> bytes:
    return orjson.dumps(orjson.loads(write_push(ONE)) | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": [1]},
        {"kind": [-1]},
        {"kind": []},
        {"seq": [1, 1]},
        {"seq": [-1]},
        {"seq": [2**53]},
        {"op_id": ["x"]},
        {"tx": []},
        {"tx": [[ONE.batch_id, 2]]},
        {"tx": [[ONE.batch_id, 10**9]]},
        {"tx": [[ONE.batch_id, 2], [ONE.batch_id, -1]]},
        {"blob_refs": {"1": []}},
        {"base_version": {"-1": 1}},
        {"entity_id": {"0": "x"}},
        {"kinds": [["t", "DROP"]]},
        {"kinds": None},
        {"data": []},
        {"batch_id": 1},
    ],
)
def test_a_malformed_push_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_push(_changed(**changed))


@pytest.mark.parametrize(
    "changed",
    [{"data": ['{"id":"018f0000-0000-7000-8000-00000000000f"}']}, {"rows_sha256": "0" * 64}],
)
def test_rows_that_are_not_those_written_are_damaged(changed: dict[str, Any]) -> None:
    with pytest.raises(ChecksumMismatch):
        read_push(_changed(**changed))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
READERS: tuple[Callable[[bytes], object], ...] = (
    read_push,
    read_page,
    read_rows,
    partial(read, HelloReply),
    partial(read_push_reply, request=ONE),
)


@settings(max_examples=50)
@given(st.sampled_from(READERS), st.sampled_from((ONE,)), st.data())
def test_any_member_may_be_anything(
    reader: Callable[[bytes], object], request: PushRequest, data: st.DataObject
) -> None:
    members = orjson.loads(write_push(request)) | {"results": [], "version": [], "tables": [], "table": []}
    member = data.draw(st.sampled_from(sorted(members)))
    document = json.dumps(members | {member: data.draw(JSON)}).encode()
    with suppress(Malformed, ChecksumMismatch):
        reader(document)


@given(st.sampled_from(READERS), st.binary(max_size=40))
def test_what_is_not_json_is_malformed(reader: Callable[[bytes], object], document: bytes) -> None:
    with pytest.raises(Malformed):
        reader(document)
