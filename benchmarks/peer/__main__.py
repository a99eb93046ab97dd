"""Agent and central server among the peers: `python -m benchmarks.peer HARNESS [--with morango-tuned …]`.

Rules of this file:
- HARNESS is the folder of the comparison's harness (bench.py, adapters.py, workload.py). It says when, counts bytes and
  CPU seconds, and checks that every row has arrived; we are one more adapter.
- The server is `central-server run` on the harness's PostgreSQL, fsync on, masters made before the clock runs.
- What a device pulls are masters: the empty agent of the last step pulls as many items as there were rows pushed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg

BIN = Path(sys.executable).parent
PRODUCTS, PEOPLE = 40, 30
FACTS = (
    "inspection_targets",
    "inspection_sessions",
    "inspection_images",
    "ai_inspection_results",
    "human_verification_results",
)
ITEM = "id, target_id, item_code, item_name, inspection_type, criteria, order_sequence"
CRITERIA = '{"type":"VISUAL","rule":"objects","forbid":{"scratch":{"conf":0.4,"min_area_px":25}}}'
MASTERS = f"""
    INSERT INTO users (id, username, password_hash)
    SELECT gen_random_uuid(), 'user-' || n, '' FROM generate_series(1, {PEOPLE}) n;
    INSERT INTO inspection_targets_master (id, product_code, product_name, version)
    SELECT gen_random_uuid(), 'PRD-' || lpad(n::text, 3, '0'), 'Product ' || n, '1'
    FROM generate_series(0, {PRODUCTS - 1}) n;
    INSERT INTO inspection_items_master ({ITEM})
    SELECT gen_random_uuid(), id, 'face', '外観', 'VISUAL', '{CRITERIA}', 1 FROM inspection_targets_master"""
BULK = f"""
    INSERT INTO inspection_items_master ({ITEM})
    SELECT gen_random_uuid(), p.id, 'bulk-' || n, '検査項目 ' || n, 'VISUAL', '{CRITERIA}', n
    FROM generate_series(1, NUMBER) n
    JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM inspection_targets_master) p
      ON p.place = n % {PRODUCTS}"""
TOUCH = """UPDATE inspection_targets_master SET product_name = product_name || '+'
           WHERE id = (SELECT id FROM inspection_targets_master ORDER BY id LIMIT 1)"""


class Ours:
    """One more peer; what it is given by the harness's own base class is declared here."""

    base: Path
    o: argparse.Namespace
    pids: dict[str, int]
    database: Callable[[ExitStack, str], str]
    servers: ModuleType
    harness: Path

    enrols = True

    def start(self, stack: ExitStack) -> None:
        self.db = self.database(stack, "central")
        [port] = self.servers.free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {**os.environ, "CENTRAL_SERVER_DATABASE_URL": self.db}
        self.argv: list[str | Path] = [BIN / "central-server", "--data-dir", self.base / "central"]
        process = stack.enter_context(
            self.servers.running(
                [*self.argv, "run", "--port", port],
                self.base,
                lambda p: self.servers.wait_http(p, self.url + "/health/ready", self.base),
                env=self.environment,
            )
        )
        self.pids["server"] = process.pid
        self.version = "this checkout"
        self.sql(MASTERS)

    def client(self, url: str, fresh: bool = False) -> tuple[list[Any], Path, dict[str, str]]:
        if fresh:
            self.sql(BULK.replace("NUMBER", str(6 * self.o.n)))
        answer = subprocess.check_output([*self.argv, "device", "code", "--json"], env=self.environment)
        where = self.base / ("fresh" if fresh else "agent")
        argv = [
            sys.executable,
            "-m",
            "benchmarks.peer.client",
            url,
            where,
            json.loads(answer)["code"],
            self.harness,
        ]
        return argv, self.base, {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def touch(self) -> None:
        self.sql(TOUCH)

    def counts(self) -> dict[str, int]:
        return {table: self.sql(f"SELECT count(*) FROM {table}")[0][0] for table in FACTS}

    def sql(self, statement: str) -> list[Any]:
        with psycopg.connect(self.db, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("harness", type=Path)
    arguments.add_argument(
        "--with", dest="others", nargs="*", default=[], help="peers measured in the same run"
    )
    arguments.add_argument("--n", type=int, default=10_000)
    arguments.add_argument("--reps", type=int, default=3)
    chosen = arguments.parse_args()
    harness = chosen.harness.resolve()
    sys.path.insert(0, str(harness))
    adapters, bench = importlib.import_module("adapters"), importlib.import_module("bench")
    given = {"servers": importlib.import_module("servers"), "harness": harness}
    adapters.PEERS["ours"] = type("Ours", (Ours, adapters.Peer), given)
    options = argparse.Namespace(
        n=chosen.n,
        rtt_ms=0,
        noops=5,
        deltas=5,
        fresh_pull=True,
        attachments=0,
        data=None,
        patience=0,
        batch=0,
        verbose=False,
    )
    for peer in ["ours", *chosen.others]:
        runs = [bench.one(peer, chosen.n, number == 0, options) for number in range(chosen.reps + 1)]
        report(peer, runs)


def report(peer: str, runs: list[dict[str, Any]]) -> None:
    """Medians of the direct runs; bytes from the first, which went through the counting proxy."""
    wire, direct = runs[0], runs[1:] or runs
    rows = direct[0]["rows"]
    print(f"{peer} ({direct[0]['version']}), {direct[0]['n']} inspections, {len(direct)} runs")
    for step in ("push", "noop", "delta_push", "delta_pull", "delta_sync", "fresh_pull"):
        took = [one["s"] for run in direct for one in run["steps"].get(step, [])]
        if not took:
            continue
        rate = f"  {rows / statistics.median(took):,.0f} rows/s" if step in ("push", "fresh_pull") else ""
        sent = wire["steps"][step][0].get("bytes", [])
        spent = direct[0]["steps"][step][0]
        middle, least, most = (1000 * figure for figure in (statistics.median(took), min(took), max(took)))
        print(
            f"  {step:11} {middle:9.1f} ms [{least:.1f}-{most:.1f}]{rate}"
            f"  up, down, connections {sent}  cpu-s {spent['cpu']}  rss MB {spent['rss_mb']}"
        )
    cpu = statistics.median(sum(run["steps"]["push"][0]["cpu"].values()) for run in direct)
    print(
        f"  push: {1000 * cpu / direct[0]['n']:.2f} CPU-s per 1,000 inspections, client + server + database"
    )


if __name__ == "__main__":
    main()
