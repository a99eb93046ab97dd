"""What waits for a person at the centre: operations that were refused, and changes of a session that met another.

Rules of this file:
- Resolving says that a person has seen it: no row of a device is changed by that. A refused operation that is sent
  and refused again is open again.
- Oldest first, page by page: what has waited longest is looked at first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from psycopg.rows import dict_row

from central_server.store import operator_log
from central_server.store.database import Connection
from edge_agent.errors import NotFound

Kind = Literal["rejected", "conflict"]
Record = dict[str, Any]
INSTANT = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


class After(NamedTuple):
    """Where a page ends: the next one begins behind it."""

    at: str
    id: str


@dataclass(frozen=True, slots=True)
class ReviewFilter:
    """Which; None = all. `with_resolved`: also what a person has seen."""

    device_id: str | None = None
    entity_id: str | None = None
    code: str | None = None
    """Why it was refused; conflicts have none."""
    with_resolved: bool = False


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    id: str
    at: str
    listed: tuple[str, ...]
    shown: tuple[str, ...]
    code: str
    """What is answered for one that is not there."""


TABLES: Mapping[Kind, _Table] = {
    "rejected": _Table(
        name="sync_rejections",
        id="op_id",
        at="last_at",
        listed=(
            *("op_id::text", "device_id", "seq", "entity_type", "entity_id", "operation", "code", "detail"),
            *("attempts", "first_at", "last_at", "resolved_at"),
        ),
        shown=("data",),
        code="unknown-rejection",
    ),
    "conflict": _Table(
        name="conflict_log",
        id="id",
        at="created_at",
        listed=(
            *("id::text", "device_id", "entity_type", "entity_id::text", "kept", "op_id::text", "created_at"),
            *("resolved_at", "resolved_by::text"),
        ),
        shown=("device_data", "server_data"),
        code="unknown-conflict",
    ),
}


def listed(tx: Connection, kind: Kind, wanted: ReviewFilter, after: After | None, limit: int) -> list[Record]:
    """At most `limit`, without their data."""
    table = TABLES[kind]
    given: dict[str, object] = {
        "device_id = %s": wanted.device_id,
        "entity_id::text = %s": wanted.entity_id,
        "code = %s": wanted.code,
    }
    chosen = {condition: value for condition, value in given.items() if value is not None}
    conditions = [*chosen, *([] if wanted.with_resolved else ["resolved_at IS NULL"])]
    values = list(chosen.values())
    if after is not None:
        conditions.append(f"({table.at}, {table.id}) > (%s::timestamptz, %s::uuid)")
        values += after
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"""SELECT {_columns(table.listed)} FROM {table.name} {where}
              ORDER BY {table.at}, {table.id} LIMIT %s"""
    return tx.cursor(row_factory=dict_row).execute(sql.encode(), [*values, limit]).fetchall()


def end_of(kind: Kind, record: Record) -> After:
    """Where the page that ends with this record ends."""
    table = TABLES[kind]
    return After(record[table.at], record[table.id])


def one(tx: Connection, kind: Kind, wanted_id: str) -> Record:
    """Whole, with what was sent. Raises NotFound (`unknown-rejection`, `unknown-conflict`)."""
    table = TABLES[kind]
    sql = f"""SELECT {_columns(table.listed + table.shown)} FROM {table.name} WHERE {table.id} = %s::uuid
              ORDER BY {table.at} DESC LIMIT 1"""
    found = tx.cursor(row_factory=dict_row).execute(sql.encode(), (wanted_id,)).fetchone()
    if found is None:
        raise NotFound(f"There is no {wanted_id}.", code=table.code)
    return found | {"data": _readable(found["data"])} if "data" in found else found


def resolve(tx: Connection, kind: Kind, wanted_id: str, actor: str, user_id: str | None) -> Record:
    """A person has seen it; noted once in the operators' log. Raises NotFound like `one`."""
    table = TABLES[kind]
    by = ", resolved_by = %s::uuid" if kind == "conflict" else ""
    sql = (
        f"UPDATE {table.name} SET resolved_at = now(){by} WHERE {table.id} = %s::uuid AND resolved_at IS NULL"
    )
    values = (user_id, wanted_id) if by else (wanted_id,)
    if tx.execute(sql.encode(), values).rowcount:
        operator_log.note(tx, actor, f"{kind}.resolve", wanted_id)
    return one(tx, kind, wanted_id)


def _columns(names: tuple[str, ...]) -> str:
    return ", ".join(f"{INSTANT.format(name)} AS {name}" if name.endswith("_at") else name for name in names)


def _readable(data: object) -> Any:
    """The row that was sent; what is no JSON as text."""
    text = bytes(cast("bytes", data)).decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
