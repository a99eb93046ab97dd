"""Statistics and history at the centre on 1,000,000 verdicts; numbers: queries of each kind (200).

Measured: milliseconds of each kind of query with random filters.
Goal: p99 at most 50 ms.
Limit: the rows that an answer is made of: devices × months × results for a sum over everything.

Rules of this file:
- The data are the hard case for sums: every device inspects every product, with every inspector, every day, so that
  hardly two verdicts of a day fall into the same cell.
- A figure is what the API does for it: the queries, the arithmetic, the answer's bytes; without HTTP.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import orjson
from pydantic import TypeAdapter

from benchmarks.common import report, server_folder, timed
from central_server.api.routers.statistics import show_agreement, show_reasons, show_yield
from central_server.store import history
from central_server.store.database import Database
from central_server.store.history import Cursors, SessionFilter
from central_server.store.migrations import migrate
from central_server.store.statistics import StatisticsFilter
from tests.servers import postgres

SESSIONS, ITEMS, PRODUCTS, INSPECTORS, DEVICES, DAYS = 250_000, 4, 10, 12, 8, 365
FIRST = date(2025, 1, 1)
SETTINGS = ("fsync=off", "shared_buffers=128MB", "max_wal_size=2GB")
IDS = """
    CREATE FUNCTION bench_id(kind INT, number BIGINT) RETURNS UUID LANGUAGE sql IMMUTABLE AS $$
        SELECT ('00000000-0000-4000-8' || lpad(kind::text, 3, '0') || '-' || lpad(number::text, 12, '0'))::uuid $$;
    CREATE FUNCTION bench_uuid7(at TIMESTAMPTZ, number BIGINT) RETURNS UUID LANGUAGE sql STABLE AS $$
        SELECT (left(uuid7_floor(at)::text, 24) || lpad(to_hex(number), 12, '0'))::uuid $$"""
SESSION_ROWS = """
    WITH made AS (
        SELECT n, bench_uuid7(day + interval '8 hours' + n * interval '1 second', n) AS id,
               bench_uuid7(day + interval '7 hours', n) AS target, day::date AS work_day,
               bench_id(1, n %% %(products)s) AS product, bench_id(3, floor(random() * %(inspectors)s)::int) AS person,
               'device-' || floor(random() * %(devices)s)::int AS device, day + interval '9 hours' AS at
        FROM (SELECT n, timestamptz '2025-01-01 00:00Z' + (n * %(days)s / %(sessions)s) * interval '1 day' AS day
              FROM generate_series(%(low)s::bigint, %(high)s::bigint) AS n) AS numbered
    ), targets AS (
        INSERT INTO inspection_targets (id, product_id, batch_id, qr_code, serial_no, product_code, created_at,
                                        updated_at, device_id, row_sha256)
        SELECT target, product, 'L', 'qr' || n, 's' || n, 'P', at, at, device, '' FROM made
    )
    INSERT INTO inspection_sessions (id, target_id, user_id, status, started_at, completed_at, product_id, work_day,
        source, accept_ai_ok, final_result, master_version, criteria_snapshot, version, updated_at, device_id,
        insert_sha256, row_sha256)
    SELECT id, target, person, CASE WHEN n %% 10 = 0 THEN 'CANCELLED' ELSE 'COMPLETED' END, at,
           at + interval '40 seconds', product, work_day, 'inspector', false,
           CASE WHEN n %% 10 = 0 THEN NULL WHEN random() < 0.07 THEN 'NG' ELSE 'OK' END, '', '[]', 3, at, device, '', ''
    FROM made"""
VERDICT_ROWS = """
    INSERT INTO item_verdicts (session_id, item_id, device_id, product_id, work_day, image_id, ai_result_id, ai_result,
                               human_result_id, human_result, reason_code, user_id, verification_time)
    SELECT s.id, bench_id(2, item * 1000 + right(s.product_id::text, 4)::int), s.device_id, s.product_id, s.work_day,
           s.id, s.id, CASE WHEN r < 0.9 THEN 'OK' WHEN r < 0.97 THEN 'NG' ELSE 'REVIEW' END, s.id,
           CASE WHEN h < 0.93 THEN 'OK' WHEN h < 0.99 THEN 'NG' ELSE 'HOLD' END,
           CASE WHEN h >= 0.93 AND h < 0.99 THEN 'reason-' || floor(random() * 8)::int ELSE '' END, s.user_id, 3.5
    FROM inspection_sessions s CROSS JOIN generate_series(1, %(items)s) AS item,
         LATERAL (SELECT random() AS r, random() AS h WHERE s.id IS NOT NULL) AS drawn
    WHERE s.work_day >= %(first)s AND s.work_day < %(last)s"""
Query = Callable[[Database, random.Random], object]


def fill(database: Database) -> None:
    """The year through the real tables and triggers, a fortnight at a time as batches would."""
    with database.write() as tx:
        tx.execute(IDS.encode())
        tx.execute("SELECT make_partitions('2025-01-01', '2025-12-31')")
        tx.execute("SELECT setseed(0.5)")
    numbers = {
        name.lower(): globals()[name] for name in ("SESSIONS", "ITEMS", "PRODUCTS", "INSPECTORS", "DEVICES")
    }
    step = SESSIONS // 25
    for low in range(0, SESSIONS, step):
        with database.write() as tx:
            tx.execute(SESSION_ROWS.encode(), {**numbers, "days": DAYS, "low": low, "high": low + step - 1})
    for start in range(0, DAYS, 14):
        first = FIRST + timedelta(start)
        with database.write() as tx:
            last = min(first + timedelta(14), FIRST + timedelta(DAYS))
            tx.execute(VERDICT_ROWS.encode(), {**numbers, "first": first, "last": last})
    with database.read() as connection:
        connection.execute("ANALYZE")


def some_id(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8{kind:03}-{number:012}"


def odd_period(chance: random.Random) -> StatisticsFilter:
    """Begins and ends within a month, or does not; any or no product, item, person and device."""
    since = FIRST + timedelta(chance.randrange(DAYS))
    until = since + timedelta(chance.choice([0, 6, 30, 90, 364]))
    product = chance.choice([None, chance.randrange(PRODUCTS)])
    item = None if product is None else chance.choice([None, 1000 * chance.randint(1, ITEMS) + product])
    return StatisticsFilter(
        chance.choice([None, since]),
        chance.choice([None, until]),
        None if product is None else some_id(1, product),
        None if item is None else some_id(2, item),
        chance.choice([None, some_id(3, chance.randrange(INSPECTORS))]),
        chance.choice([None, f"device-{chance.randrange(DEVICES)}"]),
    )


def longest(chance: random.Random) -> StatisticsFilter:
    """Nearly the whole year, beginning and ending within a month, nothing filtered."""
    since = FIRST + timedelta(chance.randrange(1, 5))
    return StatisticsFilter(since, FIRST + timedelta(DAYS - chance.randrange(2, 5)))


def statistic(
    answer: Callable[..., object], choose: Callable[[random.Random], StatisticsFilter], *group: str
) -> Query:
    body: TypeAdapter[Any] = TypeAdapter(get_type_hints(answer)["return"])

    def query(database: Database, chance: random.Random) -> object:
        has, wanted = SimpleNamespace(database=database), choose(chance)
        if answer is show_yield:
            wanted = StatisticsFilter(
                wanted.since_day, wanted.until_day, wanted.product_id, None, wanted.user_id
            )
        return body.dump_json(answer(has, None, wanted, *group))

    return query


def page(database: Database, chance: random.Random) -> object:
    since = FIRST + timedelta(chance.randrange(DAYS))
    wanted = SessionFilter(
        since_day=chance.choice([None, since]),
        product_id=chance.choice([None, some_id(1, chance.randrange(PRODUCTS))]),
        user_id=chance.choice([None, some_id(3, chance.randrange(INSPECTORS))]),
        device_id=chance.choice([None, f"device-{chance.randrange(DEVICES)}"]),
        status=chance.choice([None, "CANCELLED", "COMPLETED"]),
        verdict=chance.choice([None, "NG"]),
    )
    before = chance.choice([None, Cursors(since + timedelta(30), some_id(1, 1))])
    with database.snapshot() as tx:
        return orjson.dumps(history.sessions(tx, wanted, before, 50))


def item_page(database: Database, chance: random.Random) -> object:
    item = some_id(2, 1000 * chance.randint(1, ITEMS) + chance.randrange(PRODUCTS))
    with database.snapshot() as tx:
        return orjson.dumps(history.sessions(tx, SessionFilter(item_id=item, verdict="NG"), None, 50))


def look_up(database: Database, chance: random.Random) -> object:
    with database.snapshot() as tx:
        found = history.find(tx, f"qr{chance.randrange(SESSIONS)}")
        return orjson.dumps(history.session(tx, found[0]["id"]))


GROUPS = ("day", "week", "month", "product", "item", "inspector", "device")
KINDS: dict[str, Query] = {
    "history, any mix of filters, a page anywhere": page,
    "history, NG of an item": item_page,
    "a scanned code and its session": look_up,
    "agreement, odd spans": statistic(show_agreement, odd_period),
    **{f"agreement by {group}, odd spans": statistic(show_agreement, odd_period, group) for group in GROUPS},
    **{f"agreement by {group}, all year": statistic(show_agreement, longest, group) for group in GROUPS},
    **{f"yield by {g}, odd spans": statistic(show_yield, odd_period, g) for g in GROUPS if g != "item"},
    **{f"yield by {g}, all year": statistic(show_yield, longest, g) for g in GROUPS if g != "item"},
    "Pareto of reasons, odd spans": statistic(show_reasons, odd_period),
    "Pareto of reasons, all year": statistic(show_reasons, longest),
}


def run(work: Path, queries: int = 200) -> None:
    folder = server_folder(work / "servers")
    with postgres(18, settings=SETTINGS, directory=str(folder)) as url:
        migrate(url)
        database = Database(url, max_connections=1)
        database.open()
        started = time.perf_counter()
        fill(database)
        with database.read() as connection:
            counted = [connection.execute(f"SELECT count(*) FROM {t}".encode()).fetchone() for t in TABLES]
        print(f"\nfilled in {time.perf_counter() - started:.0f} s: {dict(zip(TABLES, counted, strict=True))}")
        rows = [timed(name, partial(query, database), queries) for name, query in KINDS.items()]
        report(f"{SESSIONS * ITEMS:,} verdicts: {queries} queries of each kind with random filters, ms", rows)
        database.close()


TABLES = ("inspection_sessions", "item_verdicts", "verdict_counts", "reason_counts", "session_counts")
