"""Whether the counts are what counting again gives; and counting again.

Rules of this file:
- Counting again starts from the facts and shares nothing with what keeps the counts but the words.
- What is counted is the tables' rows and the changes that wait to be folded into them, in one statement.
- PostgreSQL does the comparing; at most `MOST` faults are told.
- What is counted again is MATERIALIZED: under a LIMIT PostgreSQL would plan it to begin soon instead of to end soon,
  and compare every verdict with every session (minutes at 40,000 inspections).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from central_server.store.database import Connection

MOST = 100
ZEROS, ONES = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"


class CountFault(NamedTuple):
    """`stored` and `counted` are the number of cases at the place `subject`."""

    table: str
    subject: str
    stored: str
    counted: str


# Newest by id: of pictures first, then of verdicts on one picture. One sort of each table: looking each item up in
# every month took minutes at 40,000 inspections.
FRESH = """
    SELECT session_id, item_id, s.device_id, s.product_id, s.work_day,
           a.image_id, a.id AS ai_result_id, coalesce(a.overall_result, '') AS ai_result,
           coalesce(a.sample_weight, 1) AS weight, h.id AS human_result_id,
           coalesce(h.final_result, '') AS human_result,
           coalesce(h.reason_code, '') AS reason_code, h.user_id, coalesce(h.verification_time, 0) AS verification_time
    FROM (SELECT DISTINCT ON (session_id, item_id) session_id, item_id, image_id, id, overall_result, sample_weight
          FROM ai_inspection_results
          ORDER BY session_id, item_id, image_id DESC, id DESC) AS a
    FULL JOIN (SELECT DISTINCT ON (session_id, item_id) session_id, item_id, id, final_result, reason_code, user_id,
                      verification_time
               FROM human_verification_results WHERE item_id IS NOT NULL
               ORDER BY session_id, item_id, id DESC) AS h USING (session_id, item_id)
    JOIN inspection_sessions s ON s.id = session_id"""
VERDICT_COLUMNS = """session_id, item_id, device_id, product_id, work_day, image_id, ai_result_id, ai_result, weight,
                     human_result_id, human_result, reason_code, user_id, verification_time"""
CLOSED = """
    SELECT device_id, work_day, product_id, NULL::uuid AS item_id, user_id, status,
           coalesce(final_result, '') AS final_result,
           greatest(0, coalesce(extract(epoch FROM completed_at - started_at), 0)) AS seconds
    FROM inspection_sessions WHERE status IN ('COMPLETED', 'CANCELLED', 'FAILED')"""


class Recount(NamedTuple):
    """How a table of counts is counted again: `keys` tell its rows apart besides the cell, `sums` are expressions over
    the facts `rows`; `waiting` has the changes that are not in the table yet, with its sums."""

    table: str
    keys: tuple[str, ...]
    sums: dict[str, str]
    levels: tuple[int, ...]
    rows: str
    waiting: str


VERDICTS = Recount(
    "verdict_counts",
    ("ai_result", "human_result"),
    {"verdict_count": "1", "weight_sum": "weight", "verification_time_s": "verification_time"},
    (0, 1, 2),
    FRESH,
    "SELECT * FROM verdict_changes",
)
REASONS = Recount(
    "reason_counts",
    ("reason_code",),
    {"ng_count": "1"},
    (0, 1, 2),
    f"SELECT * FROM ({FRESH}) AS fresh WHERE human_result = 'NG'",
    "SELECT *, verdict_count AS ng_count FROM verdict_changes WHERE human_result = 'NG'",
)
SESSIONS = Recount(
    "session_counts",
    ("status", "final_result"),
    {"session_count": "1", "cycle_time_s": "seconds"},
    (0, 1),
    CLOSED,
    "SELECT *, NULL::uuid AS item_id FROM session_changes",
)
RECOUNTS = (VERDICTS, REASONS, SESSIONS)
DERIVED = ("item_verdicts", "verdict_changes", "session_changes", *(one.table for one in RECOUNTS))


def count_faults(tx: Connection) -> list[CountFault]:
    """Present verdicts and counts that are not what counting again gives; sums may differ by rounding."""
    tx.execute("SET LOCAL statement_timeout = 0")
    faults = [
        CountFault(table, *map(str, row))
        for table, sql in COMPARISONS.items()
        for row in tx.execute(sql.encode())
    ]
    return faults[:MOST]


def rebuild(tx: Connection) -> None:
    """Counts everything again from the facts; ingest waits meanwhile."""
    tx.execute("SET LOCAL statement_timeout = 0")
    tx.execute("SELECT pg_advisory_xact_lock(hashtext('imageflowcanvas.counts'))")  # nobody folds
    tx.execute("LOCK TABLE inspection_sessions, item_verdicts IN SHARE ROW EXCLUSIVE MODE")
    for table in DERIVED:
        tx.execute(f"DELETE FROM {table}".encode())
    verdicts = (
        f"INSERT INTO item_verdicts ({VERDICT_COLUMNS}) SELECT {VERDICT_COLUMNS} FROM ({FRESH}) AS fresh"
    )
    tx.execute(verdicts.encode())  # its trigger notes them
    tx.execute("SELECT fold_counts(NULL)")
    cell = _cell(SESSIONS, SESSIONS.rows, SESSIONS.sums)
    columns = ", ".join([*_cell_columns(SESSIONS), *SESSIONS.keys, *SESSIONS.sums])
    tx.execute(f"INSERT INTO session_counts ({columns}) {cell}".encode())


def _cell_columns(recount: Recount) -> list[str]:
    items = ["item_id"] if 2 in recount.levels else []
    return ["grain", "level", "by_person", "period", "device_id", "product_id", *items, "user_id"]


def _cell(recount: Recount, rows: str, sums: Mapping[str, str]) -> str:
    """`rows` in all their cells, in the columns of the table."""
    has_items = 2 in recount.levels
    item = f"CASE WHEN level = 2 THEN item_id ELSE '{ZEROS}' END AS item_id," if has_items else ""
    group = len(_cell_columns(recount)) + len(recount.keys)
    return f"""
        SELECT grain, level::smallint, by_person,
               CASE grain WHEN 'D' THEN work_day ELSE date_trunc('month', work_day)::date END AS period, device_id,
               CASE WHEN level > 0 THEN product_id ELSE '{ZEROS}' END AS product_id, {item}
               CASE WHEN by_person THEN coalesce(user_id, '{ONES}') ELSE '{ZEROS}' END AS user_id,
               {", ".join(recount.keys)}, {", ".join(f"sum({sql}) AS {name}" for name, sql in sums.items())}
        FROM ({rows}) AS fact
        CROSS JOIN (VALUES ('D'), ('M')) AS g (grain)
        CROSS JOIN (VALUES {", ".join(f"({level})" for level in recount.levels)}) AS l (level)
        CROSS JOIN (VALUES (true), (false)) AS p (by_person)
        GROUP BY {", ".join(str(number) for number in range(1, group + 1))}"""


def _comparison(recount: Recount) -> str:
    """SQL for the place, the stored and the counted number of every row that is not as it must be."""
    columns = [*_cell_columns(recount), *recount.keys]
    keys, first = ", ".join(columns), next(iter(recount.sums))
    differs = " OR ".join(
        f"abs(coalesce(here.{name}, 0) - coalesce(again.{name}, 0)) > 1e-3 + 1e-6 * abs(coalesce(again.{name}, 0))"
        for name in recount.sums
    )
    return f"""
        WITH again AS MATERIALIZED ({_cell(recount, recount.rows, recount.sums)}),
        stored AS (
            SELECT {", ".join([*columns, *recount.sums])} FROM {recount.table}
            UNION ALL {_cell(recount, recount.waiting, dict(zip(recount.sums, recount.sums, strict=True)))}
        ), here AS MATERIALIZED (
            SELECT {", ".join([*columns, *(f"sum({name}) AS {name}" for name in recount.sums)])}
            FROM stored GROUP BY {keys}
        )
        SELECT concat_ws('/', {keys}), coalesce(here.{first}, 0), coalesce(again.{first}, 0)
        FROM here FULL JOIN again USING ({keys})
        WHERE {differs} LIMIT {MOST}"""


_FACTS = VERDICT_COLUMNS.replace("\n", " ").split(", ")[2:]
_SAME = " AND ".join(f"v.{name.strip()} IS NOT DISTINCT FROM f.{name.strip()}" for name in _FACTS)
_WRONG_VERDICTS = f"""
    WITH f AS MATERIALIZED ({FRESH})
    SELECT session_id || '/' || item_id, coalesce(v.ai_result || '/' || v.human_result, 'nothing'),
           coalesce(f.ai_result || '/' || f.human_result, 'nothing')
    FROM item_verdicts AS v FULL JOIN f USING (session_id, item_id)
    WHERE NOT ({_SAME}) LIMIT {MOST}"""
COMPARISONS = {"item_verdicts": _WRONG_VERDICTS} | {one.table: _comparison(one) for one in RECOUNTS}
"""SQL for the place, the stored and the counted of every fault, by table."""
