"""Running a plan: the verdict, the document, and that no failure is ever OK."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import InferenceFailed
from edge_agent.inference.definition import compile_pipeline
from edge_agent.inference.plan import Plan
from edge_agent.inference.run import run
from edge_agent.inference.steps.catalogue import STEP_TYPES
from edge_agent.inference.steps.registry import IMPLEMENTATIONS
from edge_agent.inference.values import ClassScore, Detection, Pixels, Prediction, RunContext, RunResult
from edge_agent.models import AiResult
from tests.unit.drawn import CALIBRATION, Answering, context, disc, no_reader, plain, textured

FORBID = {"type": "VISUAL", "rule": "objects", "forbid": {"scratch": {"conf": 0.4}}}
ANOMALY = {"type": "VISUAL", "rule": "anomaly", "score": {"ok_below": 0.45, "ng_from": 0.55}}
MODEL = {"model": "m", "version": "1"}
DETECT = {
    "roi": ("image.crop", {"image": "$in.image"}, {"rect_px": [100, 50, 200, 150]}),
    "det": ("model.detect", {"image": "$roi.image"}, MODEL),
    "judge": ("judge", {"objects": "$det.objects"}, {}),
    "view": (
        "draw.overlay",
        {"image": "$in.image", "objects": "$det.objects", "verdict": "$judge.verdict"},
        {"line_px": 3},
    ),
}


def planned(
    steps: Mapping[str, tuple[str, Any, Any]],
    *,
    task: str = "detect",
    outputs: Mapping[str, str] | None = None,
    assets: tuple[str, ...] = (),
    **timeouts: int,
) -> Plan:
    model = Answering(Prediction(), task)
    document = {
        "schema": "pipeline/1", "code": "test", "version": "1.0.0", "inputs": {"image": "image"},
        "steps": [
            {"id": name, "type": kind, "in": wiring, "with": with_}
            | ({"timeout_ms": timeouts[name]} if name in timeouts else {})
            for name, (kind, wiring, with_) in steps.items()
        ],
        "outputs": {"verdict": "$judge.verdict", **(outputs or {})},
    }  # fmt: skip
    return compile_pipeline(document, {("m", "1"): model}, assets)


def ticking(step_s: float = 0.001) -> Callable[[], float]:
    ticks: Iterator[float] = (tick * step_s for tick in count())
    return lambda: next(ticks)


def ran(
    plan: Plan, criteria: Mapping[str, Any] | RunContext, model: Answering | None = None,
    pixels: Pixels | None = None, monotonic: Callable[[], float] | None = None, **options: Any,
) -> RunResult:  # fmt: skip
    where = criteria if isinstance(criteria, RunContext) else context(criteria)
    return run(
        plan,
        textured() if pixels is None else pixels,
        where,
        models={("m", "1"): model} if model else {},
        assets={"a" * 64: textured()}.__getitem__,
        monotonic=monotonic or ticking(),
        text_reader=no_reader,
        **options,
    )


def scratched(
    confidence: float = 0.9, box: tuple[float, float, float, float] = (10, 20, 30, 40)
) -> Answering:
    return Answering(Prediction(objects=(Detection("scratch", confidence, box),)))


def without_ms(result: RunResult) -> Any:
    document = json.loads(json.dumps(result.detailed_results, allow_nan=False))
    for step in document["steps"]:
        del step["ms"]
    return document


def test_every_step_type_has_an_implementation_with_its_inputs() -> None:
    assert IMPLEMENTATIONS.keys() == STEP_TYPES.keys()
    for name, implementation in IMPLEMENTATIONS.items():
        taken = list(inspect.signature(implementation).parameters.values())[2:]
        if name != "judge":  # takes whatever evidence is wired
            assert [parameter.name for parameter in taken] == list(STEP_TYPES[name].inputs)


def test_a_defect_is_ng_and_lies_where_it_is_in_the_photograph() -> None:
    result = ran(planned(DETECT, outputs={"overlay": "$view.image"}), FORBID, scratched())
    assert result.overall_result is AiResult.NG
    assert result.confidence == pytest.approx(0.9)
    assert result.model_sha256s == ("e" * 64,)
    document = result.detailed_results
    assert document["objects"] == [
        {
            "step": "det",
            "label": "scratch",
            "confidence": 0.9,
            "box_px": [110, 70, 30, 40],
            "polygon_px": [[110, 70], [140, 70], [140, 110], [110, 110]],
        }
    ]
    assert document["reasons"][0]["code"] == "forbidden-object"
    assert [step["id"] for step in document["steps"]] == ["roi", "det", "judge"]


def test_the_outline_of_a_mask_is_given_in_the_photograph() -> None:
    mask = np.zeros((150, 200), np.uint8)
    cv2.rectangle(mask, (10, 20), (29, 49), 255, -1)
    model = Answering(Prediction(objects=(Detection("scratch", 0.9, (10, 20, 20, 30), mask),)))
    polygon = ran(planned(DETECT), FORBID, model).detailed_results["objects"][0]["polygon_px"]
    assert sorted(polygon) == [[110, 70], [110, 99], [129, 70], [129, 99]]


def test_no_defect_is_ok() -> None:
    result = ran(planned(DETECT), FORBID, Answering(Prediction(objects=())))
    assert (result.overall_result, result.confidence) == (AiResult.OK, 1.0)


def test_the_verdict_does_not_wait_for_the_drawing() -> None:
    model = scratched()
    result = ran(planned(DETECT, outputs={"overlay": "$view.image"}), FORBID, model)
    assert "view" not in json.dumps(result.detailed_results)
    overlay = result.pictures().overlay
    assert overlay is not None
    assert overlay.shape == textured().shape
    changed = np.argwhere((overlay != textured()).any(axis=2))
    inner = [place for place in changed if 30 < place[0] < 210 and 30 < place[1] < 290]
    assert np.min(inner, axis=0)[1] >= 105
    assert (overlay[70, 110:140] == (40, 40, 255)).all(axis=1).mean() > 0.9


def test_nothing_is_drawn_unless_wanted() -> None:
    pictures = ran(
        planned(DETECT, outputs={"overlay": "$view.image"}), FORBID, scratched(), render=False
    ).pictures()
    assert pictures.overlay is None


def test_a_heatmap_is_given_in_the_photographs_pixels() -> None:
    heatmap = np.zeros((150, 200), np.float32)
    heatmap[20:40, 10:30] = 0.8
    steps = {**DETECT, "det": ("model.anomaly", {"image": "$roi.image"}, MODEL),
             "judge": ("judge", {"score": "$det.score"}, {}),
             "view": ("draw.overlay", {"image": "$in.image", "heatmap": "$det.heatmap"}, {})}  # fmt: skip
    plan = planned(steps, task="anomaly", outputs={"heatmap": "$det.heatmap", "overlay": "$view.image"})
    result = ran(plan, ANOMALY, Answering(Prediction(score=0.8, heatmap=heatmap), "anomaly"))
    assert result.overall_result is AiResult.NG
    pictures = result.pictures()
    assert pictures.heatmap is not None
    assert pictures.heatmap.shape == (240, 320)
    ys, xs = np.nonzero(pictures.heatmap > 0.4)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (110, 129, 70, 89)


@pytest.mark.parametrize(
    "broken",
    [
        Answering(Prediction()),
        Answering(Prediction(), raises=InferenceFailed("the network failed", code="model-crashed")),
        Answering(Prediction(), raises=cv2.error("native")),
        Answering(Prediction(), raises=MemoryError()),
        scratched(confidence=float("nan")),
        scratched(confidence=float("inf")),
        scratched(confidence=7.5),
        scratched(confidence=-0.5),
        scratched(box=(0, 0, float("nan"), 1)),
        scratched(box=(0, float("inf"), 1, 1)),
    ],
    ids=["empty", "failed", "native", "memory", "nan", "inf", "logit", "negative", "nan box", "inf box"],
)
def test_a_broken_model_is_an_error_never_ok(broken: Answering) -> None:
    result = ran(planned(DETECT), FORBID, broken)
    assert (result.overall_result, result.confidence) == (AiResult.ERROR, 0.0)
    (reason,) = result.detailed_results["reasons"]
    assert reason["step"] == "det"
    assert reason["code"]
    assert reason["hint"]
    assert [step["ok"] for step in result.detailed_results["steps"]] == [True, False]
    json.dumps(result.detailed_results, allow_nan=False)


@pytest.mark.parametrize(
    "prediction",
    [
        Prediction(score=float("nan"), heatmap=np.zeros((240, 320), np.float32)),
        Prediction(score=0.1, heatmap=np.full((240, 320), np.nan, np.float32)),
        Prediction(score=0.1, heatmap=np.zeros((24, 32), np.float32)),
        Prediction(score=0.1),
        Prediction(heatmap=np.zeros((240, 320), np.float32)),
    ],
    ids=["nan score", "nan heatmap", "wrong size", "no heatmap", "no score"],
)
def test_a_broken_anomaly_model_is_an_error_never_ok(prediction: Prediction) -> None:
    steps = {
        "a": ("model.anomaly", {"image": "$in.image"}, MODEL),
        "judge": ("judge", {"score": "$a.score"}, {}),
    }
    result = ran(planned(steps, task="anomaly"), ANOMALY, Answering(prediction, "anomaly"))
    assert result.overall_result is AiResult.ERROR


def test_a_step_that_took_too_long_is_an_error() -> None:
    plan = planned(DETECT, det=5)
    good = Answering(Prediction(objects=()))
    assert ran(plan, FORBID, good, monotonic=ticking(0.001)).overall_result is AiResult.OK
    late = ran(plan, FORBID, good, monotonic=ticking(0.006))
    assert late.overall_result is AiResult.ERROR
    assert late.detailed_results["reasons"][0]["code"] == "step-timeout"


def test_another_model_than_the_planned_one_is_an_error() -> None:
    plan = planned(DETECT)
    other = Answering(Prediction(objects=()), sha256="f" * 64)
    for result in (ran(plan, FORBID, other), ran(plan, FORBID, None)):
        assert result.overall_result is AiResult.ERROR
        assert result.detailed_results["reasons"][0]["code"] == "model-changed"


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((0, 10, 3), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
    ids=["empty", "four channels", "float"],
)  # fmt: skip
def test_what_is_no_picture_is_an_error(pixels: Any) -> None:
    result = ran(planned(DETECT), FORBID, scratched(), pixels=pixels)
    assert result.detailed_results["reasons"][0]["code"] == "bad-pixels"
    assert result.pictures().overlay is None


def test_a_failed_alignment_still_shows_the_photograph() -> None:
    steps = {"fix": ("align.template", {"image": "$in.image"}, {"template": "sha256:" + "a" * 64}), **DETECT}
    steps["roi"] = ("image.crop", {"image": "$fix.image"}, {"rect_px": [0, 0, 50, 50]})
    plan = planned(steps, outputs={"overlay": "$view.image"}, assets=("a" * 64,))
    result = ran(plan, FORBID, scratched(), pixels=plain())
    assert result.overall_result is AiResult.ERROR
    overlay = result.pictures().overlay
    assert overlay is not None
    assert overlay.shape == plain().shape


@pytest.mark.parametrize("criteria", [{}, {"rule": "magic"}, {**ANOMALY, "extra": 1}, ANOMALY])
def test_criteria_that_cannot_be_applied_are_an_error(criteria: dict[str, Any]) -> None:
    result = ran(planned(DETECT), criteria, Answering(Prediction(objects=())))
    assert result.overall_result is AiResult.ERROR
    assert result.detailed_results["reasons"]


def test_a_text_step_without_its_extra_is_an_error_with_a_hint() -> None:
    steps: dict[str, tuple[str, Any, Any]] = {"ocr": ("text.read", {"image": "$in.image"}, {})}
    steps["judge"] = ("judge", {"text": "$ocr.text"}, {})
    criteria = {"type": "TEXT", "rule": "match", "expect": {"text": "A"}, "conf_min": 0.5}
    result = ran(planned(steps), criteria)
    assert result.overall_result is AiResult.ERROR
    assert result.detailed_results["reasons"][0]["step"] == "ocr"


MEASURE = {
    "hole": ("measure.distance", {"image": "$in.image"},
             {"method": "circle", "center_px": [160, 120], "radius_px": [20, 80]}),
    "judge": ("judge", {"quantity": "$hole.quantity"}, {}),
}  # fmt: skip
RANGE = {"type": "DIMENSION", "rule": "range", "unit": "mm", "nominal": 4.0, "tol": [-0.05, 0.05],
         "guard": 0.01, "calibration": "cam1"}  # fmt: skip


@pytest.mark.parametrize(
    ("radius", "calibrated", "expected"),
    [(40.0, True, AiResult.OK), (40.45, True, AiResult.REVIEW), (42.0, True, AiResult.NG),
     (40.0, False, AiResult.REVIEW), (42.0, False, AiResult.REVIEW), (90.0, True, AiResult.ERROR)],
)  # fmt: skip
def test_a_hole_is_judged_in_millimetres(radius: float, calibrated: bool, expected: AiResult) -> None:
    where = context(RANGE, CALIBRATION if calibrated else None)
    result = ran(planned(MEASURE), where, pixels=disc((160, 120), radius))
    assert result.overall_result is expected
    if expected is not AiResult.ERROR:
        (measured,) = result.detailed_results["measurements"]
        assert measured["unit"] == ("mm" if calibrated else "px")


@given(
    st.lists(
        st.tuples(st.sampled_from(["scratch", "dent"]), st.floats(0, 1), st.floats(-50, 250)), max_size=4
    )
)
@settings(max_examples=25)
def test_the_same_image_and_plan_give_the_same_document(found: list[tuple[str, float, float]]) -> None:
    objects = tuple(Detection(label, sure, (at, at, 9, 7)) for label, sure, at in found)
    model = Answering(Prediction(objects=objects, classes=(ClassScore("a", 0.5),)))
    plan = planned(DETECT, outputs={"overlay": "$view.image"})
    first = ran(plan, FORBID, model, monotonic=ticking(0.001))
    again = ran(plan, FORBID, model, monotonic=ticking(0.002))
    assert without_ms(first) == without_ms(again)
    one, other = first.pictures().overlay, again.pictures().overlay
    assert one is not None
    assert other is not None
    assert np.array_equal(one, other)


def test_real_steps_repeat_themselves_exactly() -> None:
    golden = "sha256:" + "a" * 64
    steps = {
        "good": ("image.quality", {"image": "$in.image"}, {"min_sharpness": 1}),
        "fix": ("align.template", {"image": "$in.image"}, {"template": golden, "motion": "euclidean"}),
        "diff": ("diff.template", {"image": "$fix.image"}, {"template": golden}),
        "codes": ("code.read", {"image": "$in.image"}, {}),
        "colour": ("measure.color", {"image": "$fix.image"}, {"reference": [50, 0, 0]}),
        "judge": ("judge", {"score": "$diff.score", "quality": "$good.quality"}, {}),
    }
    criteria = {"type": "VISUAL", "rule": "difference", "score": {"ok_below": 0.1, "ng_from": 0.2}}
    plan = planned(steps, assets=("a" * 64,))
    shifted = np.roll(textured(), 3, axis=1)
    first, again = (ran(plan, criteria, pixels=shifted) for _ in range(2))
    assert first.overall_result is AiResult.OK
    assert without_ms(first) == without_ms(again)


def test_the_document_names_pipeline_criteria_and_times() -> None:
    plan = planned(DETECT)
    result = ran(plan, FORBID, scratched())
    document = result.detailed_results
    assert document["pipeline"] == {"code": "test", "version": "1.0.0", "sha256": plan.sha256}
    assert len(document["criteria_sha256"]) == 64
    assert all(step["ms"] == pytest.approx(1.0) for step in document["steps"])
    assert result.processing_time == pytest.approx(0.007)
