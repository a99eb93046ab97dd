"""From a SQLite row to a record of `edge_agent.models`.

Rules of this file:
- By field name; the field's annotation says how the stored value is read (bool, enum, JSON text, as is).
"""

from __future__ import annotations

import json
import sqlite3
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import fields
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

R = TypeVar("R")


def record(kind: type[R], row: sqlite3.Row) -> R:
    """One record; the row must have a column for every field."""
    return kind(**{name: read(row[name]) for name, read in _readers(typing.cast("Any", kind))})


def one(kind: type[R], rows: sqlite3.Cursor) -> R | None:
    """The first row as a record, or None."""
    row = rows.fetchone()
    return None if row is None else record(kind, row)


def many(kind: type[R], rows: Iterable[sqlite3.Row]) -> list[R]:
    return [record(kind, row) for row in rows]


def row_of(value: Any) -> dict[str, Any]:
    """The record's fields by name, not copied: `dataclasses.asdict` would copy whole JSON documents."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


@cache
def columns(kind: type[Any], prefix: str = "") -> str:
    """The SELECT list for a record."""
    return ", ".join(prefix + field.name for field in fields(kind))


@cache
def _readers(kind: type[Any]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((field.name, _reader(hints[field.name])) for field in fields(kind))


def _reader(hint: Any) -> Callable[[Any], Any]:
    if isinstance(hint, types.UnionType):
        [inner] = [_reader(part) for part in typing.get_args(hint) if part is not types.NoneType]
        return lambda value: None if value is None else inner(value)
    if hint is bool:
        return bool
    if typing.get_origin(hint) in (dict, list):
        return json.loads
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    return lambda value: value
