"""What the two ends agree on, without either end."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sync_protocol.canonical import canonical_json
from sync_protocol.checksums import (
    BUCKETS,
    Bucket,
    ChecksumMismatch,
    bucket_of,
    differing,
    digest,
    row_hash,
    seal,
    unseal,
)
from sync_protocol.codes import CODES, UNKNOWN, Disposition, Scope, lookup
from sync_protocol.messages import MAX_OPS, PushRequest
from sync_protocol.version import ACCEPTED_VERSIONS, PROTOCOL_VERSION, agree

ID = "018f0000-0000-7000-8000-000000000001"
JSON = st.dictionaries(
    st.text(max_size=5), st.text() | st.integers(-(2**53) + 1, 2**53 - 1) | st.none(), min_size=1
)
ROWS = st.dictionaries(st.text(max_size=8), st.binary(min_size=32, max_size=32), max_size=20)
OP = {
    "seq": 1,
    "op_id": ID,
    "tx_id": ID,
    "entity_type": "inspection_targets",
    "entity_id": ID,
    "operation": "INSERT",
    "data": "{}",
    "sha256": "0" * 64,
}


# ── seals ───────────────────────────────────────────────────────────────────────────────────────────────


@given(JSON)
def test_what_was_sealed_comes_back(value: dict[str, object]) -> None:
    document = canonical_json(value)
    sealed = seal(document)
    assert unseal(sealed) == document
    assert sealed.endswith(f',"checksum":"{hashlib.sha256(document[:-1]).hexdigest()}"}}'.encode())


@given(JSON, st.data())
def test_any_damage_is_noticed(value: dict[str, object], data: st.DataObject) -> None:
    sealed = bytearray(seal(canonical_json(value)))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ChecksumMismatch):
        unseal(bytes(sealed))


@given(JSON, st.data())
def test_a_cut_or_lengthened_message_is_noticed(value: dict[str, object], data: st.DataObject) -> None:
    sealed = seal(canonical_json(value))
    for wrong in (sealed[: data.draw(st.integers(0, len(sealed) - 1))], sealed + b" ", b"<html>" + sealed):
        with pytest.raises(ChecksumMismatch):
            unseal(wrong)


@pytest.mark.parametrize("document", [b"", b"{}", b"[1]", b"null"])
def test_only_an_object_with_members_is_sealed(document: bytes) -> None:
    with pytest.raises(ValueError, match="object"):
        seal(document)


# ── digests ─────────────────────────────────────────────────────────────────────────────────────────────


@given(ROWS)
def test_a_digest_counts_every_row_once_in_any_order(rows: dict[str, bytes]) -> None:
    found = digest(rows.items())
    assert found == digest(reversed(rows.items()))
    assert {number: bucket.count for number, bucket in found.items()} == Counter(map(bucket_of, rows))
    assert all(0 <= number < BUCKETS for number in found)
    assert sum(b.hash_sum for b in found.values()) % 2**64 == sum(map(row_hash, rows.values())) % 2**64


@given(ROWS, st.text(max_size=8), st.binary(min_size=32, max_size=32))
def test_a_digest_shows_where_a_row_is_missing_or_changed(
    rows: dict[str, bytes], row_id: str, sha256: bytes
) -> None:
    with_row = digest((rows | {row_id: sha256}).items())
    without = digest((key, value) for key, value in rows.items() if key != row_id)
    assert differing(with_row, without) == [bucket_of(row_id)]
    flipped = bytes([sha256[0] ^ 1]) + sha256[1:]
    assert differing(with_row, digest((rows | {row_id: flipped}).items())) == [bucket_of(row_id)]
    assert differing(with_row, with_row) == []


def test_two_equal_wrong_rows_do_not_cancel() -> None:
    same = next(f"{n}" for n in range(10_000) if n and bucket_of(f"{n}") == bucket_of("0"))
    assert digest([("0", b"\xff" * 32), (same, b"\xff" * 32)]) == {bucket_of("0"): Bucket(2, 2**64 - 2)}


# ── codes ───────────────────────────────────────────────────────────────────────────────────────────────


def test_every_code_is_kebab_case_with_one_sentence() -> None:
    for name, code in CODES.items():
        assert name == code.code
        assert name == name.lower().replace("_", "-").replace(" ", "-")
        assert code.meaning.endswith(".")


def test_what_is_not_about_the_operation_never_kills_it() -> None:
    """A 401, a restart or an unknown code must not destroy queued data."""
    killing = {code.code for code in CODES.values() if code.disposition is Disposition.DEAD}
    wide = {code.code for code in CODES.values() if code.scope in (Scope.DEVICE, Scope.SERVER)}
    assert killing & wide == set()
    assert lookup("from-a-newer-peer") is UNKNOWN
    assert UNKNOWN.disposition is Disposition.RETRY


# ── messages, versions ──────────────────────────────────────────────────────────────────────────────────


def request(**changed: object) -> PushRequest:
    values = {"batch_id": ID, "incarnation": ID, "ops": [OP]} | changed
    return PushRequest.model_validate(values)


def test_a_message_survives_its_own_json_and_says_more_to_newer_peers() -> None:
    one = request()
    assert PushRequest.model_validate_json(one.model_dump_json()) == one
    assert request(invented_later=1) == one


@pytest.mark.parametrize(
    "changed",
    [
        {"seq": -1},
        {"seq": 2**53},
        {"op_id": ID.upper().replace("8F", "8G")},
        {"op_id": ID + "\n"},
        {"sha256": "0" * 63},
        {"operation": "DROP"},
        {"entity_type": ""},
        {"data": None},
    ],
)
def test_a_malformed_operation_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        request(ops=[OP | changed])


@pytest.mark.parametrize("count", [0, MAX_OPS + 1])
def test_a_batch_has_one_to_a_thousand_operations(count: int) -> None:
    with pytest.raises(ValidationError):
        request(ops=[OP] * count)


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        request().batch_id = ID


def test_the_highest_common_version_is_agreed_on() -> None:
    assert max(ACCEPTED_VERSIONS) == PROTOCOL_VERSION
    assert agree([1, 2, 9], ours=(1, 2)) == 2
    assert agree([7], ours=(1, 2)) is None
