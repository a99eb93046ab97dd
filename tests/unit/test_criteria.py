"""Criteria: every document of the formats page is accepted, every fault is named at its place."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import BadDefinition
from edge_agent.inference.criteria import MAX_TEXT, MAX_WAYS, Expectation, parse_criteria, ways_to_match

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"
DOCUMENTED = [json.loads(line) for line in re.findall(r'^\{"type".*\}$', FORMATS.read_text("utf-8"), re.M)]
RANGE = {
    "type": "DIMENSION",
    "rule": "range",
    "unit": "mm",
    "nominal": 12.0,
    "tol": [-0.1, 0.1],
    "calibration": "c",
}
OBJECTS = {"type": "VISUAL", "rule": "objects"}
ANOMALY = {"type": "VISUAL", "rule": "anomaly", "score": {"ok_below": 0.4, "ng_from": 0.5}}
CLASS = {"type": "VISUAL", "rule": "class", "accept": ["OK"], "conf_min": 0.8}
MATCH = {"type": "TEXT", "rule": "match", "expect": {"text": "A"}, "conf_min": 0.9}


def places(document: Any, **options: Any) -> set[tuple[str, str]]:
    with pytest.raises(BadDefinition) as caught:
        parse_criteria(document, **options)
    return {(problem.pointer, problem.code) for problem in caught.value.problems}


@pytest.mark.parametrize("document", DOCUMENTED, ids=lambda document: document["rule"])
def test_every_documented_criteria_is_accepted(document: dict[str, Any]) -> None:
    assert parse_criteria(document, inspection_type=document["type"]).rule == document["rule"]


def test_all_nine_rules_are_documented() -> None:
    assert len({document["rule"] for document in DOCUMENTED}) == 9


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (5, {("", "bad-value")}),
        ({"type": "VISUAL"}, {("", "bad-value")}),
        ({**ANOMALY, "rule": "magic"}, {("", "bad-value")}),
        ({**CLASS, "conf_min": "0.8"}, {("/conf_min", "bad-value")}),
        ({**CLASS, "conf_min": True}, {("/conf_min", "bad-value")}),
        ({**ANOMALY, "colour": 1}, {("/colour", "unknown-key")}),
        ({**ANOMALY, "type": "TEXT"}, {("/type", "bad-value")}),
        ({**ANOMALY, "score": {"ok_below": 0.6, "ng_from": 0.5}}, {("/score", "bad-value")}),
        ({**ANOMALY, "score": {"ok_below": math.nan, "ng_from": 1}}, {("/score/ok_below", "bad-value")}),
        (OBJECTS, {("", "bad-value")}),
        ({**OBJECTS, "forbid": {"a/b": {"conf": 2}}}, {("/forbid/a~1b/conf", "bad-value")}),
        ({**OBJECTS, "forbid": {"a": {"conf": 0.1, "review_from": 1}}}, {("/forbid/a", "bad-value")}),
        ({**OBJECTS, "require": {"a": {"conf": 0.5, "count": [4, 3]}}}, {("/require/a", "bad-value")}),
        ({**RANGE, "tol": [0.1, 0.2]}, {("", "bad-value")}),
        ({**RANGE, "guard": 0.2}, {("", "bad-value")}),
        ({k: v for k, v in RANGE.items() if k != "calibration"}, {("", "bad-value")}),
        ({**MATCH, "expect": {"text": "A", "pattern": "B"}}, {("/expect", "bad-value")}),
        ({**MATCH, "expect": {}}, {("/expect", "bad-value")}),
        ({**MATCH, "expect": {"pattern": "["}}, {("/expect/pattern", "bad-value")}),
        ({**MATCH, "expect": {"pattern": "(a+)+b"}}, {("/expect/pattern", "bad-value")}),
        ({**MATCH, "expect": {"pattern": "a" * (MAX_TEXT + 1)}}, {("/expect/pattern", "bad-value")}),
        ({**MATCH, "expect": {"from": "scan.who"}}, {("/expect/from", "bad-value")}),
    ],
)  # fmt: skip
def test_each_fault_is_named_at_its_place(document: Any, expected: set[tuple[str, str]]) -> None:
    assert places(document) == expected


def test_all_faults_are_listed_at_once_below_the_given_place() -> None:
    document = {**ANOMALY, "score": {"ok_below": -1, "ng_from": "x"}, "extra": 1}
    found = places(document, file="items.json", pointer="/3/criteria", inspection_type="TEXT")
    assert found == {
        ("/3/criteria/score/ok_below", "bad-value"),
        ("/3/criteria/score/ng_from", "bad-value"),
        ("/3/criteria/extra", "unknown-key"),
        ("/3/criteria/type", "type-mismatch"),
    }


def test_an_item_of_another_type_is_refused() -> None:
    assert places(ANOMALY, inspection_type="DIMENSION") == {("/type", "type-mismatch")}


@pytest.mark.parametrize(
    ("pattern", "ways"),
    [("ABC", 1), (r"[A-Z]{2}-\d{4,6}", 3), (r"LOT-?\d{8}", 2), ("[*+?]{3}", 1), (r"\*\+", 1), ("A|B", 2),
     ("x(?:ab)?", 2), ("[A-Z]+-[0-9]+", MAX_TEXT**2), ("[]+*]{2}", 1)],
)  # fmt: skip
def test_ordinary_patterns_are_affordable(pattern: str, ways: int) -> None:
    assert ways_to_match(pattern) == ways
    assert Expectation.model_validate({"pattern": pattern}).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|a)*",
        "(a?){64}",
        r"(a)\1",
        "(?=a)a",
        "(?i)a",
        "(?P<n>a)",
        "a*a*a*a*b",
        "a?" * 30 + "a" * 30,
    ],
)
def test_patterns_that_can_explode_are_refused(pattern: str) -> None:
    assert ways_to_match(pattern) > MAX_WAYS


@given(
    st.lists(st.sampled_from(["a", "a?", "a{1,3}", "[ab]", "(?:a|b)", "a+", "."]), max_size=8).map("".join)
)
def test_no_affordable_pattern_hangs_on_the_worst_text(pattern: str) -> None:
    if ways_to_match(pattern) <= 2**16:
        assert re.fullmatch(pattern + "b", "a" * (MAX_TEXT - 1) + "!") is None
