"""Opening the store: create, migrate, or refuse with a reason.

Rules of this file:
- A migration is a numbered SQL file; it and its record are one transaction (sqlite-utils). A file is never
  edited after a release; `schema/sqlite.sql` is the sum of them and a test proves it.
- A database newer than the program is refused, a damaged one reported: neither is touched.
"""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.clock import Clock
from edge_agent.errors import Damaged, Unavailable
from edge_agent.store.database import Database, Identity, connect_writer, mapped_errors

if TYPE_CHECKING:
    from sqlite_utils import Database as UtilsDatabase
    from sqlite_utils.migrations import Migrations

MIGRATION_SET = "edge"
UUID7 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def schema_dir() -> Path:
    """Where the SQL files lie: inside the installed package, or at the top of a source checkout."""
    packaged = Path(str(files("edge_agent"))) / "schema"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "schema"


def migrations() -> dict[str, str]:
    """Name → SQL of every migration this program knows, in order."""
    return {
        path.stem: path.read_text("utf-8") for path in sorted(schema_dir().glob("migrations/sqlite/*.sql"))
    }


def open_database(path: Path, clock: Clock, device_type: str, app_version: str) -> Database:
    """The migrated, checked, open store at `path`; made when it does not exist.

    Raises Damaged (quick check), Unavailable (`database-newer`, unwritable, not a local disk).
    """
    with mapped_errors():
        path.touch(mode=0o600) if not path.exists() else None
        with closing(connect_writer(path)) as connection:
            quick_check(connection)
            migrate(connection)
            if newest := newest_id(connection):
                clock.continue_after(newest)
            identity = Identity(_device_id(connection, clock), device_type, app_version)
    return Database(path, clock, identity)


def quick_check(connection: sqlite3.Connection, pragma: str = "quick_check") -> None:
    """Raises Damaged with SQLite's first complaints when the file is not sound."""
    complaints = [row[0] for row in connection.execute(f"PRAGMA {pragma}(5)")]
    if complaints != ["ok"]:
        raise Damaged(
            f"The database file is damaged: {'; '.join(complaints)}",
            code="database-damaged",
            hint="Delete nothing. Run `edge-agent restore` with the newest backup; the images are kept.",
        )


def migrate(connection: sqlite3.Connection) -> list[str]:
    """Applies what is missing and returns its names. Raises Unavailable when the database is newer."""
    known = migrations()
    applied = applied_migrations(connection)
    if unknown := sorted(applied - known.keys()):
        raise Unavailable(
            f"This database was written by a newer version of the agent (it has {', '.join(unknown)}).",
            code="database-newer",
            hint="Install that version or a later one; this one left the database untouched.",
        )
    pending = [name for name in known if name not in applied]
    if pending:
        _apply(connection, {name: known[name] for name in pending})
    return pending


def applied_migrations(connection: sqlite3.Connection) -> set[str]:
    table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone()
    if table is None:
        return set()
    rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (MIGRATION_SET,))
    return {row[0] for row in rows}


def schema_objects(connection: sqlite3.Connection) -> dict[str, str]:
    """Name → SQL, without comments and white space, of every table, index and trigger that is ours."""
    rows = connection.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {
        name: re.sub(r"\s", "", re.sub(r"--[^\n]*", "", sql))
        for name, table, sql in rows
        if not table.startswith(("_sqlite_", "sqlite_"))
    }


def pristine() -> sqlite3.Connection:
    """An empty database in memory with the schema this program expects; the caller closes it."""
    connection = sqlite3.connect(":memory:")
    for sql in migrations().values():
        connection.executescript(sql)
    return connection


def newest_id(reader: sqlite3.Connection) -> str:
    """The highest id this device has drawn for a record; '' in an empty store."""
    columns = {
        "inspection_targets": "id",
        "inspection_sessions": "id",
        "inspection_images": "id",
        "ai_inspection_results": "id",
        "human_verification_results": "id",
        "sync_queue": "op_id",
    }
    highest = [
        reader.execute(f"SELECT max({name}) FROM {table}").fetchone()[0] for table, name in columns.items()
    ]
    return max((str(value) for value in highest if value and UUID7.fullmatch(value)), default="")


def _apply(connection: sqlite3.Connection, pending: dict[str, str]) -> None:
    from sqlite_utils import Database as UtilsDatabase
    from sqlite_utils.migrations import Migrations

    todo = Migrations(MIGRATION_SET)
    for name, sql in pending.items():
        _register(todo, name, sql)
    todo.apply(UtilsDatabase(connection))


def _register(todo: Migrations, name: str, sql: str) -> None:
    @todo(name=name)
    def run(db: UtilsDatabase) -> None:
        for statement in statements(sql):
            db.execute(statement)


def statements(sql: str) -> list[str]:
    """The single statements of a script (`executescript` would commit the open transaction)."""
    found, start = [], 0
    for position, character in enumerate(sql):
        if character == ";" and sqlite3.complete_statement(sql[start : position + 1]):
            found.append(sql[start : position + 1].strip())
            start = position + 1
    return found


def _device_id(connection: sqlite3.Connection, clock: Clock) -> str:
    """This installation's identity: drawn once, kept in system_config."""
    connection.execute(
        "INSERT OR IGNORE INTO system_config (key, value, updated_at) VALUES ('device.id', ?, ?)",
        (json.dumps(clock.new_id()), clock.now()),
    )
    row = connection.execute("SELECT value FROM system_config WHERE key = 'device.id'").fetchone()
    return str(json.loads(row[0]))
