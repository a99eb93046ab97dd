"""What comes down to a device; numbers: masters (60000), acknowledged entries in the queue (1000000).

Measured: rows/s of the first pull into an empty agent, applied and verified; a pass with nothing to do, the first one
after the start and the median of those after it, with an empty queue and with that many acknowledged entries; and a
pass that brings one changed row.
Goal: at least 30,000 rows/s; at most 15 ms, whatever the queue holds; at most 20 ms.
Limit: the same rows written into the same tables by one `executemany` a table, without a server.

Rules of this file:
- Whole agents with their real stores and engines, and a real server; a pass is a whole pass, greeting included. The
  agent with an empty queue and the one with a full one take turns.
- The acknowledged entries are made by SQL: the real table, with its indexes and its entries in the audit log.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter

from benchmarks.centre import CLOCK, Centre, centre
from benchmarks.common import report, spread
from edge_agent.api.services import Services
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.models import Actor, Role
from edge_agent.store import pulled
from edge_agent.store.database import Database
from edge_agent.store.schema import open_database
from sync_protocol.tables import ITEMS, PRODUCTS

TECHNICIAN = Actor("bench", None, Role.TECHNICIAN)
PASSES = 15
PRODUCT_COUNT = 40
CRITERIA = '{"type":"VISUAL","rule":"objects","forbid":{"scratch":{"conf":0.4,"min_area_px":25}}}'
MADE_PRODUCTS = """
    INSERT INTO inspection_targets_master (id, product_code, product_name, version)
    SELECT gen_random_uuid(), 'PRD-' || n, '製品 ' || n, '1' FROM generate_series(1, %s) n"""
MADE_ITEMS = """
    INSERT INTO inspection_items_master (id, target_id, item_code, item_name, inspection_type, criteria, order_sequence)
    SELECT gen_random_uuid(), p.id, 'item-' || n, '検査項目 ' || n, 'VISUAL', %s, n
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS place, count(*) OVER () AS count
          FROM inspection_targets_master) p
    JOIN generate_series(1, %s) n ON n %% p.count + 1 = p.place"""
TOUCHED = """UPDATE inspection_targets_master SET product_name = product_name || '+'
             WHERE product_code = 'PRD-1'"""
ACKNOWLEDGED = """
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
    INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data, created_at,
                            processed_at, op_id, tx_id, sha256, incarnation, ack)
    SELECT 'bench', 'desktop', 'bench', 'inspection_targets', 'target-' || n, 'INSERT', '{}', ?2, ?2, 'op-' || n,
           'tx-' || n, '', 'bench', n / 100 FROM n"""


def run(work: Path, masters: int = 60_000, acknowledged: int = 1_000_000) -> None:
    with centre(work) as at:
        at.sql(MADE_PRODUCTS, (PRODUCT_COUNT,))
        at.sql(MADE_ITEMS, (CRITERIA, masters))
        for name in ("empty", "full"):
            with running(work / name) as services:
                services.sync.enrol(at.url, at.code(), TECHNICIAN)
                took_s = one_pass(services)
        with running(work / "full") as services:
            limit_s = written_alone(services.database, work / "limit.db")
            with services.database.write() as tx:
                tx.execute(ACKNOWLEDGED, (acknowledged, CLOCK.now()))
        with running(work / "empty") as empty, running(work / "full") as full:
            passes = [(one_pass(empty), one_pass(full)) for _ in range(PASSES)]
            empty_ms, full_ms = ([1000 * took for took in column] for column in zip(*passes, strict=True))
            changed_ms = [changed(full, at) for _ in range(PASSES)]
    rows = masters + PRODUCT_COUNT
    report(
        f"pull: {rows:,} masters; {acknowledged:,} acknowledged entries",
        [
            ("first pull, rows/s", f"{rows / took_s:,.0f}", "≥ 30,000"),
            ("… written without a server", f"{rows / limit_s:,.0f}", ""),
            ("nothing to do, empty queue: first, ms", f"{empty_ms[0]:.1f}", "≤ 15"),
            ("… after it, ms", spread(empty_ms[1:], 1), "≤ 15"),
            ("nothing to do, full queue: first, ms", f"{full_ms[0]:.1f}", "≤ 15"),
            ("… after it, ms", spread(full_ms[1:], 1), "≤ 15"),
            ("… full to empty", f"{statistics.median(full_ms) / statistics.median(empty_ms):.2f}", "1"),
            ("one row changed, ms", spread(changed_ms, 1), "≤ 20"),
        ],
    )


@contextmanager
def running(data_dir: Path) -> Iterator[Services]:
    with running_services(load_config(data_dir, workers=1, backup_keep=0), CLOCK) as services:
        yield services


def one_pass(services: Services) -> float:
    """Seconds of a whole pass of the rows."""
    link = services.sync.link()
    link.hello.want()
    start = perf_counter()
    failures = link.rows.run_pass(pass_s=float("inf")).failures
    took_s = perf_counter() - start
    assert not failures, failures
    return took_s


def changed(services: Services, at: Centre) -> float:
    """Milliseconds of a pass that brings one row."""
    at.sql(TOUCHED)
    return 1000 * one_pass(services)


def written_alone(source: Database, path: Path) -> float:
    """Seconds to write what was pulled into an empty store."""
    with source.read() as reader:
        rows = [(table, list(pulled.present(reader, table))) for table in (PRODUCTS, ITEMS)]
    with closing(open_database(path, CLOCK, "desktop", "bench")) as database:
        start = perf_counter()
        with database.write(local=False) as tx:
            for table, found in rows:
                pulled.put(tx, table, ((*values, 0, sha256) for values, sha256 in found))
        return perf_counter() - start
