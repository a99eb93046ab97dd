"""Bringing a database to this program's schema.

Rules of this file:
- A migration is a numbered SQL file; all that are missing are applied in one transaction under an advisory lock,
  so any number of instances may start at once: one migrates, the others wait and find nothing to do.
- A file is never edited after a release: its sha256 is kept, and another one is refused. So is a newer database.
- `schema/postgresql.sql` is the sum of all migrations; a test proves it.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import psycopg

from central_server.errors import Unavailable
from central_server.store.database import LOWEST_VERSION, OPTIONS, mapped_errors, require_url
from sync_protocol.canonical import sha256_hex

LOCK = "imageflowcanvas.migrations"
MONTHS_BACK, MONTHS_AHEAD = 2, 3


def schema_dir() -> Path:
    """Where the SQL files lie: inside the installed package, or at the top of a source checkout."""
    packaged = Path(str(files("central_server"))) / "schema"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "schema"


def migrations() -> dict[str, str]:
    """Name → SQL of every migration this program knows, in order."""
    paths = sorted(schema_dir().glob("migrations/postgresql/*.sql"))
    return {path.stem: path.read_text("utf-8") for path in paths}


def migrate(url: str) -> list[str]:
    """Applies what is missing, makes the months' partitions, and returns the names of what it applied.

    Raises Unavailable (`database-newer`, `database-changed`, `database-unavailable`).
    """
    require_url(url)
    with mapped_errors(), psycopg.connect(url, options=OPTIONS) as tx:
        _require_version(tx.info.server_version)
        tx.execute("SET LOCAL lock_timeout = 0")  # another instance may be migrating a large database
        tx.execute("SET LOCAL statement_timeout = 0")
        tx.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (LOCK,))
        known = migrations()
        applied = _applied(tx)
        _require_ours(applied, known)
        pending = [name for name in known if name not in applied]
        for name in pending:
            _apply(tx, name, known[name])
        make_partitions(tx)
        return pending


def make_partitions(tx: psycopg.Connection[tuple[object, ...]]) -> int:
    """Makes the partitions of the last, this and the next months; run daily. Returns how many it made."""
    sql = """SELECT make_partitions((now() - make_interval(months => %s))::date,
                                    (now() + make_interval(months => %s))::date)"""
    row = tx.execute(sql, (MONTHS_BACK, MONTHS_AHEAD)).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def _applied(tx: psycopg.Connection[tuple[object, ...]]) -> dict[str, str]:
    tx.execute("""CREATE TABLE IF NOT EXISTS schema_migrations (
        name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())""")
    rows = tx.execute("SELECT name, sha256 FROM schema_migrations").fetchall()
    return {str(name): str(sha256) for name, sha256 in rows}


def _apply(tx: psycopg.Connection[tuple[object, ...]], name: str, sql: str) -> None:
    tx.execute(sql.encode())
    tx.execute(
        "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)", (name, sha256_hex(sql.encode()))
    )


def _require_version(version: int) -> None:
    if version < LOWEST_VERSION:
        raise Unavailable(
            "database-unavailable",
            f"PostgreSQL {version // 10000} is too old.",
            hint=f"Use PostgreSQL {LOWEST_VERSION // 10000} or later.",
        )


def _require_ours(applied: dict[str, str], known: dict[str, str]) -> None:
    if unknown := sorted(applied.keys() - known.keys()):
        raise Unavailable(
            "database-newer",
            f"This database was migrated by a newer version of the server (it has {', '.join(unknown)}).",
            hint="Install that version or a later one; this one left the database untouched.",
        )
    changed = sorted(name for name, sha256 in applied.items() if sha256_hex(known[name].encode()) != sha256)
    if changed:
        raise Unavailable(
            "database-changed",
            f"The database was migrated with other files than these: {', '.join(changed)}.",
            hint="Install the released version again; a migration is never edited.",
        )
