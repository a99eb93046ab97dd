"""Finished sessions by the hour in which they began, for some days.

Rules of this file:
- Hours are not in the tables of sums: they would make them many times as large, for a question that is asked of a
  shift or a week. The sessions of those days are counted along the index of their start; callers bound the days.
- A session counts on its `work_day`, as in every other grouping; hours are the factory's.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import date, datetime, timedelta, tzinfo

from edge_agent.inspection.statistics import SessionCount

SQL = """
    SELECT substr(started_at, 1, 16) AS minute, status, coalesce(final_result, '') AS final_result, count(*) AS n,
           sum(max(0.0, coalesce((julianday(completed_at) - julianday(started_at)) * 86400.0, 0.0))) AS seconds
    FROM inspection_sessions INDEXED BY idx_inspection_sessions_started
    WHERE started_at >= ? AND started_at < ? AND work_day BETWEEN ? AND ?
          AND status IN ('COMPLETED', 'CANCELLED', 'FAILED')
          AND product_id = coalesce(?, product_id) AND user_id IS coalesce(?, user_id)
    GROUP BY 1, 2, 3
"""


def hour_counts(
    reader: sqlite3.Connection,
    since: date,
    until: date,
    *,
    zone: tzinfo | None,
    product_id: str | None = None,
    user_id: int | None = None,
) -> list[SessionCount]:
    """One row per hour (`2026-11-23 09:00`), status and final result; both days are included."""
    around = (since - timedelta(days=1)).isoformat(), (until + timedelta(days=2)).isoformat()
    days = since.isoformat(), until.isoformat()
    sums: defaultdict[tuple[str, str, str], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for row in reader.execute(SQL, (*around, *days, product_id, user_id)):
        key = hour_of(row["minute"], zone), row["status"], row["final_result"]
        count, seconds = sums[key]
        sums[key] = count + row["n"], seconds + row["seconds"]
    return [
        SessionCount((hour,), status, final_result, count, seconds)
        for (hour, status, final_result), (count, seconds) in sorted(sums.items())
    ]


def hour_of(minute: str, zone: tzinfo | None) -> str:
    """The local hour of a minute in UTC (`2026-11-23T00:30`); `zone` None is the machine's."""
    return f"{datetime.fromisoformat(f'{minute}Z').astimezone(zone):%Y-%m-%d %H:00}"
