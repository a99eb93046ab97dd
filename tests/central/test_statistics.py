"""The counts are what counting the facts gives: random histories, whatever comes late, twice or superseded."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from central_server.store import recounts
from central_server.store.database import Database
from central_server.store.folding import fold_counts
from central_server.store.statistics import (
    NOBODY,
    GroupBy,
    Span,
    StatisticsFilter,
    reason_counts,
    session_counts,
    spans,
    verdict_counts,
)
from tests.central.devices import CLOCK, undone
from tests.central.plant import DAYS, ITEMS, NOON, PEOPLE, PRODUCTS, Plant, verification

# ── counted by hand ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Verdict:
    device: str
    product: str
    item: str
    day: date
    ai: str
    human: str
    person: str
    weight: float
    seconds: float
    reason: str


def verdicts(plant: Plant) -> Iterator[Verdict]:
    """The present verdict of every item, from all that the devices made."""
    rows = plant.rows
    keys = {
        (row["session_id"], row["item_id"])
        for table in ("ai_inspection_results", "human_verification_results")
        for row in rows.get(table, {}).values()
        if row["item_id"] is not None
    }
    for session_id, item in sorted(keys):
        session = rows["inspection_sessions"][session_id]
        ai = [
            row
            for row in rows["ai_inspection_results"].values()
            if (row["session_id"], row["item_id"]) == (session_id, item)
        ]
        human = [
            row
            for row in rows["human_verification_results"].values()
            if (row["session_id"], row["item_id"]) == (session_id, item)
        ]
        last = max(ai, key=lambda row: (row["image_id"], row["id"])) if ai else None
        said = max(human, key=lambda row: str(row["id"])) if human else None
        yield Verdict(
            plant.owner[session_id],
            session["product_id"],
            item,
            date.fromisoformat(session["work_day"]),
            last["overall_result"] if last else "",
            said["final_result"] if said else "",
            said["user_server_id"] if said else NOBODY,
            (last["sample_weight"] or 1.0) if last else 1.0,
            said["verification_time"] if said else 0.0,
            (said["reason_code"] or "") if said else "",
        )


def is_wanted(wanted: StatisticsFilter, day: date, **values: str) -> bool:
    in_time = (wanted.since_day or date.min) <= day <= (wanted.until_day or date.max)
    return in_time and all(getattr(wanted, name) in (None, value) for name, value in values.items())


def group_of(
    group_by: GroupBy | None, day: date, product: str, item: str, person: str, device: str
) -> tuple[str, ...]:
    names = {
        "day": day.isoformat(),
        "month": day.isoformat()[:7],
        "product": product,
        "item": item,
        "inspector": person,
        "device": device,
    }
    return (names[group_by],) if group_by else ()


def counted_verdicts(plant: Plant, wanted: StatisticsFilter, group_by: GroupBy | None) -> dict[Any, Any]:
    found: dict[Any, list[float]] = {}
    for one in verdicts(plant):
        ids = {"product_id": one.product, "item_id": one.item, "user_id": one.person, "device_id": one.device}
        if is_wanted(wanted, one.day, **ids):
            group = group_of(group_by, one.day, one.product, one.item, one.person, one.device)
            sums = found.setdefault((group, one.ai, one.human), [0, 0.0, 0.0])
            sums[0] += 1
            sums[1] += one.weight
            sums[2] += one.seconds
    return {key: pytest.approx(tuple(sums)) for key, sums in found.items()}


def counted_sessions(plant: Plant, wanted: StatisticsFilter, group_by: GroupBy | None) -> dict[Any, Any]:
    found: dict[Any, list[float]] = {}
    for session_id, row in plant.rows["inspection_sessions"].items():
        day, device = date.fromisoformat(row["work_day"]), plant.owner[session_id]
        person = row["user_server_id"] or NOBODY
        ids = {"product_id": row["product_id"], "user_id": person, "device_id": device}
        if row["status"] not in ("COMPLETED", "CANCELLED", "FAILED") or not is_wanted(wanted, day, **ids):
            continue
        group = group_of(group_by, day, row["product_id"], "", person, device)
        sums = found.setdefault((group, row["status"], row["final_result"] or ""), [0, 0.0])
        sums[0] += 1
        sums[1] += float(row["completed_at"][14:16]) * 60
    return {key: pytest.approx(tuple(sums)) for key, sums in found.items()}


# ── the history ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=[1, 2])
def plant(request: pytest.FixtureRequest, database: Database) -> Plant:
    """Three devices that push at the same time, in a database that holds nothing else; once all counts are still to be
    folded in, once most of them are."""
    seed = request.param
    with database.write() as tx:
        for table in ("inspection_sessions", "ai_inspection_results", "human_verification_results"):
            tx.execute(f"DELETE FROM {table}".encode())
        recounts.rebuild(tx)
    made = Plant(random.Random(seed), database, [CLOCK.new_id() for _ in range(3)])
    for device in made.devices:
        with database.write() as tx:
            sql = """INSERT INTO devices (device_id, device_type, app_version, token_sha256)
                     VALUES (%s, 'tablet', '', %s)"""
            tx.execute(sql, (device, device))
    histories = {device: [op for _ in range(25) for op in made.inspection(device)] for device in made.devices}
    senders = [
        threading.Thread(
            target=replace(made, random=random.Random(f"{seed}{device}")).send, args=(device, ops)
        )
        for device, ops in histories.items()
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        if seed == 2:
            fold_counts(database)
        sender.join()
    return made


FILTERS = [
    StatisticsFilter(),
    StatisticsFilter(since_day=DAYS[3], until_day=DAYS[-4]),
    StatisticsFilter(since_day=date(2026, 2, 1), until_day=date(2026, 2, 28)),
    StatisticsFilter(since_day=date(2026, 2, 10), until_day=date(2026, 2, 20)),
    StatisticsFilter(since_day=date(2026, 3, 1)),
    StatisticsFilter(product_id=PRODUCTS[0]),
    StatisticsFilter(item_id=ITEMS[PRODUCTS[1]][0], until_day=date(2026, 3, 2)),
    StatisticsFilter(user_id=PEOPLE[0]),
    StatisticsFilter(user_id=NOBODY, product_id=PRODUCTS[1]),
]
GROUPS: list[GroupBy | None] = [None, "day", "month", "product", "item", "inspector", "device"]


@pytest.mark.parametrize("group_by", GROUPS)
def test_verdicts_are_counted_as_by_hand(database: Database, plant: Plant, group_by: GroupBy | None) -> None:
    assert len(plant.rows["ai_inspection_results"]) > 100
    for wanted in (*FILTERS, StatisticsFilter(device_id=plant.devices[0])):
        with database.snapshot() as tx:
            rows = verdict_counts(tx, wanted, (group_by,) if group_by else ())
        found = {
            (row.group, row.ai_result, row.human_result): (
                row.verdict_count,
                row.weight_sum,
                row.verification_time_s,
            )
            for row in rows
        }
        assert found == counted_verdicts(plant, wanted, group_by)


@pytest.mark.parametrize("group_by", [group for group in GROUPS if group != "item"])
def test_sessions_are_counted_as_by_hand(database: Database, plant: Plant, group_by: GroupBy | None) -> None:
    for wanted in (*FILTERS, StatisticsFilter(device_id=plant.devices[1])):
        if wanted.item_id is None:
            with database.snapshot() as tx:
                rows = session_counts(tx, wanted, (group_by,) if group_by else ())
            found = {
                (row.group, row.status, row.final_result): (row.session_count, row.cycle_time_s)
                for row in rows
            }
            assert found == counted_sessions(plant, wanted, group_by)


def test_reasons_are_counted_as_by_hand(database: Database, plant: Plant) -> None:
    for wanted in FILTERS:
        with database.snapshot() as tx:
            found = [tuple(one) for one in reason_counts(tx, wanted)]
        counted: Counter[str] = Counter()
        for one in verdicts(plant):
            ids = {
                "product_id": one.product,
                "item_id": one.item,
                "user_id": one.person,
                "device_id": one.device,
            }
            if one.human == "NG" and is_wanted(wanted, one.day, **ids):
                counted[one.reason] += 1
        assert found == sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))


# ── counting again ──────────────────────────────────────────────────────────────────────────────────────


def test_counting_again_finds_nothing_wrong(database: Database, plant: Plant) -> None:
    with database.snapshot() as tx:
        assert recounts.count_faults(tx) == []


def test_counting_a_year_again_may_take_its_time(database: Database, plant: Plant) -> None:
    """Unlike a device's request: a limit on statements would keep a person from ever proving the counts."""
    with database.snapshot() as tx:
        tx.execute("SET LOCAL statement_timeout = 1")
        assert recounts.count_faults(tx) == []


