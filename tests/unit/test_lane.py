"""The bookkeeping between the daemon and one inference process, and the limit on its restarts."""

from __future__ import annotations

import json
import math
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import BadDefinition, BadImage, Conflict, InferenceFailed, Problem
from edge_agent.inference.jobs import Equipment, Job, PlanRef
from edge_agent.inference.lane import (
    RENDER_S,
    Afterwards,
    Lane,
    Task,
    configuration_task,
    job_task,
    request_task,
)
from edge_agent.inference.restarts import RestartLimit
from edge_agent.inference.wire import decode, decode_event, error_document, error_from

PLAN = PlanRef("ab" * 32, '{"schema":"pipeline/1"}')
RESULT = {
    "overall_result": "OK",
    "confidence": 0.9,
    "processing_time": 0.01,
    "detailed_results": {},
    "model_sha256s": [],
    "provider": "p",
}
DIED = InferenceFailed("it died", code="inference-crash")


def job(
    plan: PlanRef | None = PLAN,
    derived: Path | None = None,
    deadline_s: float = 3.0,
    picture: Path | bytes = Path("/a"),
) -> Task:
    return job_task(Job(picture, plan, {}, {}, None, "now", deadline_s, derived))


def said(lane: Lane, event: str, serial: int, now: float = 0.0, **fields: Any) -> None:
    run(lane.heard({"event": event, "id": serial, **fields}, now))


def run(actions: Afterwards) -> None:
    for action in actions:
        action()


def sent(lane: Lane) -> list[dict[str, Any]]:
    return [decode(line) for line in lane.outbox]


def test_a_job_is_answered_in_three_steps() -> None:
    lane, task = Lane(deque()), job(derived=Path("/d"))
    assert task.ticket is not None
    lane.put(task, 10.0)
    assert lane.due_at == 13.0
    said(lane, "decoded", 1, width_px=4, height_px=3)
    assert task.ticket.decoded.result(0).width_px == 4
    assert not task.ticket.result.done()
    said(lane, "result", 1, 11.0, result=RESULT)
    verdict = task.ticket.result.result(0)
    assert verdict is not None
    assert verdict.overall_result == "OK"
    assert (len(lane), lane.is_idle, lane.due_at) == (0, False, 11.0 + RENDER_S)
    said(lane, "rendered", 1, 12.0, paths=["/d.thumbnail.jpg"])
    assert task.ticket.rendered.result(0) == ("/d.thumbnail.jpg",)
    assert (lane.is_idle, lane.due_at, lane.idle_since) == (True, math.inf, 12.0)


def test_only_the_heads_deadline_runs() -> None:
    lane = Lane(deque())
    lane.put(job(deadline_s=3), 0.0)
    lane.put(job(deadline_s=5), 1.0)
    assert lane.due_at == 3.0
    said(lane, "decoded", 1, width_px=1, height_px=1)
    said(lane, "result", 1, 2.0, result=RESULT)
    assert lane.due_at == 7.0


def test_a_pipeline_travels_once() -> None:
    lane = Lane(deque())
    for _ in range(2):
        lane.put(job(), 0.0)
    first, second = sent(lane)
    assert first["plan"] == PLAN.definition
    assert "plan" not in second
    assert (first["id"], second["id"]) == (1, 2)
    assert first["plan_sha256"] == second["plan_sha256"] == PLAN.sha256


def test_a_pictures_bytes_follow_their_message_and_are_let_go_once_judged() -> None:
    lane, task = Lane(deque()), job(picture=b"bytes")
    lane.put(task, 0.0)
    line, picture = lane.outbox
    assert (decode(line)["follows"], decode(line)["path"], picture) == (5, None, b"bytes")
    said(lane, "decoded", 1, width_px=1, height_px=1)
    said(lane, "result", 1, result=RESULT)
    assert task.picture == b""


@pytest.mark.parametrize(
    "event",
    [
        {"event": "result", "id": 1, "result": RESULT},  # before decoded
        {"event": "decoded", "id": 2, "width_px": 1, "height_px": 1},
        {"event": "decoded", "id": 1},
        {"event": "rendered", "id": 1, "paths": []},
        {"event": "answered", "id": 1, "value": {}},
        {"event": "configured", "id": 1, "faults": []},
        {"event": "failed", "id": 9, "error": {}},
    ],
)
def test_an_answer_that_does_not_fit_changes_nothing(event: dict[str, Any]) -> None:
    lane, task = Lane(deque()), job()
    lane.put(task, 0.0)
    assert task.ticket is not None
    with pytest.raises((ValueError, KeyError, TypeError)):
        lane.heard(event, 1.0)
    assert len(lane) == 1
    assert not task.ticket.decoded.done()
    assert not task.ticket.result.done()


@pytest.mark.parametrize(
    "changes",
    [{"overall_result": "FINE"}, {"confidence": "high"}, {"detailed_results": 3}, {"model_sha256s": None}],
)
def test_a_broken_result_is_refused(changes: dict[str, Any]) -> None:
    lane = Lane(deque())
    lane.put(job(), 0.0)
    said(lane, "decoded", 1, width_px=1, height_px=1)
    with pytest.raises((ValueError, TypeError)):
        lane.heard({"event": "result", "id": 1, "result": {**RESULT, **changes}}, 1.0)
    assert len(lane) == 1


