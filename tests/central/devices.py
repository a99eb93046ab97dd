"""A device as the server sees it: a real edge store whose outbox is pushed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from central_server.store.database import Connection, Database
from central_server.store.ingest import push
from edge_agent.clock import Clock
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.messages import PushOp, PushReply, PushRequest
from tests.store_factory import Store, Ticking

CLOCK = Clock()
MASTER_IDS = {
    name: f"018f0000-0000-7000-8000-0000000000{number:02d}"
    for number, name in enumerate(("plate", "plate-face", "plate-lamp", "pipe-1"), 10)
}


class _Undone(Exception):
    """Ends the transaction that is not to come true."""


@contextmanager
def undone(database: Database) -> Iterator[Connection]:
    """A transaction whose commit does not come."""
    with suppress(_Undone), database.write() as tx:
        yield tx
        raise _Undone


class Device:
    """An enrolled device; ids of its records are new on every run, so that tests can share a database."""

    def __init__(self, database: Database, data_dir: Path) -> None:
        self.database = database
        data_dir.mkdir(exist_ok=True)
        self.store = Store(data_dir, Ticking(CLOCK.time()))
        self.store.add_masters()
        self.device_id = CLOCK.new_id()
        self.incarnation = CLOCK.new_id()
        with database.write() as tx:
            tx.execute(
                """INSERT INTO devices (device_id, device_type, app_version, token_sha256)
                   VALUES (%s, 'tablet', '1', %s)""",
                (self.device_id, self.device_id),
            )

    def close(self) -> None:
        self.store.close()

    def outbox(self) -> list[PushOp]:
        """Every entry of the queue, oldest first, with master ids that are UUIDs as the importer makes them."""
        with self.store.database.read() as reader:
            rows = reader.execute("SELECT * FROM sync_queue ORDER BY id").fetchall()
        return [_as_op(dict(row)) for row in rows]

    def push(self, ops: list[PushOp], **changed: Any) -> PushReply:
        values = {"batch_id": CLOCK.new_id(), "incarnation": self.incarnation, "ops": tuple(ops)} | changed
        with self.database.batch() as tx:
            return push(tx, self.device_id, PushRequest(**values))

    def outcomes(self, ops: list[PushOp], **changed: Any) -> list[tuple[str, str]]:
        """(outcome, code) of each operation."""
        return [(result.outcome, result.code) for result in self.push(ops, **changed).results]

    def count(self, table: str) -> int:
        with self.database.snapshot() as tx:
            sql = f"SELECT count(*) FROM {table} WHERE device_id = %s"
            (found,) = tx.execute(sql.encode(), (self.device_id,)).fetchall()
        return int(str(found[0]))


def edited(op: PushOp, *, fields: dict[str, Any] | None = None, **changed: Any) -> PushOp:
    """The operation with other columns in its data (and the checksum to go with them) or other members."""
    row = json.loads(op.data) | (fields or {})
    data = canonical_row(row).decode()
    values = {"data": data, "sha256": sha256_hex(data.encode()), "entity_id": row["id"]} | changed
    return op._replace(**values)


def again(op: PushOp, *, seq: int, **fields: Any) -> PushOp:
    """Another operation on the same row."""
    return edited(op, fields=fields, op_id=CLOCK.new_id(), seq=seq)


def _as_op(entry: dict[str, Any]) -> PushOp:
    row = {
        name: MASTER_IDS.get(value, value) if name.endswith("_id") and isinstance(value, str) else value
        for name, value in json.loads(entry["data"]).items()
    }
    data = canonical_row(row).decode()
    return PushOp(
        seq=entry["id"],
        op_id=entry["op_id"],
        tx_id=entry["tx_id"],
        entity_type=entry["entity_type"],
        entity_id=entry["entity_id"],
        operation=entry["operation"],
        base_version=entry["base_version"],
        data=data,
        blob_refs=tuple(json.loads(entry["blob_refs"])),
        sha256=sha256_hex(data.encode()),
    )
