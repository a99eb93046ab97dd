"""What may follow what, and when a session is decided."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import Conflict
from edge_agent.inspection.rules import (
    CLOSED,
    TRANSITIONS,
    check_transition,
    completion,
    item_decision,
    sample_weight,
    status_now,
)
from edge_agent.models import AiResult, InspectionType, ItemVerdict, SessionStatus, SnapshotItem


def item(code: str, *, required: bool = True, ai_enabled: bool = True) -> SnapshotItem:
    return SnapshotItem(code, code, code, InspectionType.VISUAL, ai_enabled, "p", {}, 1, required)


def verdict(code: str, ai: str = "", human: str = "", review: str | None = None) -> ItemVerdict:
    return ItemVerdict("s", code, "i", "r", ai, None, human, "", review, "")


@pytest.mark.parametrize(("present", "wanted"), list(product(SessionStatus, SessionStatus)))
def test_exactly_the_transitions_of_the_table_are_possible(
    present: SessionStatus, wanted: SessionStatus
) -> None:
    if wanted in TRANSITIONS[present]:
        check_transition(present, wanted)
    else:
        with pytest.raises(Conflict, match=f"{present} cannot become {wanted}"):
            check_transition(present, wanted)


def test_closed_sessions_stay_closed() -> None:
    assert {SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.CANCELLED} == CLOSED


@given(
    st.sampled_from(["", *AiResult]), st.sampled_from(["", "OK", "NG", "HOLD"]), st.booleans(), st.booleans()
)
def test_an_item_is_ok_only_by_a_person_or_by_an_accepted_ai_ok(
    ai: str, human: str, accept: bool, ai_enabled: bool
) -> None:
    decision = item_decision(item("a", ai_enabled=ai_enabled), verdict("a", ai, human), accept_ai_ok=accept)
    by_ai = ai == "OK" and accept and ai_enabled and not human
    assert (decision == "OK") == (human == "OK" or by_ai)


def test_an_ok_picked_for_review_waits_for_a_person() -> None:
    assert item_decision(item("a"), verdict("a", "OK", review="SAMPLED"), accept_ai_ok=True) is None


def test_a_session_is_ok_only_if_every_required_item_is() -> None:
    items = [item("a"), item("b"), item("note", required=False)]
    verdicts = {"a": verdict("a", human="OK"), "b": verdict("b", human="HOLD")}
    assert completion(items, verdicts, accept_ai_ok=False).final_result == "REVIEW"
    verdicts["b"] = verdict("b", human="OK")
    done = completion(items, verdicts, accept_ai_ok=False)
    assert (done.final_result, done.missing, done.is_possible) == ("OK", (), True)


def test_one_ng_decides_the_session_even_with_items_missing() -> None:
    done = completion([item("a"), item("b")], {"a": verdict("a", human="NG")}, accept_ai_ok=False)
    assert (done.final_result, done.missing, done.is_possible) == ("NG", ("b",), True)


def test_a_missing_item_keeps_the_session_open() -> None:
    done = completion([item("a"), item("b")], {"a": verdict("a", human="OK")}, accept_ai_ok=True)
    assert (done.missing, done.is_possible) == (("b",), False)


def test_a_session_without_required_items_is_never_ok_by_itself() -> None:
    assert completion([item("a", required=False)], {}, accept_ai_ok=True).final_result == "REVIEW"


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ({}, SessionStatus.IN_PROGRESS),
        ({"a": verdict("a", "NG")}, SessionStatus.IN_PROGRESS),
        ({"a": verdict("a", "NG"), "b": verdict("b", "ERROR")}, SessionStatus.AI_COMPLETED),
        ({"a": verdict("a", "NG", human="OK")}, SessionStatus.HUMAN_REVIEW),
    ],
)
def test_the_status_follows_from_the_verdicts(
    verdicts: dict[str, ItemVerdict], status: SessionStatus
) -> None:
    assert status_now([item("a"), item("b"), item("hand", ai_enabled=False)], verdicts) is status


@given(st.sampled_from(AiResult), st.floats(0, 1), st.binary(min_size=4, max_size=4))
def test_only_oks_are_sampled_and_each_stands_for_its_share(
    result: AiResult, share: float, random: bytes
) -> None:
    weight = sample_weight(result, share, random)
    if weight is not None:
        assert result is AiResult.OK
        assert weight == 1 / share
    assert sample_weight(AiResult.OK, 1.0, random) == 1.0
    assert sample_weight(AiResult.OK, 0.0, random) is None