MANY = (
    """INSERT INTO inspection_sessions
           (id, target_id, user_id, status, started_at, product_id, work_day, source, accept_ai_ok, master_version,
            criteria_snapshot, version, updated_at, device_id, insert_sha256, row_sha256)
       SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'COMPLETED', now(), gen_random_uuid(),
              '2026-02-01', 'manual', false, '1', '{}', 1, now(), 'many-' || n % 50, '', ''
       FROM generate_series(1, 5000) AS n""",
    """INSERT INTO human_verification_results
           (id, session_id, user_id, final_result, verification_time, created_at, item_id, saw_ai, device_id,
            row_sha256)
       SELECT gen_random_uuid(), id, user_id, 'NG', 1, now(), gen_random_uuid(), false, device_id, ''
       FROM inspection_sessions WHERE device_id LIKE 'many-%'""",
    "ANALYZE",
)


@pytest.mark.parametrize("table", recounts.COMPARISONS)
def test_counting_again_does_not_compare_every_verdict_with_every_session(
    database: Database, table: str
) -> None:
    with undone(database) as tx:
        tx.execute("SET LOCAL session_replication_role = replica")
        for sql in MANY:
            tx.execute(sql)
        row: Any = tx.execute(f"EXPLAIN (FORMAT JSON) {recounts.COMPARISONS[table]}".encode()).fetchone()
        assert not [node for node in nodes(row[0][0]["Plan"]) if "Join Filter" in node]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE verdict_counts SET verdict_count = verdict_count + 1 WHERE grain = 'M' AND level = 0",
        "DELETE FROM session_counts WHERE ctid = (SELECT min(ctid) FROM session_counts WHERE session_count > 0)",
        "UPDATE reason_counts SET reason_code = 'other' WHERE reason_code = 'dent'",
        """INSERT INTO session_counts
           SELECT 'D', 0, false, '2031-01-01', 'd', gen_random_uuid(), gen_random_uuid(), '', '', 1, 0""",
        "UPDATE item_verdicts SET human_result = 'OK' WHERE human_result = 'NG'",
    ],
)
def test_a_wrong_count_is_found_and_mended(database: Database, plant: Plant, damage: str) -> None:
    with undone(database) as tx:  # the other tests see it as it was
        tx.execute("SELECT fold_counts(NULL)")
        tx.execute(damage.encode())
        assert recounts.count_faults(tx)
        recounts.rebuild(tx)
        assert recounts.count_faults(tx) == []


