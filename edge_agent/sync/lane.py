"""A lane of the synchronisation: one kind of work, done in bounded units, and the memory of how it went.

Rules of this file:
- `step` claims from a table, decides, and settles in one transaction; it may be killed anywhere and run again.
- A lane raises nothing but SyncFailed for what the network and the other end do; `kind` alone says what follows.
- A lane's memory survives a restart: a server that asked for an hour of peace gets it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Protocol

from edge_agent.errors import Unavailable
from sync_protocol import wire
from sync_protocol.checksums import ChecksumMismatch
from sync_protocol.messages import Malformed


class Kind(StrEnum):
    """What a failure means for the lane that met it. None of them ever discards anything."""

    OFFLINE = "offline"
    """The server was not reached: no attempt is counted, look again in a few seconds."""
    AUTH = "auth"
    """The device was not let in: look again now and then; a person or a new enrolment mends it."""
    THROTTLE = "throttle"
    """The server asked for time."""
    TRANSIENT = "transient"
    """It failed and may succeed later."""
    PERMANENT = "permanent"
    """The very same request will fail again."""
    DAMAGED = "damaged"
    """What arrived is not what was sent."""


HINTS = {
    Kind.OFFLINE: "Check the network and the server's address; nothing is lost, and it goes on by itself.",
    Kind.AUTH: "Enrol the device again (`edge-agent enroll`); what waits to be sent is kept.",
    Kind.THROTTLE: "Wait; the server asked for time.",
    Kind.TRANSIENT: "Wait; it is tried again by itself. If it stays, look at the server's log.",
    Kind.PERMANENT: "Look at the reason; the versions of agent and server may not fit each other.",
    Kind.DAMAGED: "Wait; it is fetched again. If it stays, look for a faulty proxy or network card.",
}


class SyncFailed(Unavailable):
    """The one failure of everything between this device and the server; `retry_after` in seconds, if asked.

    `hint`: what a person can do, where that is more than the kind of failure tells.
    """

    code = "sync-failed"

    def __init__(
        self, kind: Kind, code: str, detail: str, retry_after: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(detail, code=code, hint=hint or HINTS[kind])
        self.kind = kind
        self.retry_after = retry_after


@contextmanager
def understood() -> Iterator[None]:
    """What the codecs refuse, as SyncFailed."""
    try:
        yield
    except ChecksumMismatch as error:
        raise SyncFailed(
            Kind.DAMAGED, "reply-damaged", f"The answer is not whole, or not the server's ({error})."
        ) from error
    except (Malformed, wire.TooLarge) as error:
        raise SyncFailed(
            Kind.DAMAGED, "reply-invalid", f"The answer is not of this protocol ({error})."
        ) from error


class Lane(Protocol):
    """One kind of work. `name` is what its state is kept under (`lane:NAME`)."""

    name: str

    def step(self) -> bool:
        """One bounded unit of work; True: more is due now. Raises SyncFailed."""
        ...


@dataclass(frozen=True, slots=True)
class LaneState:
    """How a lane fares. Instants are RFC 3339; `attempts` counts failures in a row.

    `error_*` is the last failure, kept after a success until the next one: look at `attempts` for now.
    """

    attempts: int = 0
    next_attempt_at: str | None = None
    last_attempt_at: str | None = None
    last_success_at: str | None = None
    failed_at: str | None = None
    error_kind: str = ""
    error_code: str = ""
    error_detail: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def read_state(document: Mapping[str, Any]) -> LaneState:
    """The state as it was stored, also by another version."""
    known = {field.name for field in fields(LaneState)}
    return LaneState(**{name: value for name, value in document.items() if name in known})
