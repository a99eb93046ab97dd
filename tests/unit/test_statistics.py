"""Rates, intervals and agreement against published values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inspection.statistics import (
    SessionCount,
    VerdictCount,
    agreement,
    cohen_kappa,
    gwet_ac1,
    week_of,
    wilson,
    yields,
)

counts = st.integers(0, 500)


def count(ai: str, human: str, n: int, weight: float = 1.0) -> VerdictCount:
    return VerdictCount((), ai, human, n, n * weight, 2.0 * n)


def test_wilson_interval_of_a_textbook_case() -> None:
    rate = wilson(10, 100, 100)  # Wilson 1927: 10 of 100 gives 5.52 % to 17.44 %
    assert rate.low == pytest.approx(0.0552, abs=5e-5)
    assert rate.high == pytest.approx(0.1744, abs=5e-5)


def test_a_rate_without_cases_is_unknown() -> None:
    assert wilson(0, 0, 0).value is None


def test_kappa_and_ac1_of_a_textbook_case() -> None:
    # Gwet 2008, the paradox: 118 of 125 agree, kappa is low, AC1 is not
    assert cohen_kappa(118, 5, 2, 0) == pytest.approx(-0.0234, abs=1e-4)
    assert gwet_ac1(118, 5, 2, 0) == pytest.approx(0.9408, abs=1e-4)
    assert cohen_kappa(20, 5, 10, 15) == pytest.approx(0.4)


@given(counts, counts, counts, counts)
def test_overkill_and_escape_are_shares_of_what_people_said(a: int, b: int, c: int, d: int) -> None:
    result = agreement(
        [count("OK", "OK", a), count("OK", "NG", b), count("NG", "OK", c), count("NG", "NG", d)]
    )
    assert result.overkill.value == (c / (a + c) if a + c else None)
    assert result.escape.value == (b / (b + d) if b + d else None)
    assert result.compared == a + b + c + d
    for rate in (result.overkill, result.escape, result.accuracy):
        if rate.value is not None:
            assert rate.low is not None
            assert rate.high is not None
            assert 0 <= rate.low <= rate.value + 1e-12
            assert rate.value - 1e-12 <= rate.high <= 1


def test_a_sampled_ok_counts_as_those_it_stands_for() -> None:
    result = agreement([count("OK", "NG", 1, weight=20.0), count("NG", "NG", 20)])
    assert result.escape.value == pytest.approx(0.5)
    assert result.escape.cases == 21


def test_review_and_error_are_neither_overkill_nor_escape() -> None:
    result = agreement([count("REVIEW", "OK", 5), count("ERROR", "NG", 5), count("OK", "OK", 5)])
    assert (result.overkill.part, result.escape.part, result.compared) == (0, 0, 5)


def test_what_nobody_verified_is_counted_but_not_compared() -> None:
    result = agreement([count("OK", "", 7)])
    assert (result.judged, result.compared, result.mean_verification_s) == (7, 0, None)


def test_yield_counts_completed_sessions_only() -> None:
    rows = [
        SessionCount((), "COMPLETED", "OK", 8, 80.0),
        SessionCount((), "COMPLETED", "NG", 2, 40.0),
        SessionCount((), "CANCELLED", "", 3, 9.0),
    ]
    result = yields(rows)
    assert (result.completed, result.cancelled, result.yield_rate.value) == (10, 3, 0.8)
    assert result.mean_cycle_s == 12.0


@pytest.mark.parametrize(
    ("day", "expected"), [("2027-01-03", "2026-W53"), ("2027-01-04", "2027-W01"), ("2024-12-30", "2025-W01")]
)
def test_days_fall_into_iso_weeks(day: str, expected: str) -> None:
    assert week_of(day) == expected
