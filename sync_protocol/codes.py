"""Every error the two ends can tell each other, and what the hearer does about it.

Rules of this file:
- A code is kebab-case and stable. An unknown one counts as `UNKNOWN`: retry, never destroy.
- `scope` says what the error is about, so that one poisoned operation never holds up a device, and a server that
  is down never fills the dead letters.
- `disposition` says whether the same bytes may be sent again: RETRY (back off), DEAD (keep with the reason, visible
  and requeueable), STOP (halt until a person or a new enrolment; the queue is kept).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    OP = "op"
    BATCH = "batch"
    DEVICE = "device"
    SERVER = "server"


class Disposition(StrEnum):
    RETRY = "retry"
    DEAD = "dead"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Code:
    code: str
    scope: Scope
    disposition: Disposition
    meaning: str


_TABLE = (
    # one operation
    ("row-damaged", Scope.OP, Disposition.DEAD, "The data's sha256 is not the one sent with it."),
    ("row-invalid", Scope.OP, Disposition.DEAD, "The data is not a row of its table."),
    ("row-differs", Scope.OP, Disposition.DEAD, "A row with this id is there, with other content."),
    ("not-owner", Scope.OP, Disposition.DEAD, "The row belongs to another device."),
    ("operation-unknown", Scope.OP, Disposition.DEAD, "Rows of this table cannot be changed in this way."),
    ("parent-missing", Scope.OP, Disposition.RETRY, "The row it belongs to has not arrived."),
    ("schema-newer", Scope.OP, Disposition.RETRY, "The server must be updated before it can store this."),
    # one request
    (
        "batch-damaged",
        Scope.BATCH,
        Disposition.RETRY,
        "The body's checksum does not match: damaged on the way.",
    ),
    ("batch-invalid", Scope.BATCH, Disposition.DEAD, "The body is not a request of this protocol."),
    ("batch-too-large", Scope.BATCH, Disposition.RETRY, "Send it again in smaller batches."),
    ("page-damaged", Scope.BATCH, Disposition.RETRY, "The page's checksum does not match: fetch it again."),
    ("pull-reset", Scope.BATCH, Disposition.RETRY, "The cursor cannot be continued: pull again from 0."),
    ("space-unknown", Scope.BATCH, Disposition.DEAD, "There is no such space or table."),
    # one object
    (
        "blob-differs",
        Scope.OP,
        Disposition.RETRY,
        "The object's bytes do not have the sha256 it is named by.",
    ),
    ("blob-missing", Scope.OP, Disposition.RETRY, "The object store does not hold these bytes."),
    ("blob-too-large", Scope.OP, Disposition.DEAD, "The object is larger than the server takes."),
    # the device
    (
        "device-forked",
        Scope.DEVICE,
        Disposition.RETRY,
        "Two disks claim one identity: take a new incarnation.",
    ),
    ("device-unknown", Scope.DEVICE, Disposition.STOP, "The device is not enrolled here."),
    ("device-revoked", Scope.DEVICE, Disposition.STOP, "The device's access was withdrawn."),
    ("token-invalid", Scope.DEVICE, Disposition.STOP, "The token is missing or wrong."),
    ("code-invalid", Scope.DEVICE, Disposition.STOP, "The enrolment code is wrong, used or expired."),
    ("protocol-unknown", Scope.DEVICE, Disposition.STOP, "The two ends share no version of the protocol."),
    # the server
    ("throttled", Scope.SERVER, Disposition.RETRY, "Wait at least retry_after seconds."),
    ("database-unavailable", Scope.SERVER, Disposition.RETRY, "The server's database cannot be reached."),
    ("database-newer", Scope.SERVER, Disposition.STOP, "The database belongs to a newer server."),
    ("database-changed", Scope.SERVER, Disposition.STOP, "A migration is not the one that was applied."),
    ("store-unavailable", Scope.SERVER, Disposition.RETRY, "The object store cannot be reached."),
    ("store-full", Scope.SERVER, Disposition.RETRY, "The object store takes nothing more."),
    ("request-unknown", Scope.SERVER, Disposition.RETRY, "The server must be updated to answer this."),
    ("internal", Scope.SERVER, Disposition.RETRY, "The server failed; nothing was stored."),
)
CODES = {code: Code(code, scope, disposition, meaning) for code, scope, disposition, meaning in _TABLE}
UNKNOWN = Code(
    "unknown", Scope.SERVER, Disposition.RETRY, "The other end says something this version does not know."
)


def lookup(code: str) -> Code:
    """What a code means; UNKNOWN for one that only a newer peer knows."""
    return CODES.get(code, UNKNOWN)
