"""Instants and identities."""

import uuid

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
