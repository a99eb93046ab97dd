"""Masters as the centre holds them: read in the form in which devices get them, written row by row.

Rules of this file:
- A change of masters locks their space first: what it was decided on stays true until it is committed.
- Rows are never deleted here: history points at them. Table and column names come from our own code.
- What the database refuses about the data itself becomes ours here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from central_server.store.database import Connection
from edge_agent.errors import BadInput, Conflict

Row = dict[str, Any]
RENAMED = {"server_id": "id"}  # users: the wire's name for the id
JSON_COLUMNS = frozenset(
    {"definition", "criteria", "manifest", "input_schema", "output_schema", "resource_requirements"}
)
BOOLEANS = frozenset({"is_active", "ai_enabled", "required"})
COMPONENTS = """
    SELECT row_version, to_jsonb(c) - 'row_version' FROM (
        SELECT id, name, description, docker_image, version, input_schema, output_schema, resource_requirements,
               to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at,
               to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS updated_at,
               is_active::int AS is_active, row_version
        FROM components) AS c ORDER BY name, version"""


def lock(tx: Connection, space: str) -> None:
    """No other transaction changes the space until this one ends."""
    tx.execute("SELECT version FROM sync_spaces WHERE space = %s FOR UPDATE", (space,))


def rows(tx: Connection, table: str) -> list[Row]:
    """Every row of a table of the space `masters` in its wire form, with its `row_version`."""
    sql = "SELECT row_version, data FROM sync_masters WHERE table_name = %s AND data IS NOT NULL ORDER BY 1"
    found = tx.execute(sql, (table,)).fetchall()
    return [{**json.loads(str(data)), "row_version": version} for version, data in found]


def components(tx: Connection) -> list[Row]:
    """Every component, with its `row_version`; JSON columns are parsed."""
    found: list[Any] = tx.execute(COMPONENTS).fetchall()
    return [{**data, "row_version": version} for version, data in found]


def insert(tx: Connection, table: str, row: Mapping[str, Any]) -> None:
    """Adds the row (wire names). Raises Conflict (`taken`), BadInput (`value-unfit`)."""
    names, values = _columns(row)
    places = ", ".join(_place(name) for name in names)
    with refusals():
        tx.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})".encode(), values)


def update(tx: Connection, table: str, row: Mapping[str, Any]) -> None:
    """Changes the row with its id to what `row` says. Raises as `insert` does."""
    names, values = _columns({name: value for name, value in row.items() if name != "created_by"})
    sets = ", ".join(f"{name} = {_place(name)}" for name in names if name != "id")
    row_id = values[names.index("id")]
    changed = [value for name, value in zip(names, values, strict=True) if name != "id"]
    with refusals():
        tx.execute(
            f"UPDATE {table} SET {sets}, updated_at = now() WHERE id = %s".encode(), [*changed, row_id]
        )


def activate_model(tx: Connection, name: str, version: str | None) -> None:
    """Makes this version (None: no version) the one that a pipeline means that names none.

    The change of the one before comes first in the order of the space.
    """
    others = """UPDATE model_packages SET is_active = false, updated_at = now()
                WHERE name = %s AND version IS DISTINCT FROM %s AND is_active"""
    wanted = """UPDATE model_packages SET is_active = true, updated_at = now()
                WHERE name = %s AND version = %s AND NOT is_active"""
    tx.execute(others, (name, version))
    tx.execute(wanted, (name, version))


def imported_entries(tx: Connection) -> dict[str, Any]:
    """Key → what a bundle said last."""
    return {
        str(key): entry for key, entry in tx.execute("SELECT key, entry FROM imported_entries").fetchall()
    }


def remember_imported(tx: Connection, key: str, entry: Mapping[str, Any]) -> None:
    sql = """INSERT INTO imported_entries (key, entry) VALUES (%s, %s::jsonb)
             ON CONFLICT (key) DO UPDATE SET entry = excluded.entry, imported_at = now()"""
    tx.execute(sql, (key, json.dumps(entry)))


@contextmanager
def refusals() -> Iterator[None]:
    """What the database refuses about the data itself, as ours."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(
            f"Another row has the same value ({error.diag.message_detail or error.diag.constraint_name}).",
            code="taken",
            hint="Choose another code, name, address or id; those of inactive rows stay taken.",
        ) from None
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise BadInput(
            f"The database refuses a value ({error.diag.message_primary or type(error).__name__}).",
            code="value-unfit",
            hint="Shorten or correct the value named in the message; nothing was changed.",
        ) from None


def _columns(row: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    kept = {
        RENAMED.get(name, name): _value(name, value)
        for name, value in row.items()
        if name not in ("created_at", "updated_at", "row_version")
    }
    return list(kept), list(kept.values())


def _value(name: str, value: Any) -> Any:
    if name in BOOLEANS:
        return bool(value)
    if name in JSON_COLUMNS and value is not None and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value


def _place(name: str) -> str:
    return "%s::jsonb" if name in JSON_COLUMNS else "%s"
