"""The bytes both ends hash.

Rules of this file:
- One definition of canonical JSON (RFC 8785) and of the checksums made from it; no I/O.
- `canonical_row` gives the same bytes as `canonical_json` (a property test holds them together); it exists
  because every stored and every pulled row passes through it and the general encoder is seven times slower.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import rfc8785

Scalar = str | int | float | None

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def canonical_json(value: Any) -> bytes:
    """RFC 8785 JSON. Raises rfc8785.CanonicalizationError on NaN, infinity or integers beyond 2^53."""
    return rfc8785.dumps(value)


def canonical_row(row: Mapping[str, Scalar]) -> bytes:
    """RFC 8785 JSON of one flat row with ASCII column names: the wire form of a synchronised row.

    Raises as `canonical_json` does.
    """
    if all(_written_alike(value) for value in row.values()):
        return _encode(row).encode()
    return rfc8785.dumps(dict(row))


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _written_alike(value: Scalar) -> bool:
    """Whether Python's json and RFC 8785 write this value the same way."""
    kind = type(value)
    if kind is float:
        assert isinstance(value, float)
        return 1e-4 <= abs(value) < 1e15 and not value.is_integer()
    if kind is int:
        assert isinstance(value, int)
        return -(2**53) < value < 2**53
    return kind is str or value is None
