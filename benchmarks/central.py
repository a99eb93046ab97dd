"""What the central store does alone, without HTTP: `python -m benchmarks.central [INSPECTIONS]`.

Rules of this file:
- A real PostgreSQL with fsync on, one connection, the operations of a real agent's outbox made ready outside the
  clock. Each figure is a median of three runs.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from central_server.store.changes import pull
from central_server.store.database import Database
from central_server.store.migrations import migrate
from sync_protocol.canonical import sha256_hex
from sync_protocol.messages import PushOp
from sync_protocol.wire import pack, write_page
from tests.central.devices import CLOCK, Device
from tests.servers import postgres

RUNS = 3
MASTERS = 30_000


def many(template: list[PushOp], inspections: int) -> list[PushOp]:
    """The template's operations again and again, with new ids."""
    made: list[PushOp] = []
    for _ in range(inspections):
        ids = {op.entity_id: CLOCK.new_id() for op in template}
        for op in template:
            data = op.data
            for old, new in ids.items():
                data = data.replace(old, new)
            changed: dict[str, Any] = {
                "data": data,
                "sha256": sha256_hex(data.encode()),
                "entity_id": ids[op.entity_id],
            }
            made.append(op._replace(**changed, op_id=CLOCK.new_id(), seq=10_000 + len(made)))
    return made


def push_rate(device: Device, template: list[PushOp], inspections: int, batch: int) -> tuple[float, float]:
    """(rows a second, this process's CPU seconds for 1,000 inspections)."""
    ops = many(template, inspections)
    device.incarnation = CLOCK.new_id()
    cpu, start = _cpu(), perf_counter()
    for first in range(0, len(ops), batch):
        device.push(ops[first : first + batch])
    took = perf_counter() - start
    return len(ops) / took, (_cpu() - cpu) / inspections * 1000


def pull_rate(database: Database, epoch: str) -> tuple[float, float]:
    """(rows a second from 0 to the head, milliseconds of a pass with nothing new), pages packed."""
    cursor, rows, start = 0, 0, perf_counter()
    while True:
        page = pull(database, "masters", cursor, epoch)
        pack(write_page(page))
        rows, cursor = rows + len(page.changes), page.to_cursor
        if not page.has_more:
            break
    took, start = perf_counter() - start, perf_counter()
    pack(write_page(pull(database, "masters", cursor, epoch)))
    return rows / took, (perf_counter() - start) * 1000


def main(inspections: int) -> None:
    with postgres(18, settings=("max_wal_size=2GB", "shared_buffers=128MB")) as url:
        migrate(url)
        database = Database(url, max_connections=1)
        database.open()
        with tempfile.TemporaryDirectory() as folder:
            device = Device(database, Path(folder))
            device.store.inspect()
            template = device.outbox()
            for batch in (100, 1000):
                found = _medians(lambda size=batch: push_rate(device, template, inspections, size))  # type: ignore[misc]
                print(
                    f"push, batches of {batch}: {found[0]:,.0f} rows/s, {found[1]:.2f} CPU-s per 1,000 inspections"
                )
            device.close()
        with database.write() as tx:
            tx.execute(
                f"""INSERT INTO users (id, username, password_hash, full_name)
                SELECT gen_random_uuid(), 'user-' || n, repeat('x', 97), '検査 ' || n
                FROM generate_series(1, {MASTERS}) n""".encode()
            )
        with database.snapshot() as tx:
            epoch = str(tx.execute("SELECT server_epoch FROM server_state").fetchall()[0][0])
        found = _medians(lambda: pull_rate(database, epoch))
        print(f"pull: {found[0]:,.0f} rows/s read, hashed and packed; nothing new: {found[1]:.1f} ms")
        database.close()


def _medians(run: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*(run() for _ in range(RUNS)), strict=True)
    return median(first), median(second)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
