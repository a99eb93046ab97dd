"""Instants and identities."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import Clock, from_rfc3339, to_rfc3339, uuid7

instants = st.integers(min_value=0, max_value=4_102_444_800_000).map(lambda ms: ms / 1000)


@given(instants)
def test_an_instant_survives_its_text(unix_s: float) -> None:
    assert abs(from_rfc3339(to_rfc3339(unix_s)) - unix_s) < 0.001


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        from_rfc3339("2026-11-23T04:05:06")


@given(instants, st.binary(min_size=10, max_size=10))
def test_ids_are_version_7_and_carry_their_millisecond(unix_s: float, random: bytes) -> None:
    value = uuid.UUID(uuid7(unix_s, random))
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == int(unix_s * 1000)


def test_ids_of_different_milliseconds_sort_by_time() -> None:
    clock_a = Clock(time=lambda: 1000.0, random=lambda n: b"\xff" * n)
    clock_b = Clock(time=lambda: 1000.001, random=lambda n: b"\x00" * n)
    assert clock_a.new_id() < clock_b.new_id()


def test_ids_grow_within_a_millisecond() -> None:
    clock = Clock(time=lambda: 1000.0)
    ids = [clock.new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))


def test_ids_grow_when_the_clock_is_set_back() -> None:
    now = [2000.0]
    clock = Clock(time=lambda: now[0])
    before = clock.new_id()
    now[0] = 1000.0
    after = [clock.new_id() for _ in range(100)]
    assert [before, *after] == sorted({before, *after})
    assert clock.now() == to_rfc3339(1000.0)


@given(instants, st.binary(min_size=10, max_size=10), instants)
def test_ids_go_on_from_the_newest_stored_one(stored_s: float, random: bytes, now_s: float) -> None:
    stored = uuid7(stored_s, random)
    clock = Clock(time=lambda: now_s)
    clock.continue_after(stored)
    fresh = clock.new_id()
    assert fresh > stored
    assert (uuid.UUID(fresh).version, uuid.UUID(fresh).variant) == (7, uuid.RFC_4122)


def test_an_older_id_does_not_take_the_clock_back() -> None:
    clock = Clock(time=lambda: 2000.0)
    first = clock.new_id()
    clock.continue_after(uuid7(1000.0, bytes(10)))
    assert clock.new_id() > first


def test_threads_never_draw_the_same_id() -> None:
    clock = Clock(time=lambda: 1000.0, random=bytes)
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: clock.new_id(), range(400)))
    assert len(set(ids)) == 400
