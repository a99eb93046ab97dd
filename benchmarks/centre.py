"""A real central server to measure against, and the devices and records that come to it.

Rules of this file:
- The installed program in a process of its own, with its embedded PostgreSQL (fsync on) and object store.
- Devices enrol over HTTP; the codes are issued by the server's own code, without starting a command for each.
- What has arrived is counted in the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks.common import server_folder
from central_server.config import load_config
from central_server.daemon.backends import found_backends
from central_server.devices import issue_code
from central_server.store.database import Database
from central_server.store.recounts import count_faults
from edge_agent.clock import Clock
from edge_agent.store import outbox
from edge_agent.sync.central import Central
from edge_agent.sync.push import read_entries
from sync_protocol.canonical import sha256_hex
from sync_protocol.messages import EnrollRequest, PushOp
from tests.acceptance.program import PROGRAM, daemon
from tests.central.devices import MASTER_IDS
from tests.store_factory import Store, Ticking

SERVER = PROGRAM.with_name("central-server")
CLOCK = Clock()


@dataclass(frozen=True, slots=True)
class Centre:
    """A running server. `process` is the server's alone, without its database and object store."""

    data_dir: Path
    url: str
    database: Database
    process: psutil.Process = field(repr=False)

    def code(self) -> str:
        """A new enrolment code."""
        return issue_code(self.database, CLOCK, "bench", 3600).code

    def enrol(self, client: httpx.Client) -> tuple[str, Central]:
        """A new device's id, and its way here."""
        device_id = CLOCK.new_id()
        request = EnrollRequest(
            code=self.code(), device_id=device_id, device_type="tablet", app_version="bench"
        )
        token = Central(self.url, "", client, CLOCK).enroll(request).token
        return device_id, Central(self.url, token, client, CLOCK)

    def sql(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        with self.database.read() as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        return int(str(self.sql(f"SELECT count(*) FROM {table}")[0][0]))

    def require_sound_counts(self) -> None:
        """The statistics' counts are those of the facts."""
        with self.database.snapshot() as tx:
            faults = list(count_faults(tx))
        assert not faults, faults[:10]

    def cpu_s(self) -> float:
        """Processor seconds of the server with its database and object store."""
        family = [self.process, *self.process.children(recursive=True)]
        return float(sum(sum(one.cpu_times()[:2]) for one in family))

    def megabytes(self) -> float:
        """Resident memory of the server process."""
        return float(self.process.memory_info().rss) / 1e6


@contextmanager
def centre(work: Path, port: int = 0) -> Iterator[Centre]:
    """A server below `work`: on an empty directory, or on what the one before it left there."""
    data_dir = server_folder(work / "centre")
    with daemon(data_dir, "--port", str(port), program=SERVER) as running:
        database = Database(found_backends(load_config(data_dir)).database_url, max_connections=2)
        database.open()
        try:
            yield Centre(data_dir, running.url, database, psutil.Process(running.process.pid))
        finally:
            database.close()
            running.terminate()


# ── records ─────────────────────────────────────────────────────────────────────────────────────────────


def one_inspection(work: Path) -> list[PushOp]:
    """What a device's outbox holds of a whole inspection, as the product itself queued it."""
    work.mkdir()
    store = Store(work, Ticking(CLOCK.time()), MASTER_IDS)
    try:
        store.add_masters()
        store.inspect()
        with store.database.read() as reader:
            priorities = [head.priority for head in outbox.heads(reader)]
            ids = outbox.oldest_ready(reader, priorities, 1000)
            return read_entries(outbox.entries(reader, ids)).ops
    finally:
        store.close()


def many(inspection: list[PushOp], count: int, first_seq: int = 1) -> list[PushOp]:
    """The same inspection again and again, with new ids."""
    made: list[PushOp] = []
    for _ in range(count):
        ids = {old: CLOCK.new_id() for op in inspection for old in (op.entity_id, op.tx_id)}
        for op in inspection:
            data = op.data
            for old, new in ids.items():
                data = data.replace(old, new)
            made.append(
                op._replace(
                    seq=first_seq + len(made),
                    op_id=CLOCK.new_id(),
                    tx_id=ids[op.tx_id],
                    entity_id=ids[op.entity_id],
                    data=data,
                    sha256=sha256_hex(data.encode()),
                )
            )
    return made
