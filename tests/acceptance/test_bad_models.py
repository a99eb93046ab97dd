"""Bad models and bundles: an answer with code and hint, and the old ones go on.

Rules of this file:
- The whole agent with its real parts.
- Every refusal is checked for what it left behind: nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edge_agent.api.services import Services
from edge_agent.errors import BadDefinition
from edge_agent.models import Actor, AiResult, ImageState
from tests import bundles, onnx_models
from tests.acceptance.handling import Picture, add, start
from tests.waiting import WAIT_S


def external(folder: Path) -> Path:
    """A package whose weights lie in a file beside the network."""
    built = onnx.load_from_string(onnx_models.brightness_classifier())
    place = folder.with_name("exported")
    place.mkdir()
    onnx.save(built, str(place / "m.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    onnx_models.package(folder, (place / "m.onnx").read_bytes(), onnx_models.CLASSIFIER)
    (place / "w.bin").rename(folder / "w.bin")
    return folder


def single(data: bytes) -> Callable[[Path], Path]:
    return lambda folder: onnx_models.package(folder, data, onnx_models.CLASSIFIER)


def future_opset() -> bytes:
    built = onnx.load_from_string(onnx_models.brightness_classifier())
    built.opset_import[0].version = 99
    return bytes(built.SerializeToString())


def always(value: float, count: int = 2) -> bytes:
    logits = np.full((1, count), value, np.float32)
    return onnx_models.constant_output({"logits": logits}, size=(16, 16), input_name="image")


BAD_MODELS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "external-data": (external, "external-data"),
    "opset": (single(future_opset()), "model-opset"),
    "nan": (single(always(float("nan"))), "model-output-nan"),
    "shape": (single(always(1.0, count=5)), "model-output-shape"),
    "text": (single(b"no network at all"), "not-onnx"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_is_refused_and_the_old_one_stays(
    agent: Services, tmp_path: Path, picture: Picture, name: str
) -> None:
    make, code = BAD_MODELS[name]
    folder = make(tmp_path / "bright-9.0.0")
    if (folder / "model.json").exists():
        manifest = json.loads((folder / "model.json").read_text()) | {"version": "9.0.0"}
        bundles.put_json(folder / "model.json", manifest)
    before, running = agent.masters.status().models, agent.masters.running
    with pytest.raises(BadDefinition) as caught:
        agent.masters.install_model(folder, Actor("test"), activate=True)
    assert code in {problem.code for problem in caught.value.problems}, caught.value.problems
    assert caught.value.hint_
    assert agent.masters.status().models == before
    assert agent.masters.running is running
    assert [path.name for path in (agent.config.data_dir / "models").iterdir()] == ["bright-1.0.0"]
    verdict = add(agent, start(agent, f"after-{name}"), picture()).verdict.result(WAIT_S)
    assert verdict is not None
    assert verdict.overall_result is AiResult.OK


@pytest.mark.parametrize("name", ["nan", "opset", "shape"])
def test_a_bundle_with_a_bad_model_changes_nothing(agent: Services, tmp_path: Path, name: str) -> None:
    make, code = BAD_MODELS[name]
    folder = bundles.write_bundle(
        tmp_path / "b", {"pipelines/front.json": bundles.pipeline()}, version="2.0.0"
    )
    package = make(folder / "models" / "bright-9.0.0")
    manifest = json.loads((package / "model.json").read_text()) | {"version": "9.0.0"}
    bundles.put_json(package / "model.json", manifest)
    before, running = agent.masters.status(), agent.masters.running
    with pytest.raises(BadDefinition) as caught:
        agent.masters.import_bundle(bundles.seal(folder, version="2.0.0"), Actor("test"))
    assert code in {problem.code for problem in caught.value.problems}, caught.value.problems
    assert agent.masters.status() == before
    assert agent.masters.running is running


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "bundle.json").write_text("{"),
        lambda folder: (folder / "bundle.json").unlink(),
        lambda folder: (folder / "items.json").write_text("[]"),
        lambda folder: (folder / "products.json").unlink(),
        lambda folder: (folder / "models" / "bright-1.0.0" / "model.onnx").write_bytes(b""),
        lambda folder: (folder / "stranger.txt").write_text("hello"),
        lambda folder: (folder / "link.json").symlink_to("/etc/passwd"),
    ],
    ids=["half", "headless", "changed", "missing", "model", "stranger", "link"],
)
def test_a_malformed_bundle_names_its_problems_and_changes_nothing(
    agent: Services, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    folder = bundles.write_bundle(tmp_path / "b", version="3.0.0")
    spoil(folder)
    before = agent.masters.status()
    with pytest.raises(BadDefinition) as caught:
        agent.masters.import_bundle(folder, Actor("test"))
    assert caught.value.problems
    assert all(problem.code and problem.message for problem in caught.value.problems)
    assert agent.masters.status() == before


def use_model(services: Services, tmp_path: Path, data: bytes) -> None:
    """Masters whose item is judged by that network; it behaves on gray and dark pictures."""
    folder = bundles.write_bundle(
        tmp_path / "odd",
        {"pipelines/front.json": {**bundles.pipeline(model="odd"), "version": "2.0.0"}},
        version="2.0.0",
    )
    package = onnx_models.package(
        folder / "models" / "odd-1.0.0", data, onnx_models.CLASSIFIER,
        output={"decoder": "classify", "activation": "softmax", "classes": ["bright", "dark"]},
    )  # fmt: skip
    assert package.is_dir()
    services.masters.import_bundle(bundles.seal(folder, version="2.0.0"), Actor("test"))


def nan_when_bright() -> bytes:
    """Two logits; 0 ÷ 0 for a picture that is white throughout."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "limit"], ["bright"]),
        helper.make_node("Where", ["bright", "nan", "mean"], ["odd"]),
        helper.make_node("Mul", ["odd", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["row"]),
        helper.make_node("Unsqueeze", ["row", "axis"], ["logits"]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "limit": np.array(0.9, np.float32),
        "nan": np.array(np.nan, np.float32),
        "gain": np.array([10, -10], np.float32),
        "bias": np.array([0, 10], np.float32),
        "axis": np.array([0], np.int64),
    }
    inputs = {"image": (TensorProto.FLOAT, [1, 3, 16, 16])}
    return onnx_models.model(nodes, inputs, {"logits": (TensorProto.FLOAT, [1, 2])}, weights)


def test_a_model_that_breaks_on_some_pictures_gives_error_never_ok(
    start_agent: Callable[..., Services], tmp_path: Path, picture: Picture
) -> None:
    services = start_agent()
    use_model(services, tmp_path, nan_when_bright())
    view = start(services, "S1")
    broken = add(services, view, picture(255)).verdict.result(WAIT_S)
    assert broken is not None
    assert broken.overall_result is AiResult.ERROR
    assert broken.detailed_results["reasons"][0]["code"]
    fine = add(services, view, picture(0)).verdict.result(WAIT_S)
    assert fine is not None
    assert fine.overall_result is AiResult.NG


def test_a_model_that_hangs_is_stopped_and_the_line_goes_on(
    start_agent: Callable[..., Services], tmp_path: Path, picture: Picture
) -> None:
    services = start_agent(inference_deadline_s=5.0, inference_attempts=1)  # enough for the run after it
    use_model(services, tmp_path, onnx_models.never_ending())
    view = start(services, "S1")
    hung = add(services, view, picture(255))
    verdict = hung.verdict.result(WAIT_S)
    assert verdict is not None
    assert verdict.overall_result is AiResult.ERROR
    assert verdict.detailed_results["error"]["code"] == "inference-timeout"
    with services.database.read() as reader:
        [(state, failure)] = reader.execute("SELECT state, failure FROM inspection_images")
    assert (state, failure) == (ImageState.FAILED, "inference-timeout")
    after = add(services, view, picture(0)).verdict.result(WAIT_S)
    assert after is not None
    assert after.overall_result is not AiResult.ERROR
