"""The pool of connections when the database was away."""

from __future__ import annotations

import psycopg
import pytest

from central_server.errors import Unavailable
from central_server.store.database import Database


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
    with pytest.raises(psycopg.errors.UniqueViolation), database.batch() as tx:  # noqa: PT012 - raised at its end
        tx.execute("INSERT INTO notes VALUES (1)")
        tx.execute("INSERT INTO notes VALUES (1)")
    with database.batch() as tx:
        tx.execute("INSERT INTO notes VALUES (2)")
    with database.read() as reader:
        assert reader.execute("SELECT id FROM notes").fetchall() == [(2,)]
