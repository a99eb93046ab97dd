"""The bytes both ends hash.

Rules of this file:
- One definition of canonical JSON (RFC 8785) and of the checksums made from it; no I/O.
- `canonical_row` gives the same bytes as `canonical_json` (a property test holds them together); it exists
  because every stored and every pulled row passes through it and the general encoder is seven times slower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
import rfc8785

Scalar = str | int | float | None


def canonical_json(value: Any) -> bytes:
    """RFC 8785 JSON. Raises rfc8785.CanonicalizationError on NaN, infinity or integers beyond 2^53."""
    return rfc8785.dumps(value)


def canonical_row(row: Mapping[str, Scalar]) -> bytes:
    """RFC 8785 JSON of one flat row with ASCII column names: the wire form of a synchronised row.

    Raises as `canonical_json` does.
    """
    plain = {name: _plain(value) for name, value in row.items()}
    if all(map(_written_alike, plain.values())):
        with suppress(orjson.JSONEncodeError):  # a lone surrogate, which RFC 8785 refuses too
            return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    return rfc8785.dumps(dict(row))


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _plain(value: Scalar) -> Scalar:
    """RFC 8785 writes a whole number without a point, whatever its type."""
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 2**53 else value


def _written_alike(value: Scalar) -> bool:
    """Whether orjson and RFC 8785 write this value the same way."""
    kind = type(value)
    if kind is float:
        assert isinstance(value, float)
        return 1e-4 <= abs(value) < 1e15
    if kind is int:
        assert isinstance(value, int)
        return -(2**53) < value < 2**53
    return kind is str or value is None
