"""The one writing connection: who has it, and who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.clock import Clock
from edge_agent.store import settings
from edge_agent.store.database import Database
from edge_agent.store.schema import open_database

FOR_EVER_S = 600.0
NOW = "2026-11-23T00:00:00.000Z"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(open_database(tmp_path / "edge.db", Clock(), "desktop", "test")) as opened:
        yield opened


def test_a_transaction_lingers_until_what_it_waits_for_is_done(database: Database) -> None:
    awaited: Future[str] = Future()
    with database.write() as tx:
        settings.put(tx, "before", {}, NOW)
        setter = threading.Thread(target=awaited.set_result, args=("verdict",))
        setter.start()
        database.linger(awaited, FOR_EVER_S)
        settings.put(tx, "after", {"value": awaited.result(0)}, NOW)
    setter.join()
    with database.read() as reader:
        assert settings.get(reader, "after") == {"value": "verdict"}


def test_a_transaction_that_lingers_lets_the_next_one_through(database: Database) -> None:
    def write() -> None:
        with database.write() as tx:
            settings.put(tx, "second", {}, NOW)

    never: Future[str] = Future()
    with database.write() as tx:
        settings.put(tx, "first", {}, NOW)
        other = threading.Thread(target=write)
        other.start()
        database.linger(never, FOR_EVER_S)
        assert other.is_alive()
        database.linger(never, FOR_EVER_S)  # somebody still waits
    other.join()
    with database.write():
        database.linger(never, 0.0)  # nobody does, and there is no more patience
    with database.read() as reader:
        assert settings.get(reader, "first") == settings.get(reader, "second") == {}
