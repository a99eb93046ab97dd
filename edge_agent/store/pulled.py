"""The server's rows on this device: pages on their way, rows as they came, and the tables they are written to.

Rules of this file:
- SQL only; what may be written was decided before. Everything here runs in a transaction that is not local
  (`Database.write(local=False)`).
- Table and column names come from `sync_protocol.tables`, never from a row.
- A row that the server no longer has is deactivated: history points at it. Only decisions are removed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from edge_agent.store.database import placeholders
from sync_protocol.tables import PulledTable


@dataclass(frozen=True, slots=True)
class SpaceState:
    """`detail`: what is remembered of a round that was refused, and whether to begin again from 0."""

    cursor: int
    server_epoch: str | None
    last_sync_timestamp: str | None
    detail: dict[str, Any]


class StagedPage(NamedTuple):
    from_cursor: int
    to_cursor: int
    server_epoch: str
    has_more: bool


# ── how far a space has come ────────────────────────────────────────────────────────────────────────────


def state(reader: sqlite3.Connection, space: str) -> SpaceState:
    sql = "SELECT cursor, server_epoch, last_sync_timestamp, detail FROM sync_state WHERE space = ?"
    row = reader.execute(sql, (space,)).fetchone()
    if row is None:
        return SpaceState(0, None, None, {})
    return SpaceState(row[0], row[1], row[2], json.loads(row[3]))


def set_applied(tx: sqlite3.Connection, space: str, cursor: int, server_epoch: str, now: str) -> None:
    """The round is applied: its pages and whatever was said of it are forgotten."""
    tx.execute(
        """INSERT INTO sync_state (space, cursor, server_epoch, last_sync_timestamp) VALUES (?, ?, ?, ?)
           ON CONFLICT (space) DO UPDATE SET cursor = excluded.cursor, server_epoch = excluded.server_epoch,
               last_sync_timestamp = excluded.last_sync_timestamp, detail = '{}'""",
        (space, cursor, server_epoch, now),
    )
    drop_pages(tx, space)


def set_detail(tx: sqlite3.Connection, space: str, detail: Mapping[str, Any]) -> None:
    tx.execute(
        """INSERT INTO sync_state (space, detail) VALUES (?, ?)
           ON CONFLICT (space) DO UPDATE SET detail = excluded.detail""",
        (space, json.dumps(detail, ensure_ascii=False)),
    )


def touch(tx: sqlite3.Connection, space: str, now: str) -> None:
    """The server was asked and had nothing new."""
    tx.execute("UPDATE sync_state SET last_sync_timestamp = ? WHERE space = ?", (now, space))


# ── pages on their way ──────────────────────────────────────────────────────────────────────────────────


def add_page(tx: sqlite3.Connection, space: str, page: StagedPage, body: bytes) -> None:
    tx.execute(
        """INSERT INTO pull_pages (space, from_cursor, to_cursor, server_epoch, has_more, page)
           VALUES (?, ?, ?, ?, ?, ?)""",
        (space, *page, body),
    )


def pages(reader: sqlite3.Connection, space: str) -> list[StagedPage]:
    """What is staged, in order, without the bytes."""
    sql = """SELECT from_cursor, to_cursor, server_epoch, has_more FROM pull_pages
             WHERE space = ? ORDER BY from_cursor"""
    return [StagedPage(row[0], row[1], row[2], bool(row[3])) for row in reader.execute(sql, (space,))]


def page_bodies(reader: sqlite3.Connection, space: str) -> Iterator[bytes]:
    sql = "SELECT page FROM pull_pages WHERE space = ? ORDER BY from_cursor"
    return (row[0] for row in reader.execute(sql, (space,)))


def close_round(tx: sqlite3.Connection, space: str) -> None:
    """The last staged page is the round's last: the server had nothing after it."""
    sql = """UPDATE pull_pages SET has_more = 0
             WHERE space = ?1 AND from_cursor = (SELECT max(from_cursor) FROM pull_pages WHERE space = ?1)"""
    tx.execute(sql, (space,))


def drop_pages(tx: sqlite3.Connection, space: str) -> None:
    tx.execute("DELETE FROM pull_pages WHERE space = ?", (space,))


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────


def defer_references(tx: sqlite3.Connection) -> None:
    """Until the commit a row may name one that comes after it."""
    tx.execute("PRAGMA defer_foreign_keys = ON")


def put(tx: sqlite3.Connection, table: PulledTable, rows: Iterable[tuple[Any, ...]]) -> None:
    """Writes rows (the wire columns in order, then version and sha256) into the table of that name.

    Raises sqlite3.IntegrityError when the table cannot hold one of them.
    """
    tx.executemany(_put_sql(table, is_bare(tx, table)), rows)


def _put_sql(table: PulledTable, nothing_is_there: bool) -> str:
    """Where nothing is there a plain INSERT does the same, in three quarters of the time."""
    names = [*table.columns, "row_version", "row_sha256"]
    insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({placeholders(names)})"
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name != table.key)
    return insert if nothing_is_there else f"{insert} ON CONFLICT ({table.key}) DO UPDATE SET {sets}"


def why_refused(tx: sqlite3.Connection, table: PulledTable, row: tuple[Any, ...]) -> str | None:
    """What the table has against one row; the row is not kept."""
    tx.execute("SAVEPOINT one_row")
    try:
        tx.execute(_put_sql(table, nothing_is_there=False), row)
        return None
    except sqlite3.IntegrityError as error:
        return str(error)
    finally:
        tx.execute("ROLLBACK TO one_row")
        tx.execute("RELEASE one_row")


