"""Every statistic equals the same counts made again from the verdicts and sessions, whatever happened before."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import combinations, count
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.clock import Clock
from edge_agent.store import masters, recounts
from edge_agent.store.database import Database, insert
from edge_agent.store.schema import open_database
from edge_agent.store.statistics import (
    GroupBy,
    Span,
    StatisticsFilter,
    reason_counts,
    session_counts,
    spans,
    verdict_counts,
)

PRODUCTS, ITEMS = ("p1", "p2"), ("a", "b")
FIRST, DAYS = date(2025, 11, 20), 110  # over a year's end and two whole months
STAMP = "2026-11-23T00:00:00.000Z"
REASONS = (None, "scratch", "dent")


@dataclass(frozen=True)
class Verdict:
    """What happens to one item; `ai` and `human` in this order, a later human corrects."""

    ai: tuple[tuple[str, float | None], ...]
    human: tuple[tuple[str, int, str | None, float], ...]


@dataclass(frozen=True)
class Inspection:
    product: str
    user_id: int | None
    day: date
    verdicts: tuple[Verdict, Verdict]
    moves: tuple[tuple[str, str | None], ...]


verdicts = st.builds(
    Verdict,
    st.lists(
        st.tuples(st.sampled_from(["OK", "NG", "REVIEW", "ERROR"]), st.sampled_from([None, 20.0])), max_size=2
    ).map(tuple),
    st.lists(
        st.tuples(
            st.sampled_from(["OK", "NG", "HOLD"]),
            st.integers(1, 2),
            st.sampled_from(REASONS),
            st.sampled_from([1.5, 4.0]),
        ),
        max_size=3,
    ).map(tuple),
)
closings = st.sampled_from([("COMPLETED", "OK"), ("COMPLETED", "NG"), ("CANCELLED", None), ("FAILED", None)])
days = st.integers(0, DAYS - 1).map(lambda number: FIRST + timedelta(days=number))
inspections = st.builds(
    Inspection,
    st.sampled_from(PRODUCTS),
    st.sampled_from([None, 1, 2]),
    days,
    st.tuples(verdicts, verdicts),
    st.lists(closings, max_size=2).map(tuple),
)
ends = (
    st.none()
    | days.map(date.isoformat)
    | st.sampled_from(["2025-12-01", "2025-12-31", "2026-02-28", "0001-01-01"])
)
filters = st.builds(
    StatisticsFilter,
    ends,
    ends,
    st.sampled_from([None, *PRODUCTS, "unknown"]),
    st.sampled_from([None, "p1a", "p2b"]),
    st.sampled_from([None, 0, 1, 2, 99]),
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("counts") / "edge.db"
    stamps = {"created_at": STAMP, "updated_at": STAMP}
    with closing(open_database(path, Clock(), "desktop", "test")) as made, made.write(local=False) as tx:
        for name in ("mika", "sato"):
            insert(tx, "users", {"username": name, "password_hash": "", "server_id": name})
        for product in PRODUCTS:
            row = {"id": product, "product_code": product, "product_name": product, "version": "1", **stamps}
            masters.put(tx, "inspection_targets_master", row)
            for item in ITEMS:
                row = {
                    "id": product + item,
                    "target_id": product,
                    "item_code": item,
                    "item_name": item,
                    **stamps,
                }
                rest = {"inspection_type": "VISUAL", "criteria": "{}", "order_sequence": 1}
                masters.put(tx, "inspection_items_master", {**row, **rest})
    return path


@pytest.fixture
def paths(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A fresh copy of the store on every look."""
    return (Path(shutil.copy(template, tmp_path / f"{number}.db")) for number in count())


def play(database: Database, history: list[Inspection]) -> None:
    """All of it, item by item and step by step, through the tables the product writes."""
    with database.write(local=False) as tx:
        for number, one in enumerate(history):
            target = {
                "id": f"t{number}",
                "product_id": one.product,
                "product_code": one.product,
                "batch_id": "",
            }
            rest = {"qr_code": "", "created_at": STAMP, "updated_at": STAMP}
            insert(tx, "inspection_targets", {**target, **rest})
            session = {
                "id": f"s{number}",
                "target_id": f"t{number}",
                "user_id": one.user_id,
                "status": "IN_PROGRESS",
                "started_at": STAMP,
                "product_id": one.product,
                "work_day": one.day.isoformat(),
                "criteria_snapshot": "[]",
                "updated_at": STAMP,
            }
            insert(tx, "inspection_sessions", session)
            for item, verdict in zip(ITEMS, one.verdicts, strict=True):
                judge(tx, f"s{number}", one.product + item, verdict)
            for seconds, (status, final) in enumerate(one.moves, start=1):
                tx.execute(
                    "UPDATE inspection_sessions SET status = ?, final_result = ?, completed_at = ? WHERE id = ?",
                    (status, final, f"2026-11-23T00:00:0{seconds}.000Z", f"s{number}"),
                )


