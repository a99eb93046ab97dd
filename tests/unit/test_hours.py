"""Hours: they are the factory's, every finished session counts in one, and a day's hours make the day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge_agent.inspection.statistics import yields
from edge_agent.store.hours import hour_counts, hour_of
from edge_agent.store.statistics import StatisticsFilter, session_counts
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
        hours = hour_counts(reader, day, day, zone=TOKYO)
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
    with store.database.read() as reader:
        assert hour_counts(reader, day, day, zone=TOKYO, product_id="other") == []
        assert hour_counts(reader, day, day, zone=TOKYO, user_id=99) == []
        assert hour_counts(reader, day, day, zone=TOKYO, product_id="plate", user_id=1) != []


def test_an_hour_begins_where_the_zone_says() -> None:
    assert hour_of("2026-11-23T00:30", ZoneInfo("Asia/Kathmandu")) == "2026-11-23 06:00"
    assert hour_of("2026-11-22T15:00", TOKYO) == "2026-11-23 00:00"
