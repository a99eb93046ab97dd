"""The judge: the rules one by one, and what may never happen, searched for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inference.criteria import parse_criteria
from edge_agent.inference.judge import Evidence, judge
from edge_agent.inference.values import (
    Calibration,
    ClassScore,
    Code,
    Detection,
    Quantity,
    RunContext,
    Text,
    Verdict,
)
from edge_agent.models import AiResult

OK, NG, REVIEW, ERROR = AiResult.OK, AiResult.NG, AiResult.REVIEW, AiResult.ERROR
BADNESS = {OK: 0, REVIEW: 1, NG: 2, ERROR: 3}
CALIBRATION = Calibration("cam1", 50.0, "2026-12-31T00:00:00.000Z")
NOW = "2026-11-23T00:00:00.000Z"
ANOMALY = {"type": "VISUAL", "rule": "anomaly", "score": {"ok_below": 0.45, "ng_from": 0.55}}
AREA = {**ANOMALY, "max_area_px": 4}
DIFFERENCE = {"type": "VISUAL", "rule": "difference", "score": {"ok_below": 0.02, "ng_from": 0.05}}
COLOR = {"type": "VISUAL", "rule": "color", "delta_e": {"ok_below": 2.0, "ng_from": 4.0}}
FORBID = {
    "type": "VISUAL",
    "rule": "objects",
    "forbid": {"scratch": {"conf": 0.4, "review_from": 0.25, "min_area_px": 25}},
}
REQUIRE = {
    "type": "VISUAL",
    "rule": "objects",
    "require": {"screw": {"conf": 0.5, "review_from": 0.3, "count": [2, 3]}},
}
CLASS = {"type": "VISUAL", "rule": "class", "accept": ["OK"], "conf_min": 0.8}
RANGE = {
    "type": "DIMENSION",
    "rule": "range",
    "unit": "mm",
    "nominal": 12.0,
    "tol": [-0.05, 0.05],
    "guard": 0.01,
    "calibration": "cam1",
}
MATCH = {
    "type": "TEXT",
    "rule": "match",
    "expect": {"from": "scan.lot"},
    "normalize": ["NFKC", "upper", "nospace"],
    "confusables": ["0O", "1I", "8B"],
    "conf_min": 0.9,
}
CODE = {"type": "TEXT", "rule": "code", "expect": {"from": "scan.product_code"}, "formats": ["QRCode"]}
CHECKLIST = {
    "type": "FUNCTION",
    "rule": "checklist",
    "checks": [{"key": "led", "label": "LED", "expect": True}],
}
ALL = [ANOMALY, AREA, DIFFERENCE, COLOR, FORBID, REQUIRE, CLASS, RANGE, MATCH, CODE, CHECKLIST]
unit_interval = st.floats(0, 1)


def verdict(
    criteria: dict[str, Any],
    *,
    calibration: Calibration | None = CALIBRATION,
    now: str = NOW,
    lot: str = "L-80B1",
    product: str = "P-1",
    **evidence: Any,
) -> Verdict:
    scan = {"lot": lot, "product_code": product}
    context = RunContext(criteria, scan, calibration, now)
    return judge(parse_criteria(criteria), Evidence(**evidence), context)


def result(criteria: dict[str, Any], **evidence: Any) -> AiResult:
    return verdict(criteria, **evidence).result


def thing(label: str, confidence: float, width: float = 10) -> Detection:
    return Detection(label, confidence, (0, 0, width, 10))


@pytest.mark.parametrize("criteria", ALL)
def test_without_evidence_nothing_is_ok(criteria: dict[str, Any]) -> None:
    found = verdict(criteria)
    assert found.result is ERROR
    assert found.reasons


@pytest.mark.parametrize(
    ("score", "expected"), [(0.0, OK), (0.4499, OK), (0.45, REVIEW), (0.5499, REVIEW), (0.55, NG), (1.0, NG)]
)
def test_the_band_between_the_thresholds_is_for_a_person(score: float, expected: AiResult) -> None:
    assert result(ANOMALY, score=score) is expected


def test_too_large_an_anomalous_area_is_ng_by_mask_and_by_heatmap() -> None:
    heatmap = np.zeros((4, 4), np.float32)
    heatmap[0, :] = 0.55
    assert result(AREA, score=0.1, heatmap=heatmap) is OK
    heatmap[1, 0] = 0.9
    assert result(AREA, score=0.1, heatmap=heatmap) is NG
    assert result(AREA, score=0.1, mask=np.full((3, 3), 255, np.uint8)) is NG
    assert result(AREA, score=0.1) is ERROR


@pytest.mark.parametrize(("value", "expected"), [(0.019, OK), (0.02, REVIEW), (0.05, NG)])
def test_a_difference_is_judged_by_its_band(value: float, expected: AiResult) -> None:
    assert result(DIFFERENCE, score=value) is expected


@pytest.mark.parametrize(("value", "expected"), [(0.0, OK), (2.0, REVIEW), (4.0, NG), (40.0, NG)])
def test_a_colour_is_judged_by_its_band(value: float, expected: AiResult) -> None:
    assert result(COLOR, quantity=Quantity(value, "dE")) is expected


def test_a_colour_rule_fed_with_a_length_is_an_error() -> None:
    assert result(COLOR, quantity=Quantity(0.1, "mm")) is ERROR


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ((), OK),
        ((thing("dent", 0.9),), OK),
        ((thing("scratch", 0.24),), OK),
        ((thing("scratch", 0.25),), REVIEW),
        ((thing("scratch", 0.4),), NG),
        ((thing("scratch", 0.9, width=2.4),), OK),
        ((thing("scratch", 0.9, width=2.5),), NG),
        ((Detection("scratch", 0.9, (0, 0, 50, 50), np.full((4, 6), 255, np.uint8)),), OK),
    ],
)
def test_forbidden_objects(objects: tuple[Detection, ...], expected: AiResult) -> None:
    assert result(FORBID, objects=objects) is expected


@pytest.mark.parametrize(
    ("confidences", "expected"),
    [
        ((), NG),
        ((0.9,), NG),
        ((0.9, 0.4), REVIEW),
        ((0.9, 0.5), OK),
        ((0.9,) * 3, OK),
        ((0.9, 0.9, 0.9, 0.4), REVIEW),
        ((0.9,) * 4, NG),
        ((0.9, 0.9, 0.2), OK),
    ],
)
def test_required_objects_are_counted(confidences: tuple[float, ...], expected: AiResult) -> None:
    assert result(REQUIRE, objects=tuple(thing("screw", c) for c in confidences)) is expected


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ((), ERROR),
        ((ClassScore("OK", 0.8),), OK),
        ((ClassScore("OK", 0.79),), REVIEW),
        ((ClassScore("dent", 0.8),), NG),
        ((ClassScore("dent", 0.79),), REVIEW),
        ((ClassScore("dent", 0.1), ClassScore("OK", 0.9)), OK),
    ],
)
def test_classes(classes: tuple[ClassScore, ...], expected: AiResult) -> None:
    assert result(CLASS, classes=classes) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12.0, OK),
        (12.04, OK),
        (11.96, OK),
        (12.0401, REVIEW),
        (12.05, REVIEW),
        (11.95, REVIEW),
        (12.0501, NG),
        (11.9, NG),
    ],
)
def test_a_dimension_near_its_limit_is_for_a_person(value: float, expected: AiResult) -> None:
    assert result(RANGE, quantity=Quantity(value, "mm")) is expected


@pytest.mark.parametrize(
    ("calibration", "code"),
    [
        (None, "calibration-missing"),
        (Calibration("cam2", 50.0, "2027-01-01T00:00:00.000Z"), "calibration-missing"),
        (Calibration("cam1", 50.0, "2026-11-22T23:59:59.999Z"), "calibration-expired"),
        (Calibration("cam1", 50.0, "one day"), "calibration-expired"),
    ],
)
@pytest.mark.parametrize("value", [12.0, 13.0])
def test_without_a_calibration_in_force_a_dimension_is_for_a_person(
    calibration: Calibration | None, code: str, value: float
) -> None:
    found = verdict(RANGE, calibration=calibration, quantity=Quantity(value, "mm"))
    assert (found.result, found.reasons[0]["code"]) == (REVIEW, code)


def test_a_dimension_in_another_unit_is_an_error() -> None:
    assert result(RANGE, quantity=Quantity(12.0, "px")) is ERROR


def test_a_dimension_in_pixels_needs_no_calibration() -> None:
    criteria = {"type": "DIMENSION", "rule": "range", "unit": "px", "nominal": 100, "tol": [-2, 0]}
    assert result(criteria, calibration=None, quantity=Quantity(99.0, "px")) is OK
    assert result(criteria, calibration=None, quantity=Quantity(100.1, "px")) is NG


@pytest.mark.parametrize(
    ("text", "confidence", "expected", "code"),
    [
        ("L-80B1", 0.95, OK, ""),
        (" ｌ-80b1 ", 0.95, OK, ""),
        ("L-8OB1", 0.95, REVIEW, "text-confusable"),
        ("L-BO8I", 0.95, REVIEW, "text-confusable"),
        ("L-80B2", 0.95, NG, "text-differs"),
        ("L-80B1", 0.89, REVIEW, "text-in-doubt"),
        ("L-80B2", 0.89, REVIEW, "text-in-doubt"),
        ("", 0.0, REVIEW, "text-unreadable"),
        ("x" * 129, 0.99, REVIEW, "text-unreadable"),
    ],
)
def test_texts(text: str, confidence: float, expected: AiResult, code: str) -> None:
    found = verdict(MATCH, text=Text(text, confidence))
    assert found.result is expected
    assert [reason["code"] for reason in found.reasons] == ([code] if code else [])


def test_a_pattern_must_match_all_of_the_text() -> None:
    criteria = {**MATCH, "expect": {"pattern": r"LOT\d{4}"}}
    assert result(criteria, text=Text("lot 1234", 0.95)) is OK
    assert result(criteria, text=Text("LOT12345", 0.95)) is NG
    assert result(criteria, text=Text("LOT123O", 0.95)) is REVIEW


def test_nothing_scanned_is_nothing_to_compare_with() -> None:
    assert result(MATCH, lot="", text=Text("L1", 0.99)) is REVIEW
    assert result(CODE, product="", codes=(Code("QRCode", "", (0, 0, 1, 1)),)) is REVIEW


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((), REVIEW),
        ((("QRCode", "P-1"),), OK),
        ((("QRCode", "P-2"),), NG),
        ((("Code128", "P-1"),), REVIEW),
        ((("QRCode", "P-2"), ("QRCode", "P-1")), OK),
    ],
)
def test_codes(codes: tuple[tuple[str, str], ...], expected: AiResult) -> None:
    assert result(CODE, codes=tuple(Code(kind, text, (0, 0, 9, 9)) for kind, text in codes)) is expected


@pytest.mark.parametrize("score", [0.1, 0.9])
def test_a_poor_photograph_is_for_a_person(score: float) -> None:
    assert result(ANOMALY, score=score, quality=0.99) is REVIEW
    assert result(ANOMALY, score=0.1, quality=1.0) is OK


@given(unit_interval, unit_interval)
def test_a_higher_score_never_improves_the_verdict(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert BADNESS[result(ANOMALY, score=low)] <= BADNESS[result(ANOMALY, score=high)]


@given(st.lists(unit_interval, max_size=6), unit_interval, st.floats(0, 100))
def test_one_more_forbidden_object_never_improves_the_verdict(
    confidences: list[float], extra: float, width: float
) -> None:
    objects = tuple(thing("scratch", c, width) for c in confidences)
    more = (*objects, thing("scratch", extra, width))
    assert BADNESS[result(FORBID, objects=objects)] <= BADNESS[result(FORBID, objects=more)]


@given(st.floats(-1, 1), st.floats(1, 5))
def test_farther_from_the_nominal_never_improves_the_verdict(deviation: float, factor: float) -> None:
    near, far = (Quantity(12.0 + d, "mm") for d in (deviation, deviation * factor))
    assert BADNESS[result(RANGE, quantity=near)] <= BADNESS[result(RANGE, quantity=far)]


@given(st.text(alphabet="L-80OB1I2", max_size=8), unit_interval, unit_interval)
def test_less_certain_text_never_becomes_ok(text: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if result(MATCH, text=Text(text, low)) is OK:
        assert result(MATCH, text=Text(text, high)) is OK


@given(st.integers(0, 16), st.integers(0, 16), unit_interval)
def test_a_larger_area_never_improves_the_verdict(one: int, other: int, score: float) -> None:
    small, large = sorted((one, other))
    masks = [(np.arange(16) < n).reshape(4, 4).astype(np.uint8) * 255 for n in (small, large)]
    first, second = (BADNESS[result(AREA, score=score, mask=mask)] for mask in masks)
    assert first <= second


@given(
    st.sampled_from(ALL),
    st.fixed_dictionaries(
        {},
        optional={
            "score": unit_interval,
            "quality": unit_interval,
            "quantity": st.builds(Quantity, st.floats(-1e6, 1e6), st.sampled_from(["mm", "px", "dE"])),
            "classes": st.lists(st.builds(ClassScore, st.sampled_from(["OK", "NG"]), unit_interval)).map(
                tuple
            ),
            "text": st.builds(Text, st.text(max_size=140), unit_interval),
        },
    ),
    st.sampled_from([None, CALIBRATION]),
)
def test_every_verdict_is_sure_between_0_and_1_and_explains_itself(
    criteria: dict[str, Any], evidence: dict[str, Any], calibration: Calibration | None
) -> None:
    found = verdict(criteria, calibration=calibration, **evidence)
    assert 0 <= found.confidence <= 1
    assert bool(found.reasons) == (found.result is not OK)
    assert all(reason["code"] for reason in found.reasons)
