"""When a lane may try again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import from_rfc3339, to_rfc3339
from edge_agent.sync.backoff import (
    BREAKS_AFTER,
    CAP_S,
    LONGEST_RETRY_AFTER_S,
    after_failure,
    after_success,
    breaker,
    delay_s,
    share_of,
    wait_s,
)
from edge_agent.sync.lane import Kind, LaneState, SyncFailed, read_state

NOW_S = 1_795_435_200.0
SHARES = st.floats(0, 1, exclude_max=True)
COUNTED = [kind for kind in Kind if kind is not Kind.OFFLINE]


def failed(kind: Kind, retry_after: float | None = None) -> SyncFailed:
    return SyncFailed(kind, "a-code", "What happened.", retry_after)


@given(st.sampled_from(list(Kind)), st.integers(0, 10**6), SHARES)
def test_no_wait_is_longer_than_the_cap(kind: Kind, attempts: int, share: float) -> None:
    assert 0 <= delay_s(kind, attempts, share) <= CAP_S


@given(st.sampled_from(list(Kind)), st.integers(0, 100), SHARES, st.floats(0, 1e9))
def test_retry_after_is_a_floor_within_reason(
    kind: Kind, attempts: int, share: float, retry_after: float
) -> None:
    wait = delay_s(kind, attempts, share, retry_after)
    assert wait >= min(retry_after, LONGEST_RETRY_AFTER_S)
    assert wait <= LONGEST_RETRY_AFTER_S * 1.1


def test_waits_are_spread_from_nothing_to_twice_as_much_each_time() -> None:
    halves = [delay_s(Kind.TRANSIENT, attempts, 0.5) for attempts in range(1, 11)]
    assert halves == [1, 2, 4, 8, 16, 32, 64, 128, 150, 150]
    assert delay_s(Kind.TRANSIENT, 5, 0.0) == 0


def test_being_offline_counts_nothing_and_is_looked_at_again_in_seconds() -> None:
    state = LaneState()
    for _ in range(100):
        state = after_failure(state, failed(Kind.OFFLINE), NOW_S, 0.99)
    assert (state.attempts, breaker(state, NOW_S)) == (0, "closed")
    assert 0 < wait_s(state, NOW_S) < 5


def test_what_everybody_was_told_is_spread() -> None:
    """200 devices that were told to come again in 2 s do not all come in the same instant."""
    waits = [delay_s(Kind.THROTTLE, 1, share, 2.0) for share in (0.0, 0.5, 0.99)]
    assert waits == pytest.approx([2.0, 3.0, 3.98])


@pytest.mark.parametrize("kind", COUNTED)
def test_the_breaker_opens_lets_one_probe_through_and_closes(kind: Kind) -> None:
    state = LaneState()
    for _ in range(BREAKS_AFTER):
        assert breaker(state, NOW_S) == "closed"
        state = after_failure(state, failed(kind), NOW_S, 0.5)
    assert breaker(state, NOW_S) == "open"
    later_s = from_rfc3339(state.next_attempt_at or "") + 1
    assert breaker(state, later_s) == "half-open"
    assert breaker(after_failure(state, failed(kind), later_s, 0.5), later_s) == "open"
    assert breaker(after_success(state, later_s), later_s) == "closed"


def test_a_success_keeps_what_went_wrong_last_for_people() -> None:
    state = after_success(after_failure(LaneState(), failed(Kind.AUTH), NOW_S, 0.5), NOW_S + 9)
    assert (state.error_kind, state.error_code, state.attempts) == ("auth", "a-code", 0)
    assert state.last_success_at == to_rfc3339(NOW_S + 9)


def test_a_clock_set_back_five_years_does_not_stop_a_lane() -> None:
    state = after_failure(LaneState(), failed(Kind.TRANSIENT, retry_after=60), NOW_S, 0.5)
    assert wait_s(state, NOW_S) >= 60
    assert wait_s(state, NOW_S - 5 * 365 * 86_400) == 0


@given(st.binary(min_size=1, max_size=8))
def test_chance_is_a_share_of_one(random: bytes) -> None:
    assert 0 <= share_of(random) < 1


def test_the_memory_survives_storing_and_members_of_other_versions() -> None:
    state = after_failure(LaneState(), failed(Kind.THROTTLE, 7), NOW_S, 0.5)
    assert read_state(state.document() | {"from_the_future": 1}) == state
    assert read_state({}) == LaneState()
