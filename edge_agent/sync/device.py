"""What this device knows of its standing with the server, and what a greeting or an answer says about it.

Rules of this file:
- Pure but for `standing_of` and `keep`. What follows from a standing is stored with it, in the same transaction.
- The server counts a device's acknowledged batches; a count at or below ours is a server that went back in time.
- Whatever is in doubt is sent again: the server knows what it has.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass, fields, replace

from edge_agent.clock import from_rfc3339
from edge_agent.store import sync_states
from sync_protocol.messages import HelloReply, PushReply

STATE = "device"
OFFSET_TOLERANCE_MS = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """`incarnation`: this life of the disk; `last_seq` and `last_ack`: the highest acknowledged under it.

    `lost_after_ack`: the server lost what it acknowledged after this batch, and it is not queued again yet.
    `clock_offset_ms`: server time minus device time. `server_schema`: of the rows the server knows; 0: not greeted yet.
    """

    incarnation: str
    server_epoch: str = ""
    last_seq: int = 0
    last_ack: int = 0
    lost_after_ack: int | None = None
    clock_offset_ms: int = 0
    server_schema: int = 0


def standing_of(reader: sqlite3.Connection) -> Standing:
    """As it was kept last, also by another version. Only of a device that is enrolled."""
    document = sync_states.get(reader, STATE)
    known = {field.name for field in fields(Standing)}
    return Standing(**{name: document[name] for name in known & document.keys()})


def keep(tx: sqlite3.Connection, standing: Standing) -> None:
    sync_states.put(tx, STATE, asdict(standing))


def after_push(standing: Standing, reply: PushReply, last_seq: int) -> Standing:
    """The standing once a batch up to `last_seq` was answered."""
    lost = standing.lost_after_ack
    if reply.ack <= standing.last_ack or standing.server_epoch not in ("", reply.server_epoch):
        lost = min(reply.ack - 1, standing.last_ack if lost is None else lost)
    return replace(
        standing,
        last_seq=max(standing.last_seq, last_seq),
        last_ack=reply.ack,
        lost_after_ack=lost,
    )


def after_hello(standing: Standing, reply: HelloReply, queue_head: int, new_incarnation: str) -> Standing:
    """The standing once the server greeted back.

    A server that has seen entries this disk never made met a twin: the disk was cloned, or restored from a backup.
    """
    if reply.device_last_seq > queue_head:
        return forked(standing, new_incarnation)
    if reply.device_last_ack < standing.last_ack or (
        standing.server_epoch not in ("", reply.server_epoch) and standing.lost_after_ack is None
    ):
        known = standing.last_ack if standing.lost_after_ack is None else standing.lost_after_ack
        standing = replace(standing, lost_after_ack=min(known, reply.device_last_ack))
    epoch = standing.server_epoch or reply.server_epoch
    return replace(standing, server_epoch=epoch, server_schema=reply.schema_version)


def forked(standing: Standing, new_incarnation: str) -> Standing:
    """A life of its own; everything unsent goes under it. What was still to be queued again under the old one is
    everything now: batches of two lives cannot be compared."""
    lost = None if standing.lost_after_ack is None else 0
    return replace(standing, incarnation=new_incarnation, last_seq=0, last_ack=0, lost_after_ack=lost)


def restored(standing: Standing, server_epoch: str, device_last_ack: int) -> Standing:
    """The standing once everything the server lost is queued again."""
    return replace(standing, server_epoch=server_epoch, last_ack=device_last_ack, lost_after_ack=None)


def measured(standing: Standing, server_time: str, sent_s: float, received_s: float) -> Standing:
    """With the clock's offset as a greeting showed it; small changes are not worth storing."""
    offset_ms = round((from_rfc3339(server_time) - (sent_s + received_s) / 2) * 1000)
    if abs(offset_ms - standing.clock_offset_ms) < OFFSET_TOLERANCE_MS:
        return standing
    return replace(standing, clock_offset_ms=offset_ms)
