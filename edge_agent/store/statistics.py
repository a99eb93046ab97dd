"""Counts for the statistics, from the daily tables that triggers maintain.

Rules of this file:
- No query reads result rows: a year of counts costs the same after a million inspections as after a hundred.
- Days are the factory's calendar days (`work_day`), inclusive at both ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

GroupBy = Literal["day", "product", "item", "inspector"]
_COLUMNS = {"day": "work_day", "product": "product_id", "item": "item_id", "inspector": "user_id"}


@dataclass(frozen=True, slots=True)
class StatisticsFilter:
    """What to count; None = all. Days are YYYY-MM-DD, inclusive."""

    since_day: str | None = None
    until_day: str | None = None
    product_id: str | None = None
    item_id: str | None = None
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """`group`: the value of each asked-for column; `weight_sum` counts a sampled OK as all it stands for."""

    group: tuple[str, ...]
    ai_result: str
    human_result: str
    verdict_count: int
    weight_sum: float
    verification_time_s: float


@dataclass(frozen=True, slots=True)
class SessionCount:
    """`cycle_time_s` is the sum over the sessions, seconds."""

    group: tuple[str, ...]
    status: str
    final_result: str
    session_count: int
    cycle_time_s: float


def verdict_counts(
    reader: sqlite3.Connection, wanted: StatisticsFilter, group_by: Sequence[GroupBy]
) -> list[VerdictCount]:
    """One row per group, AI result and human result ('' = none yet)."""
    where, args = _where(wanted)
    rows = _grouped(
        reader,
        "daily_verdicts",
        [_COLUMNS[name] for name in group_by],
        ["ai_result", "human_result"],
        "sum(verdict_count) AS n, sum(weight_sum) AS w, sum(verification_time_s) AS t",
        where,
        args,
    )
    return [
        VerdictCount(group, row["ai_result"], row["human_result"], row["n"], row["w"], row["t"])
        for group, row in rows
        if row["n"]
    ]


def session_counts(
    reader: sqlite3.Connection, wanted: StatisticsFilter, group_by: Sequence[GroupBy]
) -> list[SessionCount]:
    """Finished sessions, one row per group, status and final result; `item` cannot be asked for."""
    where, args = _where(wanted)
    rows = _grouped(
        reader,
        "daily_sessions",
        [_COLUMNS[name] for name in group_by],
        ["status", "final_result"],
        "sum(session_count) AS n, sum(cycle_time_s) AS t",
        where,
        args,
    )
    return [
        SessionCount(group, row["status"], row["final_result"], row["n"], row["t"])
        for group, row in rows
        if row["n"]
    ]


def reason_counts(reader: sqlite3.Connection, wanted: StatisticsFilter) -> list[tuple[str, str, int]]:
    """NG decisions of people by (reason code, item id), most frequent first."""
    where, args = _where(wanted)
    sql = f"""
        SELECT reason_code, item_id, sum(verdict_count) AS n FROM daily_verdicts
        WHERE human_result = 'NG' {where} GROUP BY reason_code, item_id HAVING n > 0 ORDER BY n DESC, 1, 2
    """
    return [tuple(row) for row in reader.execute(sql, args)]


def _where(wanted: StatisticsFilter) -> tuple[str, list[Any]]:
    conditions = {
        "work_day >= ?": wanted.since_day,
        "work_day <= ?": wanted.until_day,
        "product_id = ?": wanted.product_id,
        "item_id = ?": wanted.item_id,
        "user_id = ?": wanted.user_id,
    }
    used = {text: value for text, value in conditions.items() if value is not None}
    return "".join(f" AND {text}" for text in used), list(used.values())


def _grouped(
    reader: sqlite3.Connection,
    table: str,
    group: list[str],
    key: list[str],
    sums: str,
    where: str,
    args: list[Any],
) -> list[tuple[tuple[str, ...], sqlite3.Row]]:
    columns = ", ".join([*group, *key])
    sql = f"SELECT {columns}, {sums} FROM {table} WHERE true {where} GROUP BY {columns} ORDER BY {columns}"
    return [(tuple(str(row[name]) for name in group), row) for row in reader.execute(sql, args)]