def judge(tx: Any, session_id: str, item_id: str, verdict: Verdict) -> None:
    at = {"session_id": session_id, "item_id": item_id, "created_at": STAMP}
    for number, (result, weight) in enumerate(verdict.ai):
        image_id = f"i{session_id}{item_id}{number}"
        picture = {"file_path": image_id, "file_size": 1, "sha256": image_id, "mime_type": "image/png"}
        size = {"width_px": 1, "height_px": 1, "captured_at": STAMP, "source": "upload"}
        insert(tx, "inspection_images", {"id": image_id, **at, **picture, **size})
        run = {"id": f"r{image_id}", "image_id": image_id, "overall_result": result, "sample_weight": weight}
        rest = {"confidence": 1, "processing_time": 0, "criteria_sha256": ""}
        insert(tx, "ai_inspection_results", {**at, **run, **rest})
    for number, (result, user_id, reason, seconds) in enumerate(verdict.human):
        said = {"id": f"h{session_id}{item_id}{number}", "user_id": user_id, "final_result": result}
        rest = {"reason_code": reason, "verification_time": seconds}
        insert(tx, "human_verification_results", {**at, **said, **rest})


# ── counted again, from what was played ─────────────────────────────────────────────────────────────────


def in_period(one: Inspection, wanted: StatisticsFilter) -> bool:
    day = one.day.isoformat()
    return (wanted.since_day or day) <= day <= (wanted.until_day or day)


def key_of(group_by: tuple[GroupBy, ...], facts: dict[str, str]) -> tuple[str, ...]:
    return tuple(facts[name] for name in group_by)


def expected_verdicts(
    history: list[Inspection], wanted: StatisticsFilter, group_by: tuple[GroupBy, ...]
) -> tuple[dict[Any, list[float]], Counter[tuple[str, str]]]:
    """(group, AI, human) → count, weight, seconds; and (reason, item) → NGs."""
    sums: dict[Any, list[float]] = defaultdict(lambda: [0, 0, 0])
    reasons: Counter[tuple[str, str]] = Counter()
    for one in history:
        for item, verdict in zip(ITEMS, one.verdicts, strict=True):
            if not (verdict.ai or verdict.human) or not in_period(one, wanted):
                continue
            ai, weight = verdict.ai[-1] if verdict.ai else ("", None)
            human, user, reason, seconds = verdict.human[-1] if verdict.human else ("", 0, None, 0.0)
            facts = {"product": one.product, "item": one.product + item, "inspector": str(user)}
            facts |= {"day": one.day.isoformat(), "month": one.day.isoformat()[:7]}
            asked = (
                wanted.product_id,
                wanted.item_id,
                None if wanted.user_id is None else str(wanted.user_id),
            )
            present = (facts["product"], facts["item"], facts["inspector"])
            if any(want is not None and want != have for want, have in zip(asked, present, strict=True)):
                continue
            cell = sums[key_of(group_by, facts), ai, human]
            cell[0] += 1
            cell[1] += weight or 1
            cell[2] += seconds
            if human == "NG":
                reasons[reason or "", facts["item"]] += 1
    return sums, reasons


def expected_sessions(
    history: list[Inspection], wanted: StatisticsFilter, group_by: tuple[GroupBy, ...]
) -> dict[Any, list[float]]:
    sums: dict[Any, list[float]] = defaultdict(lambda: [0, 0])
    for one in history:
        user = one.user_id or 0
        outside = wanted.product_id not in (None, one.product) or wanted.user_id not in (None, user)
        if not one.moves or outside or not in_period(one, wanted):
            continue
        facts = {"product": one.product, "inspector": str(user), "day": one.day.isoformat()}
        status, final = one.moves[-1]
        cell = sums[key_of(group_by, {**facts, "month": facts["day"][:7]}), status, final or ""]
        cell[0] += 1
        cell[1] += len(one.moves)  # each move comes a second later
    return sums


def groupings(*names: GroupBy) -> st.SearchStrategy[tuple[GroupBy, ...]]:
    return st.sampled_from([(), *((name,) for name in names), *combinations(names, 2)])


