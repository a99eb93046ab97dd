"""Compiling pipelines: a sound one becomes a plan, a faulty one names every fault at its place."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_agent.errors import BadDefinition
from edge_agent.inference.criteria import parse_criteria
from edge_agent.inference.definition import compile_pipeline, pin
from edge_agent.inference.plan import Plan, Source, fit


@dataclass(frozen=True)
class Info:
    task: str
    sha256: str


ASSET = "a" * 64
MODELS = {("det", "1.0.0"): Info("detect", "d" * 64), ("cls", "2.0.0"): Info("classify", "c" * 64)}
GOOD: dict[str, Any] = {
    "schema": "pipeline/1",
    "code": "plate-front",
    "version": "1.0.0",
    "inputs": {"image": "image"},
    "steps": [
        {"id": "judge", "type": "judge", "in": {"objects": "$det.objects"}},
        {
            "id": "fix",
            "type": "align.template",
            "in": {"image": "$in.image"},
            "with": {"template": f"sha256:{ASSET}"},
        },
        {
            "id": "det",
            "type": "model.detect",
            "in": {"image": "$fix.image"},
            "with": {"model": "det", "version": "1.0.0"},
            "timeout_ms": 3000,
        },
        {"id": "view", "type": "draw.overlay", "in": {"image": "$in.image", "objects": "$det.objects"}},
    ],
    "outputs": {"verdict": "$judge.verdict", "overlay": "$view.image"},
}


def compiled(document: Mapping[str, Any] | bytes) -> Plan:
    return compile_pipeline(document, MODELS, {ASSET})


def faults(document: Mapping[str, Any] | bytes) -> set[tuple[str, str]]:
    with pytest.raises(BadDefinition) as caught:
        compiled(document)
    return {(problem.pointer, problem.code) for problem in caught.value.problems}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """GOOD with the value at `path` replaced (or removed, for `...`)."""
    document = copy.deepcopy(GOOD)
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return document


def test_a_sound_pipeline_becomes_an_ordered_plan() -> None:
    plan = compiled(GOOD)
    assert [step.id for step in plan.steps] == ["fix", "det", "judge", "view"]
    assert [step.id for step in plan.evidence] == ["fix", "det", "judge"]
    assert [step.id for step in plan.drawings] == ["view"]
    assert plan.steps[0].inputs == {"image": Source(None, "image")}
    assert plan.steps[1].timeout_ms == 3000
    assert plan.judge.id == "judge"
    assert [(need.name, need.task, need.sha256) for need in plan.models] == [("det", "detect", "d" * 64)]
    assert plan.assets == (ASSET,)


def test_the_identity_is_that_of_the_content_not_of_the_spelling() -> None:
    reordered = dict(reversed(GOOD.items()))
    assert compiled(json.dumps(reordered, indent=3).encode()).sha256 == compiled(GOOD).sha256
    assert compiled(changed("version", to="1.0.1")).sha256 != compiled(GOOD).sha256


def test_a_plan_cannot_be_changed() -> None:
    plan: Any = compiled(GOOD)
    with pytest.raises(FrozenInstanceError):
        plan.code = "other"
    with pytest.raises(TypeError):
        plan.outputs["verdict"] = Source(None, "image")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (changed("schema", to="pipeline/2"), {("/schema", "bad-value")}),
        (changed("code", to="../x"), {("/code", "bad-value")}),
        (changed("note", to="x"), {("/note", "unknown-key")}),
        (changed("inputs", "video", to="image"), {("/inputs/video", "unknown-key")}),
        (
            changed("steps", to=[]),
            {("/steps", "bad-value"), ("/outputs/verdict", "unresolved"), ("/outputs/overlay", "unresolved")},
        ),
        (changed("steps", 0, "in", to={}), {("/steps/0/in", "missing-input")}),
        (changed("steps", 1, "type", to="align.magic"), {("/steps/1/type", "unknown-step")}),
        (changed("steps", 1, "with", "speed", to=1), {("/steps/1/with/speed", "unknown-key")}),
        (changed("steps", 1, "with", "min_score", to="0.5"), {("/steps/1/with/min_score", "bad-value")}),
        (changed("steps", 1, "with", "search_px", to=1.5), {("/steps/1/with/search_px", "bad-value")}),
        (changed("steps", 1, "with", "min_score", to=2), {("/steps/1/with/min_score", "bad-value")}),
        (changed("steps", 1, "with", to=...), {("/steps/1/with/template", "missing-key")}),
        (
            changed("steps", 1, "with", "template", to="/etc/passwd"),
            {("/steps/1/with/template", "bad-value")},
        ),
        (
            changed("steps", 1, "with", "template", to="sha256:" + "b" * 64),
            {("/steps/1/with/template", "missing-asset")},
        ),
        (changed("steps", 2, "with", "version", to="9.9.9"), {("/steps/2/with/model", "missing-model")}),
        (
            changed("steps", 2, "with", to={"model": "cls", "version": "2.0.0"}),
            {("/steps/2/with/model", "wrong-task")},
        ),
        (changed("steps", 2, "timeout_ms", to=0), {("/steps/2/timeout_ms", "bad-value")}),
        (
            changed("steps", 2, "id", to="fix"),
            {
                ("/steps/2/id", "duplicate-id"),
                ("/steps/0/in/objects", "unresolved"),
                ("/steps/3/in/objects", "unresolved"),
            },
        ),
        (
            changed("steps", 2, "id", to="Det"),
            {
                ("/steps/2/id", "bad-value"),
                ("/steps/0/in/objects", "unresolved"),
                ("/steps/3/in/objects", "unresolved"),
            },
        ),
        (changed("steps", 3, "in", "sound", to="$in.image"), {("/steps/3/in/sound", "unknown-input")}),
        (changed("steps", 3, "in", "image", to="$in.picture"), {("/steps/3/in/image", "unresolved")}),
        (changed("steps", 3, "in", "image", to="in.image"), {("/steps/3/in/image", "bad-selector")}),
        (changed("steps", 3, "in", "image", to="$det.objects"), {("/steps/3/in/image", "kind-mismatch")}),
        (
            changed("steps", 1, "in", "image", to="$view.image"),
            {
                ("/steps/1/in/image", "drawn-too-late"),
                ("/steps/1", "cycle"),
                ("/steps/2", "cycle"),
                ("/steps/3", "cycle"),
            },
        ),
        (changed("steps", 1, "in", "image", to="$fix.image"), {("/steps/1", "cycle")}),
        (changed("outputs", "verdict", to=...), {("/outputs", "no-verdict")}),
        (changed("outputs", "verdict", to="$det.objects"), {("/outputs/verdict", "kind-mismatch")}),
        (changed("outputs", "verdict", to=7), {("/outputs/verdict", "bad-selector")}),
        (changed("outputs", "report", to="$view.image"), {("/outputs/report", "unknown-output")}),
        (changed("outputs", to=...), {("/outputs", "missing-key")}),
        (changed("steps", 0, to="judge"), {("/steps/0", "bad-value"), ("/outputs/verdict", "unresolved")}),
    ],
)
def test_each_fault_is_named_at_its_place(document: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert faults(document) == expected


def test_all_faults_come_at_once_in_the_order_of_the_document() -> None:
    document = changed("steps", 1, "type", to="align.magic")
    document["steps"][2]["with"]["version"] = "9.9.9"
    document["outputs"]["overlay"] = "$nowhere.image"
    document["extra"] = True
    with pytest.raises(BadDefinition) as caught:
        compiled(document)
    assert [problem.code for problem in caught.value.problems] == [
        "unknown-key", "unresolved", "unknown-step", "missing-model",
    ]  # fmt: skip


def test_only_the_steps_of_the_cycle_are_accused() -> None:
    document = copy.deepcopy(GOOD)
    document["steps"] += [
        {"id": "a", "type": "image.gray", "in": {"image": "$b.image"}},
        {"id": "b", "type": "image.gray", "in": {"image": "$a.image"}, "with": {"channel": "infrared"}},
        {"id": "c", "type": "image.gray", "in": {"image": "$b.image"}},
    ]
    assert faults(document) == {
        ("/steps/4", "cycle"),
        ("/steps/5", "cycle"),
        ("/steps/5/with/channel", "bad-value"),
    }


def test_the_predecessors_shape_is_recognised_and_named() -> None:
    steps = [{"step_id": "s1", "service": "resize", "method": "POST", "depends_on": []}]
    with pytest.raises(BadDefinition) as caught:
        compiled(changed("steps", to=steps))
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.code) == ("/steps/0", "predecessor-shape")
    assert "predecessor system" in problem.message


def test_measurement_methods_ask_for_their_own_inputs() -> None:
    step = {"id": "m", "type": "measure.distance", "in": {"objects": "$det.objects"},
            "with": {"method": "caliper", "line_px": [0, 0, 9, 9]}}  # fmt: skip
    assert faults(changed("steps", 3, to=step)) == {
        ("/steps/3/in", "missing-input"),
        ("/outputs/overlay", "unresolved"),
    }
    step["with"] = {"method": "circle", "radius_px": [9, 3]}
    found = faults({**changed("steps", 3, to=step), "outputs": {"verdict": "$judge.verdict"}})
    assert found == {("/steps/3/with/center_px", "missing-key"), ("/steps/3/with/radius_px", "bad-value")}


def test_no_more_than_64_steps() -> None:
    more = [{"id": f"g{i}", "type": "image.gray", "in": {"image": "$in.image"}} for i in range(61)]
    document = copy.deepcopy(GOOD)
    document["steps"] += more[:60]
    assert len(compiled(document).steps) == 64
    document["steps"] += more[60:]
    assert faults(document) == {("/steps", "bad-value")}


def test_no_more_than_64_kibibytes() -> None:
    assert faults(b" " * 65536 + json.dumps(GOOD).encode()) == {("", "too-large")}
    assert faults(changed("code", to="x" * 65536)) == {("", "too-large")}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"\xff\xfe{}", "not-json"),
        (b'{"code":"a","code":"b"}', "not-json"),
        (b'{"code":NaN}', "not-json"),
        (b"[" * 60000, "not-json"),
        (b'{"code":1e999}', "not-canonical"),
        (b'{"code":123456789012345678901}', "not-canonical"),
        (b"[]", "bad-value"),
    ],
)
def test_what_is_no_strict_json_object_is_refused(data: bytes, code: str) -> None:
    assert faults(data) == {("", code)}


LEAF = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
NONSENSE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
PLACES = [(), ("steps",), ("steps", 2), ("steps", 2, "with"), ("steps", 0, "in"), ("outputs",), ("inputs",)]


@given(NONSENSE, st.sampled_from(PLACES))
def test_nonsense_anywhere_is_a_problem_never_a_crash(nonsense: Any, path: tuple[str | int, ...]) -> None:
    assume(path != ("steps", 2, "with") or not isinstance(nonsense, dict) or "model" not in nonsense)
    assert faults(json.dumps(changed(*path, to=nonsense) if path else nonsense).encode())


def test_the_order_of_the_steps_does_not_matter_to_what_runs() -> None:
    for seed in range(5):
        document = copy.deepcopy(GOOD)
        random.Random(seed).shuffle(document["steps"])
        order = [step.id for step in compiled(document).steps]
        assert order.index("fix") < order.index("det") < min(order.index("judge"), order.index("view"))


def test_a_plan_that_lacks_the_criterias_evidence_is_found_before_any_image() -> None:
    score = parse_criteria(
        {"type": "VISUAL", "rule": "difference", "score": {"ok_below": 0.1, "ng_from": 0.2}}
    )
    assert [problem.code for problem in fit(compiled(GOOD), score)] == ["missing-evidence"]


def test_labels_no_model_knows_are_found_before_any_image() -> None:
    criteria = parse_criteria(
        {"type": "VISUAL", "rule": "objects", "forbid": {"scratch": {"conf": 0.5}, "scrach": {"conf": 0.5}}}
    )
    problems = fit(
        compiled(GOOD), criteria, {("det", "1.0.0"): ["scratch", "dent"]}, "items.json", "/0/criteria"
    )
    assert [(p.file, p.pointer, p.code) for p in problems] == [("items.json", "/0/criteria", "unknown-label")]
    assert "'scrach'" in problems[0].message
    assert fit(compiled(GOOD), criteria) == []


def test_compiling_loads_neither_opencv_nor_numpy() -> None:
    program = (
        "import sys, edge_agent.inference.definition; "
        "print(sorted({'cv2', 'numpy', 'onnxruntime', 'zxingcpp'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_model_without_version_is_pinned_to_the_active_one() -> None:
    loose = changed("steps", 2, "with", to={"model": "det"})
    assert pin(loose, {"det": "1.0.0"}) == GOOD
    assert "version" not in loose["steps"][2]["with"]
    assert compiled(pin(loose, {"det": "1.0.0"})).models[0].version == "1.0.0"


def test_a_stated_version_stays_and_an_unknown_model_is_reported() -> None:
    assert pin(GOOD, {"det": "9.9.9"}) == GOOD
    assert faults(pin(changed("steps", 2, "with", to={"model": "det"}), {})) == {
        ("/steps/2/with/version", "missing-key")
    }


@pytest.mark.parametrize(
    "document", [None, [], {}, {"steps": None}, {"steps": [1, {"with": 2}, {"with": {"model": []}}]}]
)
def test_what_cannot_be_pinned_stays_as_it_is(document: Any) -> None:
    assert pin(document, {"det": "1.0.0"}) == document