def test_no_verdict_for_a_job_with_a_pipeline_is_refused() -> None:
    lane = Lane(deque())
    lane.put(job(), 0.0)
    said(lane, "decoded", 1, width_px=1, height_px=1)
    with pytest.raises(ValueError, match="unexpected"):
        lane.heard({"event": "result", "id": 1, "result": None}, 1.0)


def test_the_head_is_to_blame_for_a_crash_and_the_others_go_on() -> None:
    lane = Lane(deque())
    head, other, asked = job(), job(), request_task("verify", 5.0, {})
    for task in (head, other, asked):
        lane.put(task, 0.0)
    again, after = lane.abandon(DIED)
    run(after)
    assert again == [other, asked]
    assert head.ticket is not None
    for future in (head.ticket.decoded, head.ticket.result, head.ticket.rendered):
        assert future.exception(0) is DIED


def test_a_job_that_may_have_died_of_earlier_pictures_gets_one_more_try() -> None:
    lane, first, second = Lane(deque()), job(derived=Path("/d")), job()
    lane.put(first, 0.0)
    lane.put(second, 0.0)
    said(lane, "decoded", 1, width_px=1, height_px=1)
    said(lane, "result", 1, result=RESULT)
    again, after = lane.abandon(DIED)
    run(after)
    assert again == [second]
    assert first.ticket is not None
    assert first.ticket.result.exception(0) is None
    assert first.ticket.rendered.exception(0) is DIED
    successor = Lane(deque())
    successor.put(second, 0.0)
    successor.put(job(derived=Path("/d")), 0.0)
    again, after = successor.abandon(DIED)
    run(after)
    assert second not in again


def test_a_configuration_is_not_asked_again_and_nobody_is_blamed_for_it() -> None:
    lane, task = Lane(deque()), job()
    lane.put(configuration_task(Equipment()), 0.0)
    lane.put(task, 0.0)
    again, after = lane.abandon(DIED)
    assert (again, after) == ([task], [])


def test_a_job_that_is_not_json_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="JSON"):
        job_task(Job(b"", None, {"conf": math.nan}, {}, None, "", 1.0, None))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "cut off"),
        (b"{}\n", "not an event"),
        (b"[]\n", "not a JSON object"),
        (b"hello\n", "unexpected character"),
        (b'{"event":"result","id":"1"}\n', "not an event"),
        (b'{"event":"result","id":1}', "cut off"),
    ],
)
def test_nonsense_is_no_event(line: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_event(line)


@pytest.mark.parametrize(
    "error",
    [
        BadImage("torn", code="truncated", at=3),
        InferenceFailed("slow", code="step-timeout"),
        Conflict("there", code="version-exists", hint="another version"),
        BadDefinition("bad", [Problem("model.json", "/task", "missing", "is missing")]),
    ],
)
def test_an_error_arrives_as_it_left(error: Any) -> None:
    arrived = error_from(json.loads(json.dumps(error_document(error))))
    assert type(arrived) is type(error)
    assert (arrived.detail, arrived.code_, arrived.hint_) == (error.detail, error.code_, error.hint_)
    assert getattr(arrived, "problems", None) == getattr(error, "problems", None)


def test_a_foreign_exception_arrives_as_a_failure() -> None:
    arrived = error_from(error_document(ZeroDivisionError("x")))
    assert isinstance(arrived, InferenceFailed)
    assert "ZeroDivisionError" in arrived.detail


@pytest.mark.parametrize(
    "document", [None, 3, {}, {"class": "SystemExit"}, {"class": "Damaged", "detail": 1}]
)
def test_an_error_of_no_known_class_is_a_failure(document: Any) -> None:
    assert type(error_from(document)) is InferenceFailed


def test_five_crashes_in_a_minute_degrade_and_probes_back_off() -> None:
    limit = RestartLimit(limit=5, window_s=60, backoff_s=10, backoff_max_s=50)
    for now in range(4):
        limit.crashed(float(now))
    assert not limit.is_degraded
    limit.crashed(4.0)
    assert limit.probe_at == 14.0
    limit.crashed(14.0)
    assert limit.probe_at == 34.0
    limit.crashed(34.0)
    limit.crashed(74.0)
    assert limit.probe_at == 124.0
    limit.recovered()
    assert not limit.is_degraded
    assert limit.count == 8


def test_crashes_far_apart_are_not_counted_together() -> None:
    limit = RestartLimit(limit=3, window_s=60)
    for hour in range(20):
        limit.crashed(hour * 3600.0)
    assert not limit.is_degraded


def test_the_back_off_is_forgotten_after_a_long_peace() -> None:
    limit = RestartLimit(limit=1, window_s=60, backoff_s=10, backoff_max_s=300)
    limit.crashed(0.0)
    limit.crashed(10.0)
    limit.recovered()
    limit.crashed(10_000.0)
    assert limit.probe_at == 10_010.0
