"""Counts for the statistics, from the tables of sums that triggers maintain.

Rules of this file:
- No query reads result rows, and none adds up what is already summed: it takes the subjects (everything,
  products, items), people (whoever it was, or single ones) and periods (whole months, and days where a period
  begins or ends within a month) that are no finer than asked for. A year of counts is some thousand rows.
- Days are the factory's calendar days (`work_day`), inclusive at both ends.
"""

from __future__ import annotations

import sqlite3
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Literal, NamedTuple

from edge_agent.inspection.statistics import SessionCount, VerdictCount

GroupBy = Literal["day", "month", "product", "item", "inspector"]
EVERYTHING = 0
"""The subject that contains all others."""
WHOEVER = -1
"""The user_id under which the counts are summed whoever it was."""
NOBODY = 0
"""The user_id of what no person judged, or a hot folder inspected: what single people leave of WHOEVER."""
WHOLE_MONTH = 99
"""The day of the month under which a whole month is summed."""


@dataclass(frozen=True, slots=True)
class StatisticsFilter:
    """What to count; None = all. Days are YYYY-MM-DD, inclusive."""

    since_day: str | None = None
    until_day: str | None = None
    product_id: str | None = None
    item_id: str | None = None
    user_id: int | None = None


class Span(NamedTuple):
    """Periods from `low` to `high` inclusive, as the tables number them."""

    low: int
    high: int


class Person(NamedTuple):
    """Rows of `user_id`, added to (`sign` 1) or taken off (-1) what is shown for `shown_id`."""

    user_id: int
    shown_id: int
    sign: int


Subjects = Mapping[int, tuple[str, str]]
"""Number → product id, item id."""


def verdict_counts(
    reader: sqlite3.Connection, wanted: StatisticsFilter, group_by: Sequence[GroupBy]
) -> list[VerdictCount]:
    """One row per group, AI result and human result ('' = none yet)."""
    sums = ("verdict_count", "weight_sum", "verification_time_s")
    rows = _grouped(reader, "verdict_counts", ("ai_result", "human_result"), sums, wanted, group_by)
    return [VerdictCount(group, *values) for group, values in rows]


def session_counts(
    reader: sqlite3.Connection, wanted: StatisticsFilter, group_by: Sequence[GroupBy]
) -> list[SessionCount]:
    """Finished sessions, one row per group, status and final result; `item` cannot be asked for."""
    sums = ("session_count", "cycle_time_s")
    rows = _grouped(reader, "session_counts", ("status", "final_result"), sums, wanted, group_by)
    return [SessionCount(group, *values) for group, values in rows]


def reason_counts(reader: sqlite3.Connection, wanted: StatisticsFilter) -> list[tuple[str, str, int]]:
    """NG decisions of people by (reason code, item id), most frequent first."""
    rows = _grouped(reader, "reason_counts", ("reason_code",), ("ng_count",), wanted, ["item"])
    found = [(reason, item, number) for (item,), (reason, number) in rows]
    return sorted(found, key=lambda row: (-row[2], row[0], row[1]))


def _grouped(
    reader: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    sums: Sequence[str],
    wanted: StatisticsFilter,
    group_by: Sequence[GroupBy],
) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
    """(group, `columns` and `sums`) of every group that has any; the first of `sums` is the number of cases."""
    subjects = _subjects(reader, wanted, group_by)
    people = _people(reader, wanted, group_by)
    periods = _periods(reader, table, wanted, by_day="day" in group_by)
    if not (subjects and people and periods):
        return
    keys = {"day": "period", "month": "period / 100", "inspector": "shown_id"}
    grouping = ", ".join([*(keys.get(name, "subject") for name in group_by), *columns])
    sql = f"""
        WITH wanted_subject (number) AS (VALUES {_rows(subjects, "(?)")}),
             wanted_person (id, shown_id, sign) AS (VALUES {_rows(people, "(?, ?, ?)")}),
             wanted_period (low, high) AS (VALUES {_rows(periods, "(?, ?)")})
        SELECT {grouping}, {", ".join(f"sum(sign * {name})" for name in sums)}
        FROM wanted_subject CROSS JOIN wanted_person CROSS JOIN wanted_period CROSS JOIN {table}
        WHERE subject = number AND user_id = id AND period BETWEEN low AND high AND {sums[0]} > 0
        GROUP BY {grouping} HAVING sum(sign * {sums[0]}) > 0 ORDER BY {grouping}
    """
    rows = reader.cursor()
    rows.row_factory = None
    width = len(group_by)
    shown = cache(lambda key: tuple(_shown(*pair, subjects) for pair in zip(group_by, key, strict=True)))
    for row in rows.execute(sql, [*subjects, *chain.from_iterable((*people, *periods))]):
        yield shown(row[:width]), row[width:]


