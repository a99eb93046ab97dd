"""Checksums over more than one row: of a whole message, and of a table as 256 buckets.

Rules of this file:
- A message's checksum is over its raw bytes and is its last member, so it is verified before anything is parsed
  and a truncated message can never pass.
- A table's digest is a sum of row hashes, not an XOR: two wrong rows do not cancel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

BUCKETS = 256
HASH_MODULUS = 2**64
_TAIL = b',"checksum":"%s"}'
_TAIL_LENGTH = len(_TAIL) - 2 + 64


class ChecksumMismatch(ValueError):
    """The bytes are not those that were sealed; they must not be parsed."""


def seal(document: bytes) -> bytes:
    """A JSON object (not an empty one) with its checksum as the last member `checksum`."""
    if not document.endswith(b"}") or len(document) <= 2:
        raise ValueError("only a JSON object with members can be sealed")
    body = document[:-1]
    return body + _TAIL % hashlib.sha256(body).hexdigest().encode()


def unseal(raw: bytes) -> bytes:
    """The object as it was sealed, without the checksum. Raises ChecksumMismatch."""
    body, tail = raw[:-_TAIL_LENGTH], raw[-_TAIL_LENGTH:]
    if not body or tail != _TAIL % hashlib.sha256(body).hexdigest().encode():
        raise ChecksumMismatch(f"the checksum of {len(raw)} bytes does not match them")
    return body + b"}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many rows, and the sum of their 64-bit hashes modulo 2^64."""

    count: int = 0
    hash_sum: int = 0


def bucket_of(row_id: str) -> int:
    """0 … 255: the first byte of the id's sha256."""
    return hashlib.sha256(row_id.encode()).digest()[0]


def row_hash(sha256: bytes) -> int:
    """The first 64 bits of a row's sha256."""
    return int.from_bytes(sha256[:8], "big")


def digest(rows: Iterable[tuple[str, bytes]]) -> dict[int, Bucket]:
    """Bucket number → bucket, of the buckets that are not empty, from (id, sha256 of the canonical row)."""
    found: dict[int, Bucket] = {}
    for row_id, sha256 in rows:
        number = bucket_of(row_id)
        old = found.get(number, Bucket())
        found[number] = Bucket(old.count + 1, (old.hash_sum + row_hash(sha256)) % HASH_MODULUS)
    return found


def differing(ours: dict[int, Bucket], theirs: dict[int, Bucket]) -> list[int]:
    """The buckets that must be looked into, in order."""
    return [number for number in range(BUCKETS) if ours.get(number) != theirs.get(number)]
