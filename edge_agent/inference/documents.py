"""JSON documents as definitions: strict reading, one identity, faults with their place.

Rules of this file:
- Reading refuses what two readers could take differently: a key given twice, NaN, bytes that are not UTF-8.
- The identity of a document is the sha256 of its RFC 8785 form, whatever its spacing and key order.
- Every fault becomes a `Problem` with a JSON pointer; nothing is repaired silently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import rfc8785
from pydantic import TypeAdapter, ValidationError

from edge_agent.errors import BadDefinition, Problem

T = TypeVar("T")


class _NotStrict(ValueError):
    pass


def pointer_of(parts: Iterable[str | int], base: str = "") -> str:
    """`base` extended by `parts`, as an RFC 6901 JSON pointer."""
    return base + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def read_json(data: bytes, max_bytes: int, file: str = "") -> Any:
    """The document in `data` (UTF-8, at most `max_bytes` bytes). Raises BadDefinition with one problem."""
    if len(data) > max_bytes:
        raise _unreadable(file, "too-large", f"{len(data)} bytes; at most {max_bytes} are allowed")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise _unreadable(file, "not-json", "nested too deeply") from None
    except ValueError as error:  # includes UnicodeDecodeError and JSONDecodeError
        raise _unreadable(file, "not-json", f"not strict JSON: {error}") from None


def canonical_bytes(document: Any, file: str = "") -> bytes:
    """The RFC 8785 form. Raises BadDefinition for what has none (NaN, integers beyond 2^53)."""
    try:
        return rfc8785.dumps(document)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise _unreadable(file, "not-canonical", f"no canonical JSON form: {error}") from None


def sha256_of(document: Any) -> str:
    """Hex sha256 of the canonical form: the identity of a definition."""
    return hashlib.sha256(canonical_bytes(document)).hexdigest()


def validated(adapter: TypeAdapter[T], document: Any) -> T:
    """`document` as the adapter's type, read as JSON and strictly: no "0.5" for 0.5, no true for 1.

    Raises pydantic.ValidationError with all faults.
    """
    return adapter.validate_json(json.dumps(document, default=repr), strict=True)


def problems_of(error: ValidationError, file: str, base: str, tagged: bool = False) -> list[Problem]:
    """pydantic's faults as problems; `tagged`: a union's, whose tag leads each place."""
    return [
        Problem(
            file,
            pointer_of(fault["loc"][1:] if tagged else fault["loc"], base),
            _code_of(fault["type"]),
            f"{fault['msg'].removeprefix('Value error, ')}{_seen(fault)}",
        )
        for fault in error.errors(include_url=False)
    ]


def _code_of(pydantic_type: str) -> str:
    known = {"extra_forbidden": "unknown-key", "missing": "missing-key"}
    return known.get(pydantic_type, "bad-value")


def _seen(fault: Mapping[str, Any]) -> str:
    simple = isinstance(fault["input"], str | int | float | bool) and fault["type"] != "extra_forbidden"
    return f" (found {fault['input']!r:.80})" if simple else ""


def _unreadable(file: str, code: str, message: str) -> BadDefinition:
    return BadDefinition(
        f"{file or 'the document'} cannot be read: {message}", [Problem(file, "", code, message)]
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise _NotStrict(f"key given twice: {', '.join(twice)}")
    return document


def _no_constant(name: str) -> Any:
    raise _NotStrict(f"{name} is not JSON")