def _rows(values: Sized, row: str) -> str:
    return ", ".join([row] * len(values))


def _shown(name: GroupBy, value: int, subjects: Subjects) -> str:
    """A group's value as the caller knows it."""
    if name in ("product", "item"):
        return subjects[value][name == "item"]
    if name == "inspector":
        return str(value)
    text = str(value)
    return "-".join(part for part in (text[:4], text[4:6], text[6:]) if part)


# ── which rows ──────────────────────────────────────────────────────────────────────────────────────────


def _subjects(
    reader: sqlite3.Connection, wanted: StatisticsFilter, group_by: Sequence[GroupBy]
) -> dict[int, tuple[str, str]]:
    """The coarsest that tell apart what is filtered and grouped by."""
    by_item = wanted.item_id is not None or "item" in group_by
    if not (by_item or wanted.product_id is not None or "product" in group_by):
        return {EVERYTHING: ("", "")}
    sql = """
        SELECT number, product_id, item_id FROM count_subjects
        WHERE (item_id <> '') = ? AND product_id = coalesce(?, product_id) AND item_id = coalesce(?, item_id)
    """
    found = reader.execute(sql, (by_item, wanted.product_id, wanted.item_id))
    return {row["number"]: (row["product_id"], row["item_id"]) for row in found}


def _people(
    reader: sqlite3.Connection, wanted: StatisticsFilter, group_by: Sequence[GroupBy]
) -> list[Person]:
    if wanted.user_id is None and "inspector" not in group_by:
        return [Person(WHOEVER, WHOEVER, 1)]
    everyone = [row[0] for row in reader.execute("SELECT id FROM users")]
    nobody = [Person(WHOEVER, NOBODY, 1), *(Person(user_id, NOBODY, -1) for user_id in everyone)]
    single = [Person(user_id, user_id, 1) for user_id in everyone]
    return [one for one in (*nobody, *single) if wanted.user_id in (None, one.shown_id)]


def _periods(reader: sqlite3.Connection, table: str, wanted: StatisticsFilter, *, by_day: bool) -> list[Span]:
    """The wanted days, cut to those on which anything was counted."""
    counted = "session_counts" if table == "session_counts" else "verdict_counts"
    every = f"FROM {counted} WHERE subject = {EVERYTHING} AND user_id = {WHOEVER}"
    bounds = f"SELECT (SELECT min(period) {every}), (SELECT max(period) {every})"
    first, last = reader.execute(bounds).fetchone()
    if first is None:
        return []
    since, until = _number(wanted.since_day, 0), _number(wanted.until_day, last)
    return spans(max(since, first // 100 * 100 + 1), min(until, last), by_day=by_day)


def _number(day: str | None, otherwise: int) -> int:
    return otherwise if day is None else int(day.replace("-", ""))


def spans(first: int, last: int, *, by_day: bool) -> list[Span]:
    """The days from `first` to `last` (yyyymmdd), month by month; whole months as such unless `by_day`."""
    found = []
    for year, month in _months(first // 100, last // 100):
        start, length = (year * 100 + month) * 100, monthrange(year, month)[1]
        low, high = max(first, start + 1), min(last, start + length)
        if low == start + 1 and high == start + length and not by_day:
            found.append(Span(start + WHOLE_MONTH, start + WHOLE_MONTH))
        elif low <= high:
            found.append(Span(low, high))
    return found


def _months(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Year and month (1-12) from `first` to `last`, both yyyymm."""
    for number in range(first // 100 * 12 + first % 100 - 1, last // 100 * 12 + last % 100):
        yield number // 12, number % 12 + 1
