"""Hours: they are the factory's, every finished session counts in one, and a day's hours make the day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge_agent.inspection.statistics import agreement, yields
from edge_agent.store.hours import hour_of, session_hours, verdict_hours
from edge_agent.store.statistics import StatisticsFilter, session_counts, verdict_counts
from tests.store_factory import Store

TOKYO = ZoneInfo("Asia/Tokyo")
STARTS = {
    "2026-11-22T15:05:00.000Z": ("2026-11-23", "COMPLETED", "OK"),
    "2026-11-22T15:55:00.000Z": ("2026-11-23", "COMPLETED", "NG"),
    "2026-11-23T00:10:00.000Z": ("2026-11-23", "CANCELLED", None),
    "2026-11-23T00:20:00.000Z": ("2026-11-23", "IN_PROGRESS", None),
    "2026-11-23T14:59:00.000Z": ("2026-11-23", "COMPLETED", "OK"),
    "2026-11-23T15:00:00.000Z": ("2026-11-24", "COMPLETED", "OK"),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    made.add_masters()
    for started_at, (day, status, result) in STARTS.items():
        session_id = made.add_session()
        with made.database.write(local=False) as tx:
            tx.execute(
                "UPDATE inspection_sessions SET started_at = ?, work_day = ? WHERE id = ?",
                (started_at, day, session_id),
            )
        if status != "IN_PROGRESS":
            made.move(session_id, status, result)
    yield made
    made.close()


def test_sessions_count_in_the_factory_s_hour_and_the_hours_make_the_day(store: Store) -> None:
    day = date(2026, 11, 23)
    with store.database.read() as reader:
        hours = session_hours(reader, (day, day), TOKYO, StatisticsFilter())
        whole = session_counts(reader, StatisticsFilter("2026-11-23", "2026-11-23"), ())
    found = {(one.group[0][11:13], one.status, one.final_result): one.session_count for one in hours}
    assert found == {
        ("00", "COMPLETED", "OK"): 1,
        ("00", "COMPLETED", "NG"): 1,
        ("09", "CANCELLED", ""): 1,
        ("23", "COMPLETED", "OK"): 1,
    }
    by_hour, by_day = yields(hours), yields(whole)
    assert (by_hour.completed, by_hour.ok, by_hour.ng) == (by_day.completed, by_day.ok, by_day.ng)
    assert by_hour.mean_cycle_s == pytest.approx(by_day.mean_cycle_s)


def test_only_what_is_asked_for_counts(store: Store) -> None:
    day = date(2026, 11, 23)

    def found(**wanted: Any) -> int:
        with store.database.read() as reader:
            return len(session_hours(reader, (day, day), TOKYO, StatisticsFilter(**wanted)))

    assert found(product_id="other") == found(user_id=99) == 0
    assert found(product_id="plate", user_id=1) == found() == 4


def test_what_nobody_inspected_is_asked_for_as_user_0(store: Store) -> None:
    day, nobody = date(2026, 11, 23), StatisticsFilter("2026-11-23", "2026-11-23", user_id=0)
    with store.database.write(local=False) as tx:
        tx.execute("UPDATE inspection_sessions SET user_id = NULL WHERE final_result = 'NG'")
    with store.database.read() as reader:
        by_hour = session_hours(reader, (day, day), TOKYO, nobody)
        by_day = session_counts(reader, nobody, ())
    assert [one.session_count for one in by_hour] == [one.session_count for one in by_day] == [1]


def test_verdicts_count_in_the_hour_of_their_session_and_the_hours_make_the_day(store: Store) -> None:
    day, wanted = date(2026, 11, 23), StatisticsFilter("2026-11-23", "2026-11-23", product_id="plate")
    with store.database.read() as reader:
        starts = dict(reader.execute("SELECT started_at, id FROM inspection_sessions").fetchall())
    for started_at, ai, human in (
        ("2026-11-22T15:05:00.000Z", "NG", "OK"),
        ("2026-11-22T15:55:00.000Z", "OK", "NG"),
        ("2026-11-23T14:59:00.000Z", "OK", "OK"),
        ("2026-11-23T15:00:00.000Z", "OK", "OK"),
    ):
        image_id = store.add_image(starts[started_at])
        store.add_ai_result(starts[started_at], image_id, ai)
        store.add_verification(starts[started_at], "plate-face", human)
    with store.database.read() as reader:
        hours = verdict_hours(reader, (day, day), TOKYO, wanted)
        whole = verdict_counts(reader, wanted, ())
        assert verdict_hours(reader, (day, day), TOKYO, StatisticsFilter(item_id="other")) == []
    found = {(one.group[0][11:13], one.ai_result, one.human_result): one.verdict_count for one in hours}
    assert found == {("00", "NG", "OK"): 1, ("00", "OK", "NG"): 1, ("23", "OK", "OK"): 1}
    assert agreement(hours) == agreement(whole)


def test_an_hour_begins_where_the_zone_says() -> None:
    assert hour_of(quarter("2026-11-23T00:30Z"), ZoneInfo("Asia/Kathmandu")) == "2026-11-23 06:00"
    assert hour_of(quarter("2026-11-22T15:00Z"), TOKYO) == "2026-11-23 00:00"


def quarter(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp()) // 900
