"""Lists: every mix of filters gives what it names, page by page, along one index and never past what is done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from edge_agent.models import SessionStatus
from edge_agent.store import results, sessions
from edge_agent.store.schema import pristine
from edge_agent.store.sessions import HistoryFilter
from tests.store_factory import Store

STATUSES = (SessionStatus.COMPLETED, SessionStatus.PENDING, SessionStatus.FAILED)
INSTANTS = tuple(f"2026-11-{day}T00:00:00.000Z" for day in (20, 21, 22))
MIXES = [
    HistoryFilter(product_id, user_id, status, since, until)
    for product_id, user_id, status, since, until in product(
        (None, "plate", "disc"), (None, 1), (None, *STATUSES), (None, INSTANTS[1]), (None, INSTANTS[2])
    )
]
SEARCHES = [replace(mix, text=text) for mix in MIXES[::5] for text in ("L1", "S1", "PLATE;S1", "S")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Sessions of two products, by a person or a folder, in three states, several at the same instant."""
    made = Store(tmp_path_factory.mktemp("lists"))
    made.add_masters()
    with made.database.write(local=False) as tx:
        tx.execute(
            "INSERT INTO inspection_targets_master SELECT 'disc', 'DISC', product_name, version, description, "
            "created_at, updated_at, created_by, is_active, row_version, row_sha256 "
            "FROM inspection_targets_master"
        )
    facts = list(product(("plate", "disc"), (1, None), STATUSES, INSTANTS)) * 2
    for of_product, user_id, status, started_at in facts:
        session_id = made.add_session(user_id=user_id)
        with made.database.write(local=False) as tx:
            tx.execute(
                "UPDATE inspection_sessions SET product_id = ?, status = ?, started_at = ? WHERE id = ?",
                (of_product, status, started_at, session_id),
            )
    with made.database.write(local=False) as tx:
        tx.execute(
            """UPDATE inspection_targets SET serial_no = 'S' || (rowid % 5), qr_code = 'PLATE;S' || (rowid % 5),
               batch_id = iif(rowid % 2, 'L1', '')"""
        )
    yield made
    made.close()


def wanted_ids(reader: sqlite3.Connection, wanted: HistoryFilter) -> list[str]:
    """Counted again, one by one."""
    rows = reader.execute(
        """SELECT s.*, t.serial_no, t.batch_id, t.qr_code FROM inspection_sessions s
           JOIN inspection_targets t ON t.id = s.target_id ORDER BY s.started_at DESC, s.id DESC"""
    )
    return [
        row["id"]
        for row in rows
        if wanted.product_id in (None, row["product_id"])
        and wanted.user_id in (None, row["user_id"])
        and wanted.status in (None, row["status"])
        and (wanted.since or row["started_at"]) <= row["started_at"]
        and (wanted.until is None or row["started_at"] < wanted.until)
        and wanted.text in (None, row["serial_no"], row["batch_id"] or None, row["qr_code"])
    ]


@pytest.mark.parametrize("wanted", [*MIXES, *SEARCHES])
def test_every_mix_of_filters_pages_through_what_it_names(store: Store, wanted: HistoryFilter) -> None:
    found: list[str] = []
    after: tuple[str, str] | None = None
    with store.database.read() as reader:
        while page := sessions.list_sessions(reader, wanted, after, 5):
            found += [one.id for one in page]
            after = page[-1].started_at, page[-1].id
        assert found == wanted_ids(reader, wanted)


@pytest.mark.parametrize("wanted", [*MIXES, *SEARCHES])
def test_of_sessions_named_those_are_listed_that_the_filters_let_through(
    store: Store, wanted: HistoryFilter
) -> None:
    with store.database.read() as reader:
        named = wanted_ids(reader, HistoryFilter())[::2]
        found = [one.id for one in sessions.list_named(reader, wanted, named)]
        assert found == [one for one in wanted_ids(reader, wanted) if one in named]


class Explaining(sqlite3.Connection):
    """Answers every query with nothing and keeps how it would be run."""

    plan: str = ""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        rows = super().execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        self.plan = "\n".join(row[3] for row in rows)
        return super().execute("SELECT 1 WHERE 0")


@pytest.fixture(scope="module")
def explaining() -> Iterator[Explaining]:
    with (
        closing(pristine()) as schema,
        closing(sqlite3.connect(":memory:", factory=Explaining)) as connection,
    ):
        schema.backup(connection)
        yield connection


@pytest.mark.parametrize("after", [None, (INSTANTS[1], "x")])
@pytest.mark.parametrize("wanted", MIXES)
def test_no_mix_of_filters_sorts_or_scans(
    explaining: Explaining, wanted: HistoryFilter, after: tuple[str, str] | None
) -> None:
    sessions.list_sessions(explaining, wanted, after, 50)
    assert "TEMP B-TREE" not in explaining.plan
    filtered = wanted != HistoryFilter() or after
    assert ("SCAN s" in explaining.plan) is not bool(filtered)


@pytest.mark.parametrize("wanted", SEARCHES)
def test_what_is_searched_for_is_found_by_its_text(explaining: Explaining, wanted: HistoryFilter) -> None:
    sessions.list_sessions(explaining, wanted, (INSTANTS[1], "x"), 50)
    assert [line for line in explaining.plan.splitlines() if line.startswith("SCAN")] == []
    for index in ("serial", "batch", "qr_code"):
        assert f"idx_inspection_targets_{index}" in explaining.plan


def test_what_waits_for_a_person_is_read_in_order(explaining: Explaining) -> None:
    results.reviews_of(explaining, ["a", "b"])
    assert "SEARCH v USING PRIMARY KEY" in explaining.plan
    results.review_list(explaining, None, 50)
    assert "idx_item_verdicts_review" in explaining.plan
    assert "TEMP B-TREE" not in explaining.plan


def test_the_review_list_forgets_what_was_given_up_and_a_late_verdict_does_not_come_back(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    store.add_masters()
    waiting, given_up = store.add_session(), store.add_session()
    for session_id in (given_up, waiting):
        store.add_ai_result(session_id, store.add_image(session_id), "NG")
    late = store.add_image(given_up)
    with store.database.read() as reader:
        assert [one.session_id for one in results.review_list(reader, None, 9)] == [given_up, waiting]
        assert [one.session_id for one in results.reviews_of(reader, [waiting])] == [waiting]
        store.move(given_up, "CANCELLED")
        assert results.reviews_of(reader, [given_up]) == []
        assert [one.session_id for one in results.review_list(reader, None, 9)] == [waiting]
        store.add_ai_result(given_up, late, "REVIEW")
        assert [one.session_id for one in results.review_list(reader, None, 9)] == [waiting]
    other = store.add_session(status="CANCELLED")
    store.add_ai_result(other, store.add_image(other), "ERROR")
    with store.database.read() as reader:
        assert [one.session_id for one in results.review_list(reader, None, 9)] == [waiting]
    store.close()
