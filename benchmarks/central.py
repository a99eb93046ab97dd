"""What the central store does alone, without HTTP; numbers: inspections a round (1000).

Measured: rows/s of batches applied (the operations of a real outbox, made ready outside the clock) and this process's
CPU seconds for them, at 100 and 1,000 rows a batch; rows/s read, hashed and packed by a pull from 0, and the
milliseconds of one with nothing new.
Goal: at least 10,000 rows/s pushed and 30,000 pulled over the whole way, of which this is the server's part.
Limit: batched INSERT and COPY, which the comparison's harness measures (`benchmarks.peer`).

Rules of this file:
- A server's own PostgreSQL (fsync on), one connection.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter, process_time

from benchmarks.centre import CLOCK, Centre, centre, many, one_inspection
from benchmarks.common import report, spread
from central_server.store.changes import pull
from sync_protocol.messages import PushOp
from sync_protocol.wire import pack, write_page
from tests.central.devices import Device

ROUNDS = 3
BATCHES = (100, 1000)
MASTERS = 30_000
PEOPLE = f"""INSERT INTO users (id, username, password_hash, full_name)
             SELECT gen_random_uuid(), 'user-' || n, repeat('x', 97), '検査 ' || n
             FROM generate_series(1, {MASTERS}) n"""


def run(work: Path, inspections: int = 1000) -> None:
    inspection = one_inspection(work / "template")
    with centre(work) as server:
        device = Device(server.database, work / "device")
        pushed = {
            size: [push_rate(device, inspection, inspections, size) for _ in range(ROUNDS)]
            for size in BATCHES
        }
        device.close()
        server.sql(PEOPLE)
        pulled = [pull_rate(server) for _ in range(ROUNDS)]
    rows = []
    for size, found in pushed.items():
        rates, cpu = zip(*found, strict=True)
        rows.append((f"pushed in batches of {size}, rows/s", spread(rates, 0), ""))
        rows.append(("CPU seconds of it for 1,000 inspections", spread(cpu), ""))
    rates, nothing = zip(*pulled, strict=True)
    rows.append((f"pulled, {MASTERS:,} rows, rows/s", spread(rates, 0), ""))
    rows.append(("nothing new, ms", spread(nothing, 1), ""))
    report(f"the central store alone, {ROUNDS} rounds", rows)


def push_rate(device: Device, inspection: list[PushOp], count: int, batch: int) -> tuple[float, float]:
    """(rows a second, this process's CPU seconds for 1,000 inspections)."""
    ops = many(inspection, count)
    device.incarnation = CLOCK.new_id()
    cpu_s, start_s = process_time(), perf_counter()
    for first in range(0, len(ops), batch):
        device.push(ops[first : first + batch])
    return len(ops) / (perf_counter() - start_s), (process_time() - cpu_s) / count * 1000


def pull_rate(server: Centre) -> tuple[float, float]:
    """(rows a second from 0 to the head, milliseconds of a pass with nothing new), pages packed."""
    epoch = str(server.sql("SELECT server_epoch FROM server_state")[0][0])
    cursor, rows, has_more, start_s = 0, 0, True, perf_counter()
    while has_more:
        page = pull(server.database, "masters", cursor, epoch)
        pack(write_page(page))
        rows, cursor, has_more = rows + len(page.changes), page.to_cursor, page.has_more
    took_s, start_s = perf_counter() - start_s, perf_counter()
    pack(write_page(pull(server.database, "masters", cursor, epoch)))
    return rows / took_s, (perf_counter() - start_s) * 1000
