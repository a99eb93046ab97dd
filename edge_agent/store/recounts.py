"""What `check` asks of the counts: every sum that is not what counting again gives.

Rules of this file:
- Counting again starts from the verdicts and sessions and shares nothing with the triggers but the words.
- SQLite does the comparing and keeps its sorting on disk: memory stays the same, however much was counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from edge_agent.store.soundness import Fault


class Recount(NamedTuple):
    """How one table of counts is counted again: `sql` gives the subject's number and product_number, user_id,
    work_day, then `keys`, then `sums`; it counts for itself (2), its product (1) and everything (0) by `levels`.
    """

    keys: tuple[str, ...]
    sums: tuple[str, ...]
    levels: tuple[int, ...]
    sql: str


VERDICTS = """
    FROM item_verdicts v JOIN inspection_sessions s ON s.id = v.session_id
    LEFT JOIN count_subjects i ON i.product_id = s.product_id AND i.item_id = v.item_id"""
RECOUNTS = {
    "verdict_counts": Recount(
        ("ai_result", "human_result"),
        ("verdict_count", "weight_sum", "verification_time_s"),
        (0, 1, 2),
        f"""SELECT i.number, i.product_number, v.user_id, s.work_day, v.ai_result, v.human_result,
                   count(*), sum(v.weight), sum(v.verification_time)
            {VERDICTS} GROUP BY 1, 2, 3, 4, 5, 6""",
    ),
    "reason_counts": Recount(
        ("reason_code",),
        ("ng_count",),
        (2,),
        f"""SELECT i.number, i.product_number, v.user_id, s.work_day, v.reason_code, count(*)
            {VERDICTS} WHERE v.human_result = 'NG' GROUP BY 1, 2, 3, 4, 5""",
    ),
    "session_counts": Recount(
        ("status", "final_result"),
        ("session_count", "cycle_time_s"),
        (0, 1),
        """SELECT i.number, i.product_number, coalesce(s.user_id, 0), s.work_day, s.status,
                  coalesce(s.final_result, ''), count(*),
                  sum(max(0.0, coalesce((julianday(s.completed_at) - julianday(s.started_at)) * 86400.0, 0.0)))
           FROM inspection_sessions s LEFT JOIN count_subjects i ON i.product_id = s.product_id AND i.item_id = ''
           WHERE s.status IN ('COMPLETED', 'CANCELLED', 'FAILED') GROUP BY 1, 2, 3, 4, 5, 6""",
    ),
}


def count_faults(reader: sqlite3.Connection) -> Iterator[Fault]:
    """Counts that differ from counting again; sums may differ by rounding."""
    for table, recount in RECOUNTS.items():
        for row in reader.execute(_comparison(table, recount)):
            key, here, again = tuple(row)[:-2], *tuple(row)[-2:]
            subject = f"{table} {'/'.join(str(part) for part in key)}"
            yield Fault("count-wrong", subject, f"it says {here}, counting again gives {again}")


def _comparison(table: str, recount: Recount) -> str:
    """SQL for the key, the stored and the recounted number of every row that is not as it must be."""
    keys, sums = ", ".join(recount.keys), recount.sums
    levels = ", ".join(f"({level})" for level in recount.levels)
    differs = (
        f"abs(sum(here_{name}) - sum(again_{name})) > 1e-3 + 1e-6 * abs(sum(again_{name}))" for name in sums
    )
    return f"""
        WITH finest (number, product_number, person, day, {keys}, {", ".join(sums)}) AS ({recount.sql}),
        compared (subject, user_id, period, {keys}, {_each("here_", sums)}, {_each("again_", sums)}) AS (
            SELECT subject, user_id, period, {keys}, {", ".join(sums)}{", 0" * len(sums)} FROM {table}
            UNION ALL
            SELECT CASE l.column1 WHEN 0 THEN 0 WHEN 1 THEN product_number ELSE number END,
                   iif(w.column1, person, -1),
                   CAST(replace(substr(day, 1, d.column1), '-', '') || d.column2 AS INTEGER),
                   {keys}{", 0" * len(sums)}, {", ".join(sums)}
            FROM finest CROSS JOIN (VALUES {levels}) l CROSS JOIN (VALUES (0), (1)) w
            CROSS JOIN (VALUES (10, ''), (7, '99')) d WHERE NOT (w.column1 AND person = 0))
        SELECT subject, user_id, period, {keys}, sum(here_{sums[0]}), sum(again_{sums[0]}) FROM compared
        GROUP BY subject, user_id, period, {keys} HAVING {" OR ".join(differs)}"""


def _each(prefix: str, names: tuple[str, ...]) -> str:
    return ", ".join(prefix + name for name in names)
