"""The solar-cell example's network: its ONNX nodes against numpy, on random pictures and a small detector."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_agent.inference.manifest import parse_manifest
from examples.solar_cells import bundle
from examples.solar_cells.cells import Cell, divide, divide_in_blocks
from examples.solar_cells.graph import (
    Array,
    Classifier,
    feature_graph,
    needed_nodes,
    probabilities,
    with_classifier,
)

SIDE = 32
STAGES = {"one": 2, "two": 4}
WEIGHTS = np.random.default_rng(5)
FIRST = WEIGHTS.normal(size=(3, 3, 2, 2)).astype(np.float32)
SECOND = WEIGHTS.normal(size=(5, 3, 2, 2)).astype(np.float32)


def small_detector() -> onnx.ModelProto:
    """Two strided layers on a colour picture, and a head that the example must leave away."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["one"]),
        helper.make_node("Conv", ["one", "w2"], ["two"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["two"], ["head"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("head", TensorProto.FLOAT, [1, 5, 1, 1])],
        [numpy_helper.from_array(FIRST, "w1"), numpy_helper.from_array(SECOND, "w2")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=10)


def run_onnx(model: onnx.ModelProto, picture: Array) -> Array:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": picture})[0])


def strided(x: Array, weights: Array) -> Array:
    """A 2×2 convolution with stride 2 of C×H×W."""
    channels, height, width = x.shape
    parts = x.reshape(channels, height // 2, 2, width // 2, 2)
    return np.asarray(np.einsum("chiwj,ocij->ohw", parts, weights), np.float32)


def pooled(stage: Array) -> Array:
    """What the example keeps of one stage, C×H×W, in numpy."""
    channels, height, width = stage.shape
    parts = stage.reshape(channels, 4, height // 4, 4, width // 4)
    high = parts.max((2, 4)).mean((1, 2))
    low = (-parts).max((2, 4)).mean((1, 2))
    return np.concatenate([stage.mean((1, 2)), stage.std((1, 2)), high, low])


@pytest.fixture
def pictures() -> Array:
    return np.random.default_rng(1).normal(size=(4, 1, 1, SIDE, SIDE)).astype(np.float32)


def test_features_are_those_of_the_gray_picture_in_all_three_colours(pictures: Array) -> None:
    model = feature_graph(small_detector(), STAGES, SIDE)
    for picture in pictures:
        one = np.maximum(strided(np.repeat(picture[0], 3, axis=0), FIRST), 0)
        expected = np.concatenate([pooled(one), pooled(strided(one, SECOND))])
        np.testing.assert_allclose(run_onnx(model, picture)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_detectors_head_is_left_away() -> None:
    model = feature_graph(small_detector(), {"one": 2}, SIDE)
    assert [item.name for item in model.graph.initializer] == ["w1"]
    assert "GlobalAveragePool" not in {node.op_type for node in model.graph.node}


def test_another_detector_is_refused_by_the_names_it_lacks() -> None:
    with pytest.raises(ValueError, match=r"no three: not the version"):
        needed_nodes(small_detector().graph, ["one", "three"])


def test_the_given_detector_is_not_changed() -> None:
    detector = small_detector()
    before = detector.SerializeToString(deterministic=True)
    feature_graph(detector, STAGES, SIDE)
    assert detector.SerializeToString(deterministic=True) == before


def test_the_classifier_in_the_graph_agrees_with_numpy(pictures: Array) -> None:
    rng = np.random.default_rng(3)
    features = feature_graph(small_detector(), STAGES, SIDE)
    seen = np.concatenate([run_onnx(features, picture) for picture in pictures])
    size = seen.shape[1]
    classifier = Classifier(
        mean=seen.mean(0),
        spread=seen.std(0) + np.float32(1e-6),
        support=rng.normal(size=(9, size)).astype(np.float32),
        weight=rng.normal(size=9).astype(np.float32) * 5,
        bias=0.3,
        gamma=0.7 / size,
        slope=1.7,
        offset=-0.2,
    )
    model = with_classifier(features, classifier)
    answers = np.concatenate([run_onnx(model, picture) for picture in pictures])
    np.testing.assert_allclose(answers, probabilities(seen, classifier), atol=1e-5)
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-6)
    assert np.ptp(answers[:, 1]) > 0.01, "the pictures must not all be judged alike"


def cells() -> list[Cell]:
    kinds = {("mono", 0.0): 60, ("mono", 1.0): 40, ("poly", 0.0): 80, ("poly", 2 / 3): 12}
    return [Cell(Path("x"), p, kind) for (kind, p), count in kinds.items() for _ in range(count)]


def test_a_division_holds_out_the_asked_number_in_proportion() -> None:
    everything = cells()
    learn, held = divide(everything, 1, held_out=48)
    assert sorted(learn + held) == list(range(len(everything)))
    assert len(held) == 48
    shares = Counter((everything[index].kind, everything[index].probability) for index in held)
    expected = Counter((cell.kind, cell.probability) for cell in everything)
    assert all(abs(shares[key] - count / 4) <= 1 for key, count in expected.items())


def test_a_division_follows_from_its_seed_alone() -> None:
    assert divide(cells(), 7, 48) == divide(cells(), 7, 48)
    assert divide(cells(), 7, 48) != divide(cells(), 8, 48)


def test_blocks_hold_out_whole_runs_of_neighbours() -> None:
    everything = cells()
    learn, held = divide_in_blocks(everything, 1, held_out=48, blocks=4)
    assert sorted(learn + held) == list(range(len(everything)))
    assert len(held) == 48
    starts = [index for index in held if index - 1 not in held]
    assert all(index % 12 == 0 for index in starts)
    assert len(starts) <= 4


@pytest.mark.parametrize(
    ("probability", "is_defective"), [(0.0, False), (1 / 3, False), (2 / 3, True), (1, True)]
)
def test_doubtful_cells_go_to_the_likelier_side(probability: float, is_defective: bool) -> None:
    assert Cell(Path("x"), probability, "mono").is_defective is is_defective


def test_the_bundle_is_what_the_agent_reads(tmp_path: Path) -> None:
    picture = tmp_path / "cell0001.png"
    picture.write_bytes(b"not read here")
    answer = np.array([0.25, 0.75], np.float32)
    folder = bundle.write_bundle(tmp_path / "bundle", b"onnx", [(picture, answer)], version="1.0.1")
    package = folder / "models" / "solar-cells-1.0.1"
    manifest = parse_manifest(json.loads((package / "model.json").read_text("utf-8")))
    assert manifest.golden[0].expect.label == "defective"
    head = json.loads((folder / "bundle.json").read_text("utf-8"))
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(head["files"]) == written - {"bundle.json"}
