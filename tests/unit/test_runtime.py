"""The real onnxruntime: what loads, what is refused, what a prediction is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from edge_agent.errors import AgentError, BadDefinition, Conflict, InferenceFailed
from edge_agent.inference.golden import verify_golden
from edge_agent.inference.install import install_package, verify_package
from edge_agent.inference.package import read_package
from edge_agent.inference.runtime import OnnxModel, load_model
from tests import onnx_models as nets

BRIGHT = np.full((40, 30, 3), 250, np.uint8)
DARK = np.full((40, 30, 3), 5, np.uint8)


def load(folder: Path, **options: Any) -> OnnxModel:
    return load_model(folder, read_package(folder).manifest, **options)


def bright(tmp_path: Path, **changes: Any) -> Path:
    return nets.package(tmp_path / "bright-1.0.0", nets.brightness_classifier(), nets.CLASSIFIER, **changes)


def test_a_classifier_judges_by_the_pixels(tmp_path: Path) -> None:
    model = load(bright(tmp_path))
    for pixels, label in ((BRIGHT, "OK"), (DARK, "dark"), (BRIGHT[:, :, 0], "OK")):
        classes = model.predict(pixels).classes
        assert classes is not None
        assert classes[0].label == label
        assert classes[0].confidence > 0.99


def test_the_same_picture_gives_the_same_answer(tmp_path: Path) -> None:
    model = load(bright(tmp_path))
    pixels = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    first = model.predict(pixels).classes
    model.predict(DARK)
    assert model.predict(pixels).classes == first


def test_a_scikit_learn_classifier_of_flat_pixels_works(tmp_path: Path) -> None:
    manifest = {
        "task": "classify",
        "input": {"size_px": [8, 4], "colour": "GRAY"},
        "output": {"classes": ["light", "dark"]},
    }
    folder = nets.package(tmp_path / "svm-1.0", nets.flat_classifier(32), manifest)
    classes = load(folder).predict(BRIGHT).classes
    assert classes is not None
    assert (classes[0].label, round(classes[0].confidence, 2)) == ("light", 0.98)


def test_an_anomalib_export_works_as_exported(tmp_path: Path) -> None:
    model = load(nets.package(tmp_path / "padim-1.0", nets.anomalib()))
    pixels = DARK.copy()
    pixels[10:20, 10:20] = 250
    answer = model.predict(pixels)
    assert answer.score is not None
    assert answer.score > 0.9
    assert answer.heatmap is not None
    assert answer.heatmap.shape == (40, 30)
    assert answer.heatmap[15, 15] > 0.9
    assert answer.heatmap[35, 5] < 0.1


def test_an_anomalib_export_of_any_size_works(tmp_path: Path) -> None:
    answer = load(nets.package(tmp_path / "padim-1.0", nets.anomalib(("width", "height")))).predict(BRIGHT)
    assert answer.score == pytest.approx(250 / 255, abs=1e-3)


@pytest.mark.parametrize(
    "rows",
    [
        np.array([[[16], [12], [16], [8], [0.9], [0.1]]], np.float32),
        np.array([[[8, 8, 24, 16, 0.9, 0]]], np.float32),
    ],
)
def test_an_ultralytics_detector_works_as_exported(tmp_path: Path, rows: Any) -> None:
    metadata = nets.ultralytics_metadata("detect", ["screw", "nut"])
    folder = nets.package(tmp_path / "det-8.0", nets.constant_output({"output0": rows}, metadata=metadata))
    found = load(folder).predict(np.zeros((128, 128, 3), np.uint8)).objects
    assert found is not None
    assert [thing.label for thing in found] == ["screw"]
    assert found[0].box_px == pytest.approx((16, 16, 32, 16))


def test_an_ultralytics_segmenter_works_as_exported(tmp_path: Path) -> None:
    rows = np.zeros((1, 4 + 1 + 32, 84), np.float32)
    rows[0, :6, 0] = [32, 32, 32, 32, 0.9, 1]
    prototypes = np.full((1, 32, 16, 16), 1, np.float32)
    metadata = nets.ultralytics_metadata("segment", ["hole"])
    data = nets.constant_output({"output0": rows, "output1": prototypes}, metadata=metadata)
    answer = load(nets.package(tmp_path / "seg-8.0", data)).predict(np.zeros((64, 64, 3), np.uint8))
    assert answer.mask is not None
    assert np.count_nonzero(answer.mask) == 32 * 32


def poisoned(value: float) -> bytes:
    return nets.constant_output({"probabilities": np.array([[value, 0]], np.float32)})


def future_opset() -> bytes:
    built = onnx.load_from_string(nets.brightness_classifier())
    built.opset_import[0].version = 99
    return bytes(built.SerializeToString())


def unknown_operator() -> bytes:
    built = onnx.load_from_string(nets.brightness_classifier())
    built.graph.node[0].op_type = "Frobnicate"
    return bytes(built.SerializeToString())


@pytest.mark.parametrize(
    ("build", "output", "code"),
    [
        (lambda: poisoned(float("nan")), {}, "model-output-nan"),
        (lambda: poisoned(7.0), {}, "model-output-range"),
        (
            lambda: nets.constant_output({"p": np.zeros((1, 3), np.float32)}),
            {"classes": ["a", "b"]},
            "model-output-shape",
        ),
        (future_opset, {}, "model-opset"),
        (unknown_operator, {}, "model-load-failed"),
    ],
)
def test_what_cannot_work_is_refused_when_loaded(
    tmp_path: Path, build: Callable[[], bytes], output: dict[str, Any], code: str
) -> None:
    manifest = {"task": "classify", "output": {"classes": ["a", "b"], **output}}
    folder = nets.package(tmp_path / "m-1.0", build(), manifest)
    with pytest.raises(BadDefinition) as caught:
        load(folder)
    assert [problem.code for problem in caught.value.problems] == [code]


def test_external_weights_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = onnx.load_from_string(nets.brightness_classifier())
    onnx.save(built, str(tmp_path / "m.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)  # where onnxruntime would find w.bin, even from bytes
    folder = nets.package(tmp_path / "m-1.0", (tmp_path / "m.onnx").read_bytes(), nets.CLASSIFIER)
    plain = read_package(bright(tmp_path)).manifest
    data = (folder / "model.onnx").read_bytes()
    manifest = plain.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    with pytest.raises(BadDefinition) as caught:
        load_model(folder, manifest)
    assert [problem.code for problem in caught.value.problems] == ["external-data"]


def test_bytes_changed_since_the_manifest_are_refused(tmp_path: Path) -> None:
    folder = bright(tmp_path)
    manifest = read_package(folder).manifest
    (folder / "model.onnx").write_bytes(nets.passthrough_map())
    with pytest.raises(BadDefinition, match="not the file"):
        load_model(folder, manifest)


def test_a_network_that_fails_on_a_picture_fails_and_says_so(tmp_path: Path) -> None:
    model = load(bright(tmp_path))
    model.manifest = model.manifest.model_copy(
        update={"input": model.manifest.input.model_copy(update={"name": "elsewhere"})}
    )
    with pytest.raises(InferenceFailed) as caught:
        model.predict(BRIGHT)
    assert caught.value.code_ == "model-run-failed"


def test_the_optimised_graph_is_kept_and_a_damaged_one_is_built_again(tmp_path: Path) -> None:
    folder, cache = bright(tmp_path), tmp_path / "cache"
    first = load(folder, cache_dir=cache).predict(BRIGHT).classes
    [cached] = cache.iterdir()
    whole = cached.read_bytes()
    assert load(folder, cache_dir=cache).predict(BRIGHT).classes == first
    cached.write_bytes(whole[:-10] + bytes(10))
    assert load(folder, cache_dir=cache).predict(BRIGHT).classes == first
    assert cached.read_bytes() == whole


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    model = load(bright(tmp_path), cache_dir=tmp_path / "cache")
    assert model.predict(BRIGHT).classes is not None


def with_golden(tmp_path: Path, expect: dict[str, Any], tolerance: float = 0.02) -> Path:
    golden = [{"image": "golden/1.png", "expect": expect, "tolerance": tolerance}]
    folder = bright(tmp_path, golden=golden)
    (folder / "golden").mkdir()
    cv2.imwrite(str(folder / "golden" / "1.png"), BRIGHT)
    return folder


def test_golden_samples_that_agree(tmp_path: Path) -> None:
    folder = with_golden(tmp_path, {"class": "OK", "confidence": 0.999})
    assert [result.agrees for result in verify_golden(load(folder), read_package(folder))] == [True]


@pytest.mark.parametrize(
    "expect",
    [{"class": "dark", "confidence": 0.99}, {"class": "OK", "confidence": 0.5}, {"score": 0.5}],
)
def test_golden_samples_that_differ_stop_the_installation(tmp_path: Path, expect: dict[str, Any]) -> None:
    folder = with_golden(tmp_path, expect)
    root = tmp_path / "models"
    with pytest.raises(BadDefinition) as caught:
        install_package(folder, root)
    assert [problem.code for problem in caught.value.problems] == ["golden-differs"]
    assert caught.value.problems[0].pointer == "/golden/0"
    assert list(root.iterdir()) == []


def test_golden_objects_and_areas_are_compared(tmp_path: Path) -> None:
    rows = np.zeros((1, 4 + 1 + 32, 84), np.float32)
    rows[0, :6, 0] = [32, 32, 32, 32, 0.9, 1]
    data = nets.constant_output(
        {"output0": rows, "output1": np.ones((1, 32, 16, 16), np.float32)},
        metadata=nets.ultralytics_metadata("segment", ["hole"]),
    )
    thing = {"class": "hole", "box": [16, 16, 32, 32], "confidence": 0.9}
    golden = [
        {"image": "a.png", "expect": {"objects": [thing], "area_px": {"hole": 1024}}},
        {"image": "a.png", "expect": {"objects": [{**thing, "box": [20, 20, 32, 32]}]}},
        {"image": "a.png", "expect": {"objects": []}},
        {"image": "a.png", "expect": {"area_px": {"hole": 900}}},
    ]
    folder = nets.package(tmp_path / "seg-8.0", data, {"golden": golden})
    cv2.imwrite(str(folder / "a.png"), np.zeros((64, 64, 3), np.uint8))
    results = verify_golden(load(folder), read_package(folder))
    assert [len(result.differences) for result in results] == [0, 2, 1, 1]


def test_installing_completes_the_manifest_and_repeats_without_change(tmp_path: Path) -> None:
    source = tmp_path / "exported.onnx"
    source.write_bytes(nets.anomalib())
    root = tmp_path / "models"
    verified = install_package(source, root, name="padim", version="1.0.0")
    assert verified.package.folder == root / "padim-1.0.0"
    assert json.loads((root / "padim-1.0.0" / "model.json").read_text())["output"]["decoder"] == "anomalib"
    assert install_package(source, root, name="padim", version="1.0.0").package == verified.package
    assert [path.name for path in root.iterdir()] == ["padim-1.0.0"]
    assert verify_package(root / "padim-1.0.0").package.manifest == verified.package.manifest


def test_a_version_never_changes_its_content(tmp_path: Path) -> None:
    root = tmp_path / "models"
    install_package(bright(tmp_path), root)
    other = nets.package(
        tmp_path / "other", nets.brightness_classifier((8, 8)), nets.CLASSIFIER, name="bright"
    )
    with pytest.raises(Conflict):
        install_package(other, root)
    assert read_package(root / "bright-1.0.0").manifest.input.size_px == (16, 16)


@pytest.mark.parametrize("missing", ["nothing.onnx", "nowhere"])
def test_installing_what_is_not_there_leaves_nothing(tmp_path: Path, missing: str) -> None:
    with pytest.raises(AgentError):
        install_package(tmp_path / missing, tmp_path / "models", name="a", version="1")
    assert list((tmp_path / "models").iterdir()) == []