questions = st.tuples(
    filters,
    groupings("day", "month", "product", "item", "inspector"),
    groupings("day", "month", "product", "inspector"),
)


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(history=st.lists(inspections, max_size=12), asked=st.lists(questions, min_size=10, max_size=20))
def test_every_statistic_is_what_counting_again_gives(
    paths: Iterator[Path],
    history: list[Inspection],
    asked: list[tuple[StatisticsFilter, tuple[GroupBy, ...], tuple[GroupBy, ...]]],
) -> None:
    with closing(open_database(next(paths), Clock(), "desktop", "test")) as database:
        play(database, history)
        with database.read() as reader:
            assert list(recounts.count_faults(reader)) == []
            for wanted, of_verdicts, of_sessions in asked:
                sums, reasons = expected_verdicts(history, wanted, of_verdicts)
                assert {
                    (one.group, one.ai_result, one.human_result): [
                        one.verdict_count,
                        one.weight_sum,
                        one.verification_time_s,
                    ]
                    for one in verdict_counts(reader, wanted, of_verdicts)
                } == sums
                pareto = reason_counts(reader, wanted)
                assert {(reason, item): number for reason, item, number in pareto} == reasons
                assert [row[2] for row in pareto] == sorted(reasons.values(), reverse=True)
                whole = replace(wanted, item_id=None)
                assert {
                    (one.group, one.status, one.final_result): [
                        one.session_count,
                        pytest.approx(one.cycle_time_s, abs=0.01),
                    ]
                    for one in session_counts(reader, whole, of_sessions)
                } == expected_sessions(history, whole, of_sessions)


def test_what_was_inspected_has_a_number_that_survives_compaction(paths: Iterator[Path]) -> None:
    sql = "SELECT * FROM count_subjects ORDER BY number"
    look = Verdict((("OK", None),), ())
    history = [Inspection(product, 1, FIRST, (look, look), ()) for product in reversed(PRODUCTS)]
    opened = closing(open_database(next(paths), Clock(), "desktop", "test"))
    with opened as database:
        play(database, history)
        with database.maintenance() as connection:
            before = connection.execute(sql).fetchall()
            connection.execute("VACUUM")
            assert connection.execute(sql).fetchall() == before
    assert [tuple(row)[1:3] for row in before] == [
        (product, part and product + part) for product in reversed(PRODUCTS) for part in ("", *ITEMS)
    ]


def test_an_item_that_moved_to_another_product_counts_for_the_product_it_was_inspected_on(
    paths: Iterator[Path],
) -> None:
    look = Verdict((("OK", None),), ())
    one = Inspection("p1", 1, FIRST, (look, look), ())
    with closing(open_database(next(paths), Clock(), "desktop", "test")) as database:
        play(database, [one])
        with database.write() as tx:
            tx.execute(
                "UPDATE inspection_items_master SET target_id = 'p2', item_code = 'c' WHERE id = 'p1a'"
            )
        with database.read() as reader:
            for product, items in (("p1", ["p1a", "p1b"]), ("p2", [])):
                found = verdict_counts(reader, StatisticsFilter(product_id=product), ["item"])
                assert [entry.group[0] for entry in found] == items
            assert list(recounts.count_faults(reader)) == []


# ── which periods are read ──────────────────────────────────────────────────────────────────────────────


@given(
    first=st.dates(date(2023, 12, 1), date(2026, 3, 1)),
    length=st.integers(0, 800),
    by_day=st.booleans(),
)
def test_spans_hold_every_day_once(first: date, length: int, by_day: bool) -> None:
    last = first + timedelta(days=length)
    covered: list[date] = []
    for low, high in spans(number(first), number(last), by_day=by_day):
        is_whole = low % 100 == 99
        assert not is_whole or (low, by_day) == (high, False)
        covered += [day for day in month_of(low) if is_whole or low <= number(day) <= high]
    assert covered == [first + timedelta(days=offset) for offset in range(length + 1)]


def month_of(day_number: int) -> list[date]:
    start = date(day_number // 10_000, day_number // 100 % 100, 1)
    return [day for offset in range(31) if (day := start + timedelta(days=offset)).month == start.month]


def number(day: date) -> int:
    return int(day.isoformat().replace("-", ""))


def test_a_period_that_ends_before_it_begins_or_names_no_day_is_empty() -> None:
    assert spans(20260301, 20260228, by_day=False) == []
    assert spans(20260231, 20260228, by_day=True) == []
    assert spans(20260201, 20260228, by_day=False) == [Span(20260299, 20260299)]
    assert cast("Any", spans(20240201, 20240228, by_day=False)) == [(20240201, 20240228)]
