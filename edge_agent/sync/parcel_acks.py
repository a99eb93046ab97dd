"""The server's answer to a parcel, settled here as if it had come over the network.

Rules of this file:
- Only an answer of this device's own server, in the history this device knows, settles anything: exactly the entries
  it names, and each only if it still waits.
- A batch's entries are settled in one transaction; the same answer may be brought twice.
- Its batches were counted by the server at some time in the past: here they never make a count go back.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from edge_agent.clock import Clock
from edge_agent.errors import BadInput, Conflict
from edge_agent.models import Actor
from edge_agent.store import audit, outbox, uploads
from edge_agent.store.database import Database, insert
from edge_agent.store.outbox import SetAside
from edge_agent.sync import device
from edge_agent.sync.device import Standing
from edge_agent.sync.push import Settlement, conflict_of, read_entries, settle
from sync_protocol import parcels
from sync_protocol.messages import Malformed, PushReply
from sync_protocol.parcels import Acknowledgement

IMAGES_AT_ONCE = 500


@dataclass(slots=True)
class Settled:
    """`settled`: entries now known to be at the server; `refused`: those that became dead letters; `waiting`: those
    that need something the server does not have; `images`: photographs the object store holds."""

    settled: int = 0
    refused: int = 0
    waiting: int = 0
    images: int = 0


def settle_ack(
    database: Database, clock: Clock, device_id: str, token_sha256: str, data: bytes, actor: Actor
) -> Settled:
    """Raises BadInput (`ack-invalid`), Conflict (`ack-outdated`)."""
    try:
        ack = parcels.read_ack(data, parcels.key_of(token_sha256, "parcel-ack/1"))
    except (parcels.NotAuthentic, Malformed) as error:
        raise BadInput(
            f"The file is no answer to this device's parcels: {error}.",
            code="ack-invalid",
            hint="Bring the file that `central-server sync import` wrote, as it was; nothing was changed.",
        ) from None
    _require_current(database, ack, device_id)
    settled = Settled()
    for reply in ack.replies:
        with database.write(actor) as tx:
            _settle_batch(tx, clock, ack, reply, settled)
    for start in range(0, len(ack.blobs), IMAGES_AT_ONCE):
        with database.write(actor) as tx:
            uploads.settle(tx, ack.blobs[start : start + IMAGES_AT_ONCE], clock.now())
    settled.images = len(ack.blobs)
    with database.write(actor) as tx:
        told = {"settled": settled.settled, "refused": settled.refused, "images": settled.images}
        audit.append(tx, "queue.import-ack", "sync_queue", ack.parcel_id, told)
    return settled


def _require_current(database: Database, ack: Acknowledgement, device_id: str) -> None:
    with database.read() as reader:
        standing = device.standing_of(reader)
    if ack.device_id != device_id or standing.server_epoch not in ("", ack.server_epoch):
        raise Conflict(
            "The server was restored from a backup since it wrote this answer.",
            code="ack-outdated",
            hint="Write the queue again (`edge-agent sync export`) and bring it; nothing is doubled by that.",
        )


def _settle_batch(
    tx: sqlite3.Connection, clock: Clock, ack: Acknowledgement, reply: PushReply, settled: Settled
) -> None:
    ids = outbox.ids_of(tx, [result.op_id for result in reply.results])
    settlement = settle(read_entries(outbox.entries(tx, ids)).ops, reply.results)
    done, now = [op.seq for op in settlement.done], clock.now()
    if done:
        outbox.acknowledge(tx, done, ack.incarnation, reply.ack, now)
    outbox.set_aside(tx, _dead(settlement), now)
    for op, result in settlement.superseded:
        insert(tx, "conflict_log", conflict_of(op, result, clock.new_id(), now))
    after = counted(device.standing_of(tx), ack.incarnation, reply.ack, max(done, default=0))
    device.keep(tx, after)
    settled.settled += len(done)
    settled.refused += len(settlement.dead)
    settled.waiting += len(settlement.deferred)


def _dead(settlement: Settlement) -> list[SetAside]:
    return [SetAside(op.seq, result.code, result.detail, None) for op, result in settlement.dead]


def counted(standing: Standing, incarnation: str, ack: int, last_seq: int) -> Standing:
    """The standing once a batch is known to be acknowledged that may be older than the newest."""
    if standing.incarnation != incarnation:
        return standing
    return replace(standing, last_ack=max(standing.last_ack, ack), last_seq=max(standing.last_seq, last_seq))
