"""Counts for the statistics: the tables of sums, and what has changed since these were made.

Rules of this file:
- What a device was told we hold is counted: every query adds what waits to be folded in, in one statement, so that it
  sees each change either there or in the sums (docs/adr/0021-counts-are-folded-in.md).
- No query reads facts, and none adds up what is already summed: it takes the level (everything, products, items), the
  people (whoever it was, or single ones) and the periods (whole months, days where a period begins or ends within
  one) that are no finer than asked for. Of a month cut short by few days, those are taken off the whole.
- Days are the factory's calendar days (`work_day`), inclusive at both ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

from central_server.store.database import Connection
from edge_agent.inspection.statistics import SessionCount, VerdictCount

GroupBy = Literal["day", "month", "product", "item", "inspector", "device"]
NOBODY = "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""The user_id of what no person judged, or a hot folder inspected."""
_GROUPS = {
    "day": "period::text",
    "month": "to_char(period, 'YYYY-MM')",
    "product": "product_id::text",
    "item": "item_id::text",
    "inspector": "user_id::text",
    "device": "device_id",
}


@dataclass(frozen=True, slots=True)
class StatisticsFilter:
    """What to count; None = all. Days are inclusive."""

    since_day: date | None = None
    until_day: date | None = None
    product_id: str | None = None
    item_id: str | None = None
    user_id: str | None = None
    device_id: str | None = None


class ReasonCount(NamedTuple):
    """NG decisions of people for one reason ('' = none given)."""

    reason_code: str
    ng_count: int


class Span(NamedTuple):
    """Periods of one grain (D days, M months by their first day) from `low` to `high` inclusive."""

    grain: str
    low: date
    high: date
    sign: int = 1
    """-1: what these hold is taken off again."""


class Counted(NamedTuple):
    """A table of sums; `changes`: what is not in it yet, by `work_day`; `sums`: the number of cases first."""

    table: str
    changes: str
    columns: tuple[str, ...]
    sums: tuple[str, ...]


VERDICTS = Counted(
    "verdict_counts",
    "verdict_changes",
    ("ai_result", "human_result"),
    ("verdict_count", "weight_sum", "verification_time_s"),
)
REASONS = Counted(
    "reason_counts",
    "(SELECT *, verdict_count AS ng_count FROM verdict_changes WHERE human_result = 'NG') AS decided_ng",
    ("reason_code",),
    ("ng_count",),
)
SESSIONS = Counted(
    "session_counts", "session_changes", ("status", "final_result"), ("session_count", "cycle_time_s")
)


def verdict_counts(
    tx: Connection, wanted: StatisticsFilter, group_by: Sequence[GroupBy] = ()
) -> list[VerdictCount]:
    """One row per group, AI result and human result ('' = none yet)."""
    return [VerdictCount(group, *values) for group, values in _grouped(tx, VERDICTS, wanted, group_by)]


def session_counts(
    tx: Connection, wanted: StatisticsFilter, group_by: Sequence[GroupBy] = ()
) -> list[SessionCount]:
    """Finished sessions, one row per group, status and final result; items cannot be asked for."""
    return [SessionCount(group, *values) for group, values in _grouped(tx, SESSIONS, wanted, group_by)]


def reason_counts(tx: Connection, wanted: StatisticsFilter) -> list[ReasonCount]:
    """Why people decided NG, most frequent first."""
    found = [ReasonCount(*values) for _, values in _grouped(tx, REASONS, wanted, ())]
    return sorted(found, key=lambda one: (-one.ng_count, one.reason_code))


def names_of(tx: Connection, group_by: str | None) -> dict[str, str]:
    """id → what people call it, for the groups that are ids."""
    sources = {
        "product": "SELECT id::text, product_code FROM inspection_targets_master",
        "item": """SELECT i.id::text, p.product_code || '/' || i.item_code FROM inspection_items_master i
                   JOIN inspection_targets_master p ON p.id = i.target_id""",
        "inspector": "SELECT id::text, username FROM users",
        "device": "SELECT device_id, name FROM devices WHERE name <> ''",
    }
    if group_by not in sources:
        return {}
    return {str(key): str(name) for key, name in tx.execute(sources[group_by].encode()).fetchall()}


