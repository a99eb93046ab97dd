"""Rows as columns: what `wire` writes a column with, and what it holds every column read against.

Rules of this file:
- Pure. What was read and cannot be raises Malformed; rows that are not those written raise ChecksumMismatch.
- A row is flat canonical JSON; `id_in` and `refs_in` read a member of it without parsing it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from sync_protocol.checksums import ChecksumMismatch
from sync_protocol.messages import AnyMessage, Id, Malformed, Seq

_SHA256 = re.compile("[0-9a-f]{64}").fullmatch
IDS = TypeAdapter(list[Id])
SEQS = TypeAdapter(list[Seq])
_Item = TypeVar("_Item")


def id_in(data: str) -> str | None:
    """The member `id` (else `server_id`) of a flat row's canonical JSON."""
    row_id = _member(data, '"id":"')
    return _member(data, '"server_id":"') if row_id is None else row_id


def refs_in(data: str) -> tuple[str, ...]:
    """The object that a flat row's member `sha256` names, if it has one."""
    sha256 = _member(data, '"sha256":"')
    return (sha256,) if sha256 is not None and _SHA256(sha256) else ()


def _member(data: str, opening: str) -> str | None:
    """A text of a flat row's canonical JSON, up to its first quotation mark.

    Nowhere else is that `opening`: a quotation mark within a text has a backslash before it.
    """
    start = data.find(opening) + len(opening)
    return data[start : data.find('"', start)] if start >= len(opening) else None


def row_ids(said: Mapping[int, str], rows: Sequence[str]) -> list[str]:
    """Of every row the id that is said, else the one that stands in it."""
    ids = [said[at] if at in said else id_in(data) for at, data in enumerate(rows)]
    return [_not_none(row_id) for row_id in ids]


def _not_none(row_id: str | None) -> str:
    if row_id is None:
        raise Malformed("a row has no id")
    return row_id


def numbered(items: Iterable[_Item]) -> dict[_Item, int]:
    """The different items with their positions."""
    return {item: number for number, item in enumerate(dict.fromkeys(items))}


def looked_up(items: Sequence[_Item], positions: Sequence[int]) -> list[_Item]:
    """Inverse of `numbered`."""
    try:
        return [items[position] for position in positions]
    except IndexError:
        raise Malformed("a position lies outside its list") from None


def differences(numbers: Sequence[int]) -> list[int]:
    """What each adds to the one before; `itertools.accumulate` is the inverse."""
    return [after - before for before, after in zip([0, *numbers], numbers, strict=False)]


def sha256_of_rows(checksums: Iterable[str]) -> str:
    """One checksum over all the rows' checksums."""
    return hashlib.sha256(bytes.fromhex("".join(checksums))).hexdigest()


def require_rows(rows_sha256: str, checksums: Iterable[str]) -> None:
    if sha256_of_rows(checksums) != rows_sha256:
        raise ChecksumMismatch("the rows are not those that were written")


def require_lengths(count: int, *columns: Sequence[object]) -> None:
    if any(len(column) != count for column in columns):
        raise Malformed("the columns differ in length")


def require_positions(count: int, *mappings: Mapping[int, object]) -> None:
    if any(not 0 <= at < count for mapping in mappings for at in mapping):
        raise Malformed("a position lies outside the rows")


def valid(adapter: TypeAdapter[list[_Item]], items: Sequence[object]) -> list[_Item]:
    """A column that was worked out, not sent."""
    try:
        return adapter.validate_python(items)
    except ValidationError as error:
        raise malformed(error) from None


def parsed(kind: type[AnyMessage], document: bytes) -> AnyMessage:
    """The columns of a document."""
    try:
        return kind.model_validate(orjson.loads(document))
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error}") from None
    except ValidationError as error:
        raise malformed(error) from None


def malformed(error: ValidationError) -> Malformed:
    """The first fault and how many there are; the values are not quoted."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = "/".join(str(part) for part in first["loc"])
    return Malformed(f"{place}: {first['msg']} ({error.error_count()} such faults)")
