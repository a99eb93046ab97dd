"""The pool of connections when the database was away."""

from __future__ import annotations

import psycopg
import pytest

from central_server.errors import Unavailable
from central_server.store.database import Database
from central_server.store.migrations import migrate


def test_one_lost_connection_renews_the_others(url: str) -> None:
    database = Database(url, max_connections=2)
    database.open()
    with database.read() as one, database.read() as two:
        lost = [one.info.backend_pid, two.info.backend_pid]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid, 10000) FROM unnest(%s::int[]) AS pid", (lost,))
    with pytest.raises(Unavailable), database.read() as broken:
        broken.execute("SELECT 1")
    with database.write() as one, database.snapshot() as two:
        assert [each.execute("SELECT 1").fetchone() for each in (one, two)] == [(1,), (1,)]
    database.close()


def test_a_batch_is_whole_or_not_at_all(database: Database) -> None:
    with database.write() as tx:
        tx.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
    with pytest.raises(psycopg.errors.UniqueViolation), database.batch() as tx:
        tx.cursor().executemany("INSERT INTO notes VALUES (%s)", [(1,), (1,)])
    with database.batch() as tx:
        tx.execute("INSERT INTO notes VALUES (2)")
    with database.read() as reader:
        assert reader.execute("SELECT id FROM notes").fetchall() == [(2,)]


@pytest.mark.parametrize(
    "url",
    ["postgres//me:secret@host/db", "postgresql://me:secret word@host/db", "postgresql://host/db?secret=1"],
)
def test_an_address_that_is_none_is_not_quoted(url: str, caplog: pytest.LogCaptureFixture) -> None:
    for use in (Database, migrate):
        with pytest.raises(Unavailable) as caught:
            use(url)
        assert "secret" not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__} {caplog.text}"


def test_an_old_database_server_is_refused_untouched(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("central_server.store.migrations.LOWEST_VERSION", 990000)
    with pytest.raises(Unavailable, match="PostgreSQL 18 is too old") as caught:
        migrate(empty_url)
    assert (caught.value.code.code, caught.value.hint) == (
        ("database-unavailable", "Use PostgreSQL 99 or later.")
    )
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,)
