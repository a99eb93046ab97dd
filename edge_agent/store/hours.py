"""Finished sessions and verdicts by the hour in which their session began, for some days.

Rules of this file:
- Hours are not in the tables of sums: they would make them many times as large, for a question that is asked of a
  shift or a week. The sessions of those days are counted along the index of their start; callers bound the days.
- A session counts on its `work_day`, as in every other grouping; hours are the factory's. They are put together from
  quarters of an hour of UTC: every zone's offset is some number of those.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, timedelta, tzinfo
from operator import add
from typing import Any

from edge_agent.inspection.statistics import SessionCount, VerdictCount
from edge_agent.store.statistics import StatisticsFilter

SESSIONS = """
    SELECT unixepoch(started_at) / 900 AS quarter, status, coalesce(final_result, '') AS final_result, count(*),
           sum(max(0.0, coalesce((julianday(completed_at) - julianday(started_at)) * 86400.0, 0.0)))
    FROM inspection_sessions INDEXED BY idx_inspection_sessions_started
    WHERE started_at >= :after AND started_at < :before AND work_day BETWEEN :since AND :until
          AND status IN ('COMPLETED', 'CANCELLED', 'FAILED')
          AND product_id = coalesce(:product_id, product_id)
          AND coalesce(user_id, 0) = coalesce(:user_id, user_id, 0)
    GROUP BY 1, 2, 3
"""
VERDICTS = """
    SELECT unixepoch(s.started_at) / 900 AS quarter, v.ai_result, v.human_result,
           count(*), sum(v.weight), sum(v.verification_time)
    FROM inspection_sessions s INDEXED BY idx_inspection_sessions_started
    CROSS JOIN item_verdicts v ON v.session_id = s.id
    WHERE s.started_at >= :after AND s.started_at < :before AND s.work_day BETWEEN :since AND :until
          AND s.product_id = coalesce(:product_id, s.product_id)
          AND v.item_id = coalesce(:item_id, v.item_id) AND v.user_id = coalesce(:user_id, v.user_id)
    GROUP BY 1, 2, 3
"""
Days = tuple[date, date]
"""The first and the last, both included."""


def session_hours(
    reader: sqlite3.Connection, days: Days, zone: tzinfo | None, wanted: StatisticsFilter
) -> list[SessionCount]:
    """Finished sessions, one row per hour (`2026-11-23 09:00`), status and final result."""
    found = _summed(reader, SESSIONS, days, zone, wanted)
    return [SessionCount((hour,), *values) for hour, *values in found]


def verdict_hours(
    reader: sqlite3.Connection, days: Days, zone: tzinfo | None, wanted: StatisticsFilter
) -> list[VerdictCount]:
    """One row per hour of the session, AI result and human result ('' = none yet)."""
    found = _summed(reader, VERDICTS, days, zone, wanted)
    return [VerdictCount((hour,), *values) for hour, *values in found]


def _summed(
    reader: sqlite3.Connection, sql: str, days: Days, zone: tzinfo | None, wanted: StatisticsFilter
) -> list[tuple[Any, ...]]:
    """Hour, both results and the sums of the rows of that hour; days are those of `days`, not of `wanted`."""
    since, until = days
    asked = {
        "after": (since - timedelta(days=1)).isoformat(),
        "before": (until + timedelta(days=2)).isoformat(),
        "since": since.isoformat(),
        "until": until.isoformat(),
        "product_id": wanted.product_id,
        "item_id": wanted.item_id,
        "user_id": wanted.user_id,
    }
    found = reader.execute(sql, asked).fetchall()
    hours = {quarter: hour_of(quarter, zone) for quarter in {row[0] for row in found}}
    sums: dict[tuple[str, str, str], tuple[float, ...]] = {}
    for quarter, one, other, *values in found:
        key = hours[quarter], one, other
        sums[key] = tuple(map(add, sums[key], values)) if key in sums else tuple(values)
    return [(*key, *values) for key, values in sorted(sums.items())]


def hour_of(quarter: int, zone: tzinfo | None) -> str:
    """The local hour of a quarter of an hour, of which `quarter` are over since 1970 in UTC; `zone` None is the
    machine's."""
    return f"{datetime.fromtimestamp(quarter * 900, UTC).astimezone(zone):%Y-%m-%d %H:00}"
