"""What a technician should know of the synchronisation now: the watchdog's judgement.

Rules of this file:
- Pure. A device that was never enrolled, or whose synchronisation a person paused, is late for nothing.
- Every alarm says that nothing is lost, because nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge_agent.clock import from_rfc3339
from edge_agent.models import Finding, Severity
from edge_agent.store.outbox import Head
from edge_agent.sync.backoff import CAP_S, breaker
from edge_agent.sync.lane import Kind, LaneState
from sync_protocol.version import SCHEMA_VERSION

URGENT_PRIORITY = 100
URGENT_S, OTHER_S = 15 * 60.0, 2 * 3600.0
CLOCK_OFF_MS = 5 * 60_000
SUBJECT = "synchronisation"


@dataclass(frozen=True, slots=True)
class Watched:
    """`heads`: the oldest ready entry of each priority. `server_schema`: 0 before the first greeting. `idle_s`: since
    the last pass began; None while passes are not made by schedule. `paused_at`: since when a person wants none."""

    now_s: float
    states: Mapping[str, LaneState]
    heads: Sequence[Head]
    clock_offset_ms: int
    server_schema: int
    idle_s: float | None
    paused_at: str | None


def findings(watched: Watched) -> Iterator[Finding]:
    """Everything worth a look."""
    yield from _clock(watched)
    if watched.paused_at is not None:
        yield Finding(
            "sync-paused",
            Severity.INFO,
            SUBJECT,
            f"It was paused at {watched.paused_at}; what is recorded waits here.",
            "Resume it when the reason is gone.",
        )
        return
    yield from _schema(watched.server_schema)
    for name, state in sorted(watched.states.items()):
        yield from _lane(name, state, watched.now_s)
    yield from _late(watched)
    yield from _stalled(watched)


def _clock(watched: Watched) -> Iterator[Finding]:
    if abs(watched.clock_offset_ms) <= CLOCK_OFF_MS:
        return
    minutes = abs(watched.clock_offset_ms) / 60_000
    side = "behind" if watched.clock_offset_ms > 0 else "ahead of"
    yield Finding(
        "sync-clock-off",
        Severity.WARNING,
        "wall clock",
        f"It is {minutes:.0f} minutes {side} the server's. Conflicts are decided rightly all the same.",
        "Set the clock and its time zone, and let it follow a time server.",
    )


def _schema(server_schema: int) -> Iterator[Finding]:
    if server_schema in (0, SCHEMA_VERSION):
        return
    older = "this agent" if server_schema > SCHEMA_VERSION else "the central server"
    yield Finding(
        "sync-schema-differs",
        Severity.WARNING,
        SUBJECT,
        f"The server's rows are of version {server_schema}, this agent's of {SCHEMA_VERSION}: what the older one does "
        "not know waits.",
        f"Update {older}; nothing is lost meanwhile.",
    )


def _lane(name: str, state: LaneState, now_s: float) -> Iterator[Finding]:
    if state.attempts == 0:
        return
    why = f"{state.error_detail} [{state.error_code}]"
    if state.error_kind == Kind.AUTH:
        yield Finding(
            "sync-not-let-in",
            Severity.ERROR,
            SUBJECT,
            f"The server does not let this device in: {why} What waits to be sent is kept.",
            "Ask the server's operator for a new code and enrol the device again (`edge-agent enroll`).",
        )
    elif state.error_code == "protocol-unknown":
        yield Finding(
            "sync-versions-differ",
            Severity.ERROR,
            SUBJECT,
            f"Agent and server share no version of the protocol: {why} What waits to be sent is kept.",
            "Update the older of the two.",
        )
    elif breaker(state, now_s) != "closed":
        yield Finding(
            "sync-failing",
            Severity.WARNING,
            f"{SUBJECT}: {name}",
            f"It failed {state.attempts} times in a row: {why} It is tried again at {state.next_attempt_at}.",
            "Look at the reason; nothing is lost meanwhile.",
        )


def _late(watched: Watched) -> Iterator[Finding]:
    for head in watched.heads:
        age_s = watched.now_s - from_rfc3339(head.created_at)
        if age_s > (URGENT_S if head.priority >= URGENT_PRIORITY else OTHER_S):
            yield Finding(
                "sync-late",
                Severity.WARNING,
                f"{SUBJECT}: priority {head.priority}",
                f"Its oldest entry has been ready for {age_s / 60:.0f} minutes and is not at the server.",
                "Check the network and the server's address; nothing is lost meanwhile.",
            )


def _stalled(watched: Watched) -> Iterator[Finding]:
    if watched.idle_s is not None and watched.idle_s > 2 * CAP_S:
        yield Finding(
            "sync-stalled",
            Severity.ERROR,
            SUBJECT,
            f"No pass began for {watched.idle_s / 60:.0f} minutes.",
            "Restart the agent and send its log to whoever maintains it; nothing is lost.",
        )