def test_two_people_at_two_devices_judge_one_session(url: str, database: Database, plant: Plant) -> None:
    """The counts stay the session's device's, and the newest judgement holds whoever sends first."""
    session_id = next(iter(plant.rows["inspection_sessions"]))
    home = plant.owner[session_id]
    other = next(device for device in plant.devices if device != home)
    item = ITEMS[plant.rows["inspection_sessions"][session_id]["product_id"]][0]
    pick = random.Random(5)
    rows = [
        verification(session_id, item, PEOPLE[0], result, pick, f"2026-02-01{NOON}")
        for result in ("NG", "OK")
    ]
    for device, row in ((home, rows[1]), (other, rows[0])):
        plant.send(device, [plant.op(device, "human_verification_results", row)])
    with psycopg.connect(url) as connection:
        sql = "SELECT human_result, device_id FROM item_verdicts WHERE session_id = %s AND item_id = %s"
        assert connection.execute(sql, (session_id, item)).fetchall() == [("OK", home)]
    with database.snapshot() as tx:
        assert recounts.count_faults(tx) == []


# ── periods ─────────────────────────────────────────────────────────────────────────────────────────────

SOME_DAY = st.dates(date(2023, 12, 1), date(2026, 2, 28))


@given(since=SOME_DAY, until=SOME_DAY, by_day=st.booleans())
def test_spans_cover_each_day_once(since: date, until: date, by_day: bool) -> None:
    covered: Counter[date] = Counter()
    for span in spans(since, until, by_day=by_day):
        assert span.grain == "D" or not by_day
        day = span.low
        while day <= span.high:
            length = 1
            if span.grain == "M":
                assert day.day == 1
                length = ((day + timedelta(31)).replace(day=1) - day).days
            for number in range(length):
                covered[day + timedelta(number)] += span.sign
            day += timedelta(length)
    wanted = {since + timedelta(n): 1 for n in range(max(0, (until - since).days + 1))}
    assert {day: times for day, times in covered.items() if times} == wanted


def test_spans_without_an_end_are_months() -> None:
    assert spans(None, None, by_day=False) == [Span("M", date.min, date(9999, 12, 1))]
    assert spans(date(2026, 2, 3), None, by_day=False) == [
        Span("M", date(2026, 3, 1), date(9999, 12, 1)),
        Span("M", date(2026, 2, 1), date(2026, 2, 1)),
        Span("D", date(2026, 2, 1), date(2026, 2, 2), -1),
    ]
    assert spans(None, date(2026, 2, 3), by_day=False) == [
        Span("M", date.min, date(2026, 1, 1)),
        Span("D", date(2026, 2, 1), date(2026, 2, 3)),
    ]