def _grouped(
    tx: Connection, counted: Counted, wanted: StatisticsFilter, group_by: Sequence[GroupBy]
) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
    """(group, columns and sums) of every group that has any case."""
    periods = spans(wanted.since_day, wanted.until_day, by_day="day" in group_by)
    if not periods:
        return
    keys = [*(_GROUPS[name] for name in group_by), *counted.columns]
    by_item = wanted.item_id is not None or "item" in group_by
    by_product = wanted.product_id is not None or "product" in group_by
    by_person = wanted.user_id is not None or "inspector" in group_by
    level = 2 if by_item else int(by_product)  # in the text: the planner must know it to use a partial index
    filters = {
        name: value
        for name in ("product_id", "item_id", "user_id", "device_id")
        if (value := getattr(wanted, name)) is not None
    }
    conditions = "".join(f" AND {name} = %s" for name in filters)
    columns = ", ".join(
        ["device_id", "product_id", "user_id", *["item_id"] * by_item, *counted.columns, *counted.sums]
    )
    # One scan of the index for each span: joined to a list of spans, PostgreSQL reads the whole level instead.
    found = [
        f"""SELECT {span.sign} AS sign, period, {columns} FROM {counted.table} WHERE grain = %s AND level = {level}
            AND by_person = {by_person} AND period BETWEEN %s::date AND %s::date{conditions}"""
        for span in periods
    ]
    found.append(
        f"""SELECT 1, work_day, {columns} FROM {counted.changes}
            WHERE work_day BETWEEN %s::date AND %s::date{conditions}"""
    )
    numbers = ", ".join(str(number) for number in range(1, len(keys) + 1))
    sql = f"""
        SELECT {", ".join([*keys, *(f"sum(sign * {name})" for name in counted.sums)])}
        FROM ({" UNION ALL ".join(found)}) AS found
        GROUP BY {numbers} HAVING sum(sign * {counted.sums[0]}) > 0 ORDER BY {numbers}"""
    values = [value for span in periods for value in (span.grain, span.low, span.high, *filters.values())]
    values += [wanted.since_day or date.min, wanted.until_day or date.max, *filters.values()]
    width, count = len(group_by), len(counted.sums)
    for row in tx.execute(sql.encode(), values):
        yield tuple(map(str, row[:width])), (*row[width:-count], *map(_number, row[-count:], counted.sums))


def _number(value: Any, name: str) -> int | float:
    return int(value) if name.endswith("_count") else float(value)


def spans(since: date | None, until: date | None, *, by_day: bool) -> list[Span]:
    """The wanted days as few spans: whole months as such unless `by_day`."""
    first, last = since or date.min, until or date.max
    if first > last:
        return []
    if by_day:
        return [Span("D", first, last)]
    months_from = first if first.day == 1 else _next_month(first)
    months_to = last.replace(day=1) if last == date.max or _next_month(last) == last + timedelta(1) else None
    if months_to is None:
        months_to = _month_before(last)
    if months_to is None or months_from is None or months_from > months_to:
        return [Span("D", first, last)]
    after = _next_month(months_to)
    found = [Span("M", months_from, months_to)]
    found += _part(first, months_from - timedelta(1)) if first < months_from else []
    found += _part(after, last) if after is not None and after <= last else []
    return found


def _part(low: date, high: date) -> list[Span]:
    """The beginning or the end of a month: its days, or the whole month less the others, whichever are fewer."""
    month, after = low.replace(day=1), _next_month(low)
    if after is None or 2 * ((high - low).days + 1) <= (after - month).days:
        return [Span("D", low, high)]
    others = (month, low - timedelta(1)) if low > month else (high + timedelta(1), after - timedelta(1))
    return [Span("M", month, month), Span("D", *others, sign=-1)]


def _next_month(day: date) -> date | None:
    """The first of the month after; None beyond the calendar."""
    if (day.year, day.month) == (date.max.year, 12):
        return None
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _month_before(day: date) -> date | None:
    """The first of the month before; None beyond the calendar."""
    if (day.year, day.month) == (1, 1):
        return None
    return (day.replace(day=1) - timedelta(1)).replace(day=1)
