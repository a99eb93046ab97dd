"""How the synchronisation stands, from the tables alone: the same answer with and without a network.

Rules of this file:
- Looks and decides nothing else; counts are bounded as in `store.queue`, so asking costs the same at any backlog.
- Why a lane waits is told by its code; what to do about it comes from the message catalogue in both languages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edge_agent.clock import from_rfc3339
from edge_agent.messages import Message, catalogue
from edge_agent.store import conflicts, dead, queue, settings, spaces, sync_states
from edge_agent.store.queue import Lane, WaitingImages
from edge_agent.sync import enrolment
from edge_agent.sync.backoff import Breaker, breaker
from edge_agent.sync.lane import Kind, read_state
from edge_agent.sync.pace import Pace

Summary = Literal["not-enrolled", "paused", "up-to-date", "waiting", "offline", "failing", "stopped"]
LANE = "lane:"
WORST_FIRST: Mapping[str, Summary] = {
    Kind.AUTH: "stopped",
    Kind.PERMANENT: "stopped",
    Kind.TRANSIENT: "failing",
    Kind.DAMAGED: "failing",
    Kind.THROTTLE: "failing",
    Kind.OFFLINE: "offline",
}


@dataclass(frozen=True, slots=True)
class LaneError:
    """`title` and `hint` in the language asked for, `detail` as it was met."""

    kind: str
    code: str
    title: str
    hint: str
    detail: str


@dataclass(frozen=True, slots=True)
class EngineLane:
    """One lane of the engine (push, pull, blobs): how often it failed in a row, and when it is tried next.

    `error` is why it waits; null while it does not.
    """

    name: str
    breaker: Breaker
    attempts: int
    next_attempt_at: str | None
    last_success_at: str | None
    error: LaneError | None


@dataclass(frozen=True, slots=True)
class SpaceState:
    """How far one space has been pulled, and when last."""

    space: str
    cursor: int
    server_epoch: str | None
    last_sync_at: str | None


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """`summary` in one word; `oldest_age_s`: seconds since the oldest unsent change was made; `dead`: entries
    given up, `held`: entries that cannot be applied before another one; `pace` while something drains."""

    summary: Summary
    is_configured: bool
    is_paused: bool
    server: str | None
    site: str | None
    device_id: str
    oldest_at: str | None
    oldest_age_s: float | None
    lanes: list[Lane]
    images: WaitingImages
    dead: int
    held: int
    conflicts: int
    spaces: list[SpaceState]
    engine: list[EngineLane]
    pace: Pace


def read_status(reader: sqlite3.Connection, now_s: float, *, language: str = "en") -> SyncStatus:
    """The state as of the reader's commit; `now_s` Unix seconds."""
    rows = {row.space: row for row in spaces.list_all(reader)}
    enrolled = enrolment.read(reader)
    lanes, images = queue.lanes(reader), queue.images_waiting(reader)
    engine = [_lane(name, row.detail, now_s, language) for name, row in rows.items() if name.startswith(LANE)]
    is_paused = bool(rows["paused"].detail.get("is_paused")) if "paused" in rows else False
    oldest_at = min((lane.oldest_at for lane in lanes), default=None)
    is_waiting = bool(lanes or images.waiting)
    return SyncStatus(
        summary=summarise(
            engine, is_configured=enrolled is not None, is_paused=is_paused, is_waiting=is_waiting
        ),
        is_configured=enrolled is not None,
        is_paused=is_paused,
        server=enrolled.server if enrolled else None,
        site=enrolled.site if enrolled else None,
        device_id=str(settings.get(reader, "device.id")),
        oldest_at=oldest_at,
        oldest_age_s=None if oldest_at is None else max(0.0, now_s - from_rfc3339(oldest_at)),
        lanes=lanes,
        images=images,
        dead=dead.count_dead(reader),
        held=dead.count_held(reader),
        conflicts=conflicts.count_open(reader),
        spaces=[
            SpaceState(row.space, row.cursor, row.server_epoch, row.last_sync_timestamp)
            for row in map(rows.__getitem__, sync_states.cursors(reader))
        ],
        engine=engine,
        pace=Pace(),
    )


def summarise(
    engine: Sequence[EngineLane], *, is_configured: bool, is_paused: bool, is_waiting: bool
) -> Summary:
    """The one word: what a person would say first."""
    kinds = {lane.error.kind for lane in engine if lane.error is not None}
    if not is_configured:
        return "not-enrolled"
    if is_paused:
        return "paused"
    for kind, summary in WORST_FIRST.items():
        if kind in kinds:
            return summary
    return "waiting" if is_waiting else "up-to-date"


def _lane(name: str, detail: Mapping[str, Any], now_s: float, language: str) -> EngineLane:
    state = read_state(detail)
    error = None
    if state.next_attempt_at is not None and state.error_code:
        error = told(state.error_kind, state.error_code, state.error_detail, language)
    return EngineLane(
        name.removeprefix(LANE),
        breaker(state, now_s),
        state.attempts,
        state.next_attempt_at,
        state.last_success_at,
        error,
    )


def meaning_of(kind: str, code: str, language: str) -> Message:
    """A failure in somebody's language; a code only the server's side knows is told by its kind."""
    known = catalogue()
    return (known.get(code) or known.get(f"sync-{kind}") or known["sync-failed"])[language]


def told(kind: str, code: str, detail: str, language: str) -> LaneError:
    message = meaning_of(kind, code, language)
    return LaneError(kind, code, message.title, message.hint, detail)