def keep_whole(tx: sqlite3.Connection, table: PulledTable, rows: Iterable[tuple[str, int, str, str]]) -> None:
    """Keeps (id, version, sha256, data) of rows of a table that is kept whole."""
    tx.executemany(
        """INSERT INTO pulled_rows (table_name, row_id, version, sha256, data) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (table_name, row_id)
           DO UPDATE SET version = excluded.version, sha256 = excluded.sha256, data = excluded.data""",
        ((table.name, *row) for row in rows),
    )


def forget(tx: sqlite3.Connection, table: PulledTable, ids: Iterable[str]) -> None:
    """The server no longer has these rows: they are out of use here, and no longer compared."""
    if table.name == "central_decisions":
        sql = "DELETE FROM central_decisions WHERE id = ?"
    elif table.is_kept_whole:
        sql = f"DELETE FROM pulled_rows WHERE table_name = '{table.name}' AND row_id = ?"
    else:
        sql = f"UPDATE {table.name} SET is_active = 0, row_sha256 = NULL WHERE {table.key} = ?"
    tx.executemany(sql, ((one,) for one in ids))


def pulled_ids(reader: sqlite3.Connection, table: PulledTable) -> set[str]:
    return {row_id for row_id, _ in pulled_sha256s(reader, table)}


def pulled_sha256s(reader: sqlite3.Connection, table: PulledTable) -> Iterator[tuple[str, str]]:
    """(id, sha256) of every row as it came."""
    sql = f"SELECT {table.key}, row_sha256 FROM {table.name} WHERE row_sha256 IS NOT NULL"
    if table.is_kept_whole:
        sql = f"SELECT row_id, sha256 FROM pulled_rows WHERE table_name = '{table.name}'"
    return ((row[0], row[1]) for row in reader.execute(sql))


def pulled_data(reader: sqlite3.Connection, table: PulledTable) -> dict[str, dict[str, Any]]:
    """The wire rows of a table that is kept whole, by id."""
    sql = "SELECT row_id, data FROM pulled_rows WHERE table_name = ?"
    return {row[0]: json.loads(row[1]) for row in reader.execute(sql, (table.name,))}


def present(
    reader: sqlite3.Connection, table: PulledTable, ids: Sequence[str] | None = None
) -> Iterator[tuple[tuple[Any, ...], str | None]]:
    """The rows as they stand here (wire columns in order) and the sha256 each came with, None if it never did.

    `ids` None: every row that came from the server and is not gone there.
    """
    where = "row_sha256 IS NOT NULL" if ids is None else f"{table.key} IN (SELECT value FROM json_each(?))"
    args = () if ids is None else (json.dumps(list(ids)),)
    rows = reader.cursor()
    rows.row_factory = None
    sql = f"SELECT {', '.join(table.columns)}, row_sha256 FROM {table.name} WHERE {where}"
    return ((row[:-1], row[-1]) for row in rows.execute(sql, args))


def is_bare(reader: sqlite3.Connection, table: PulledTable) -> bool:
    """Whether the table has no row at all, so that nothing can be in a new row's way."""
    return reader.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone() is None


def holders(
    reader: sqlite3.Connection, table: PulledTable, names: tuple[str, ...], values: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """(id, values) of the rows that hold one of these combinations of unique columns."""
    wanted = " AND ".join(f"t.{name} = v.value ->> {place}" for place, name in enumerate(names))
    sql = f"""SELECT t.{table.key}, {", ".join(f"t.{name}" for name in names)}
              FROM json_each(?) v CROSS JOIN {table.name} t ON {wanted}"""
    for row in reader.execute(sql, (json.dumps([list(one) for one in values]),)):
        yield row[0], tuple(row)[1:]


def give_way(tx: sqlite3.Connection, table: PulledTable, names: tuple[str, ...], ids: Iterable[str]) -> None:
    """Takes a unique value from rows that stand where another row must go: the name gets the id appended."""
    name = names[-1]
    value = "NULL" if name == "email" else f"{name} || '~' || {table.key}"
    sql = f"UPDATE {table.name} SET {name} = {value} WHERE {table.key} = ?"
    tx.executemany(sql, ((one,) for one in ids))


def add_conflict(
    tx: sqlite3.Connection,
    entity: tuple[str, str],
    local: str,
    server: str,
    reason: str,
    new: tuple[str, str],
) -> None:
    """The server's row was kept, ours is shown to a person. `entity` (table, id); `new` (id, created_at)."""
    tx.execute(
        """INSERT INTO conflict_log (id, entity_type, entity_id, kept, local_data, server_data, reason, created_at)
           VALUES (?, ?, ?, 'server', ?, ?, ?, ?)""",
        (new[0], *entity, local, server, reason, new[1]),
    )


# ── what the rows refer to ──────────────────────────────────────────────────────────────────────────────


def missing(reader: sqlite3.Connection, table: PulledTable, ids: Iterable[str]) -> set[str]:
    """Those of the ids of which there is no row here."""
    sql = f"""SELECT value FROM json_each(?) wanted
              WHERE NOT EXISTS (SELECT 1 FROM {table.name} WHERE {table.key} = wanted.value)"""
    return {row[0] for row in reader.execute(sql, (json.dumps(list(ids)),))}


def items_of_pipelines(reader: sqlite3.Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The active items that these pipelines judge."""
    sql = """SELECT * FROM inspection_items_master
             WHERE is_active = 1 AND pipeline_id IN (SELECT value FROM json_each(?))"""
    return [dict(row) for row in reader.execute(sql, (json.dumps(list(ids)),))]
