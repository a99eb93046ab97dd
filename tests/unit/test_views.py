"""What blind mode hides, and cursors."""

from __future__ import annotations

import pytest

from edge_agent.api.bodies.inspections import VerdictState
from edge_agent.api.routers.exports import csv_lines, harmless
from edge_agent.api.routers.statistics import columns_of
from edge_agent.api.views import (
    image_reply,
    is_blinded,
    is_withheld,
    read_cursor,
    shown_results,
    shown_review,
    write_cursor,
)
from edge_agent.errors import BadInput
from edge_agent.inspection.statistics import SessionCount, grouped
from edge_agent.models import AiInspection, AiResult, Image, ImageSource, ImageState, ItemVerdict, Role
from edge_agent.store.results import ReviewEntry

IMAGE = Image(
    id="i",
    session_id="s",
    item_id="look",
    file_path="images/x.png",
    file_size=1,
    sha256="0",
    mime_type="image/png",
    width_px=1,
    height_px=1,
    captured_at="t",
    captured_by=None,
    source=ImageSource.UPLOAD,
    origin="",
    state=ImageState.FAILED,
    attempts=1,
    failure="inference-crash",
)
RESULT = AiInspection(
    id="r",
    session_id="s",
    item_id="look",
    image_id="i",
    overall_result=AiResult.NG,
    confidence=0.9,
    processing_time=0.1,
    detailed_results={},
    pipeline_id=None,
    pipeline_version=None,
    pipeline_sha256=None,
    criteria_sha256="",
    model_sha256s=[],
    provider=None,
    sample_weight=None,
    created_at="t",
)


def verdict(human: str) -> ItemVerdict:
    return ItemVerdict("s", "look", "i", "r", "NG", None, human, "", "NG", "t")


def test_blind_mode_is_for_inspectors_only() -> None:
    assert [role for role in Role if is_blinded(role, blind_mode=True)] == [Role.INSPECTOR]
    assert not any(is_blinded(role, blind_mode=False) for role in Role)


@pytest.mark.parametrize("human", ["OK", "NG", "HOLD"])
def test_a_decided_item_shows_its_ai_verdict(human: str) -> None:
    assert not is_withheld(verdict(human), blinded=True)
    assert shown_results([RESULT], {"look": verdict(human)}, blinded=True) == [RESULT]


def test_an_undecided_item_hides_it() -> None:
    assert is_withheld(None, blinded=True)
    assert is_withheld(verdict(""), blinded=True)
    assert shown_results([RESULT], {"look": verdict("")}, blinded=True) == []
    assert shown_results([RESULT], {}, blinded=True) == []
    assert shown_results([RESULT], {}, blinded=False) == [RESULT]


@pytest.mark.parametrize(
    ("result", "is_done", "hidden", "state"),
    [
        (RESULT, True, False, VerdictState.READY),
        (RESULT, True, True, VerdictState.WITHHELD),
        (None, True, False, VerdictState.NONE),
        (None, False, True, VerdictState.PENDING),
    ],
)
def test_the_state_of_an_uploads_verdict(
    result: AiInspection | None, is_done: bool, hidden: bool, state: VerdictState
) -> None:
    reply = image_reply(IMAGE, result, is_done=is_done, is_duplicate=False, hidden=hidden)
    assert reply.verdict_state is state
    assert (reply.verdict is not None) == (state is VerdictState.READY)
    assert (reply.image.failure is None) == hidden


def test_a_blind_review_list_says_where_but_not_why() -> None:
    entry = ReviewEntry("s", "look", "i", "r", "NG", "NG", "t", "PLATE", "1")
    shown = shown_review(entry, blinded=True)
    assert (shown.ai_result, shown.ai_result_id, shown.review) == ("", None, "WITHHELD")
    assert shown_review(entry, blinded=False) == entry


def test_cursors_come_back_as_they_were_given() -> None:
    assert read_cursor(write_cursor("2026", "id"), 2) == ("2026", "id")
    assert read_cursor(None, 2) is None
    for bad in ("", "x", "a~", "a~b~c", "~"):
        with pytest.raises(BadInput):
            read_cursor(bad, 2)


def test_a_spreadsheet_runs_nothing() -> None:
    assert harmless("=cmd()") == "'=cmd()"
    assert harmless("A1") == "A1"
    assert csv_lines([["a,b", '"', "金属"]]) == '"a,b","""",金属\r\n'.encode()


def test_weeks_and_months_are_summed_from_days() -> None:
    days = [
        SessionCount((day,), "COMPLETED", "OK", 1, 1.0) for day in ("2026-11-22", "2026-11-23", "2026-12-01")
    ]
    assert [key for key, _ in grouped(days, "week")] == ["2026-W47", "2026-W48", "2026-W49"]
    assert [(key, len(rows)) for key, rows in grouped([*days, days[0]], "day")] == [
        ("2026-11-22", 2),
        ("2026-11-23", 1),
        ("2026-12-01", 1),
    ]
    assert grouped(days, None) == []
    assert columns_of("week") == ("day",)
    assert columns_of("item") == ("item",)
    assert columns_of("month") == ("month",)
    assert columns_of(None) == ()
