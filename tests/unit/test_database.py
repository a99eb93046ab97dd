"""The one writing connection: who has it, and who waits for it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.clock import Clock
from edge_agent.store import settings
from edge_agent.store.database import MAX_NUMBERED, Database, numbered
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


def test_operations_are_numbered_in_their_transactions_id() -> None:
    still = Clock(time=lambda: 1_700_000_000.0, random=bytes)
    ids = [
        numbered(tx_id, number)
        for tx_id in (still.new_id(), still.new_id())
        for number in (0, 7, MAX_NUMBERED - 1)
    ]
    assert len(set(ids)) == len(ids)
    assert all(str(uuid.UUID(op_id)) == op_id and uuid.UUID(op_id).version == 7 for op_id in ids)


def test_a_transaction_may_hold_more_operations_than_have_numbers(database: Database) -> None:
    sql = "WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT new_op_id() FROM n"
    with database.write() as tx:
        made = [op_id for (op_id,) in tx.execute(sql, (MAX_NUMBERED,))]
        assert len(set(made)) == len(made) == MAX_NUMBERED + 1
