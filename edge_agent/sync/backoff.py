"""When a lane may try again: full jitter, and a breaker that lets one probe through.

Rules of this file:
- Pure: the instant and the chance are arguments (`share`: evenly spread from 0 to below 1).
- Being offline counts nothing: a night without network must not end in five minutes of waiting.
- An instant too far ahead is not believed: the clock was set back since it was noted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from edge_agent.clock import from_rfc3339, to_rfc3339
from edge_agent.sync.lane import Kind, LaneState, SyncFailed

FIRST_S, CAP_S = 1.0, 300.0
OFFLINE_S = 3.0
LONGEST_RETRY_AFTER_S = 3600.0
BREAKS_AFTER = 5
MAX_DETAIL = 500

Breaker = Literal["closed", "open", "half-open"]


def share_of(random: bytes) -> float:
    """Random bytes (the first six count) as a number from 0 to below 1."""
    return int.from_bytes(random[:6], "big") / 2.0 ** (8 * len(random[:6]))


def delay_s(kind: Kind, attempts: int, share: float, retry_after: float | None = None) -> float:
    """Seconds until the next attempt after `attempts` failures in a row; never less than `retry_after`, and spread
    beyond it: a server that is busy told everybody the same."""
    if kind is Kind.OFFLINE:
        wait_s = OFFLINE_S * (0.5 + share)
    elif kind in (Kind.AUTH, Kind.PERMANENT):
        wait_s = CAP_S * (0.5 + share / 2)
    else:
        wait_s = share * min(CAP_S, FIRST_S * 2.0 ** min(max(attempts, 1), 20))
    asked_s = min(retry_after or 0.0, LONGEST_RETRY_AFTER_S)
    return max(wait_s, asked_s + share * min(asked_s, CAP_S))


def after_failure(state: LaneState, failure: SyncFailed, now_s: float, share: float) -> LaneState:
    """The lane's memory once it met this failure."""
    attempts = state.attempts + (failure.kind is not Kind.OFFLINE)
    wait_s = delay_s(failure.kind, attempts, share, failure.retry_after)
    return replace(
        state,
        attempts=attempts,
        next_attempt_at=to_rfc3339(now_s + wait_s),
        last_attempt_at=to_rfc3339(now_s),
        failed_at=to_rfc3339(now_s),
        error_kind=failure.kind.value,
        error_code=failure.code_,
        error_detail=failure.detail[:MAX_DETAIL],
    )


def after_success(state: LaneState, now_s: float) -> LaneState:
    """The lane's memory once a unit succeeded: everything is forgotten but what people may ask."""
    now = to_rfc3339(now_s)
    return replace(state, attempts=0, next_attempt_at=None, last_attempt_at=now, last_success_at=now)


def wait_s(state: LaneState, now_s: float) -> float:
    """Seconds until the lane may try; 0: now."""
    return due_in_s(state.next_attempt_at, now_s)


def due_in_s(instant: str | None, now_s: float) -> float:
    """Seconds until an instant noted by this device; 0 when it is past, missing, or beyond belief."""
    left_s = 0.0 if instant is None else from_rfc3339(instant) - now_s
    return left_s if 0 < left_s <= LONGEST_RETRY_AFTER_S * 1.1 else 0.0


def breaker(state: LaneState, now_s: float) -> Breaker:
    """Open: nothing is sent. Half-open: one unit goes through, and what becomes of it decides."""
    if state.attempts < BREAKS_AFTER:
        return "closed"
    return "open" if wait_s(state, now_s) > 0 else "half-open"
