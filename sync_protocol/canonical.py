"""The bytes both ends hash.

Rules of this file:
- One definition of canonical JSON (RFC 8785) and of the checksums made from it; no I/O.
- `canonical_row` gives the same bytes as `canonical_json` (a property test holds them together); it exists
  because every stored and every pulled row passes through it and the general encoder is seven times slower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import orjson
import rfc8785

Scalar = str | int | float | None
_WRITTEN_ALIKE = frozenset({str, type(None)})  # by orjson and RFC 8785; numbers must be looked at


def canonical_json(value: Any) -> bytes:
    """RFC 8785 JSON. Raises rfc8785.CanonicalizationError on NaN, infinity or integers beyond 2^53."""
    return rfc8785.dumps(value)


def canonical_row(row: Mapping[str, Scalar]) -> bytes:
    """RFC 8785 JSON of one flat row with ASCII column names: the wire form of a synchronised row.

    Raises as `canonical_json` does.
    """
    numbers = {name: _plain(value) for name, value in row.items() if type(value) not in _WRITTEN_ALIKE}
    if all(map(_is_written_alike, numbers.values())):
        with suppress(orjson.JSONEncodeError):  # a lone surrogate, which RFC 8785 refuses too
            return orjson.dumps({**row, **numbers}, option=orjson.OPT_SORT_KEYS)
    return rfc8785.dumps(dict(row))


def are_canonical(rows: Sequence[Mapping[str, Scalar]], texts: Sequence[str]) -> bool:
    """Whether each of these texts is `canonical_row` of the flat row that was read from it; False may also be said when
    a number is seldom seen. The rows have the same ASCII column names in the same order (else ValueError).

    A JSON object ends where it ends: texts that are the same one after the other are the same one by one.
    """
    columns = zip(*(row.values() for row in rows), strict=True)
    unlike = chain.from_iterable(column for column in columns if not {*map(type, column)} <= _WRITTEN_ALIKE)
    if not all(value is None or (_is_written_alike(value) and _plain(value) is value) for value in unlike):
        return False
    return orjson.dumps(rows, option=orjson.OPT_SORT_KEYS) == f"[{','.join(texts)}]".encode()


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _plain(value: Scalar) -> Scalar:
    """RFC 8785 writes a whole number without a point, whatever its type."""
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 2**53 else value


def _is_written_alike(value: Scalar) -> bool:
    """Whether orjson and RFC 8785 write this number the same way."""
    if type(value) is float:
        return 1e-4 <= abs(value) < 1e15
    return type(value) is int and -(2**53) < value < 2**53
