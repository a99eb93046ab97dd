"""Model packages: the manifest, what the ONNX file adds to it, and everything that is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_agent.errors import BadDefinition
from edge_agent.inference.metadata import literal
from edge_agent.inference.onnx_header import read_header
from edge_agent.inference.package import read_package
from tests import onnx_models as nets


def problems_of(folder: Path) -> dict[str, str]:
    with pytest.raises(BadDefinition) as caught:
        read_package(folder)
    return {f"{p.file}#{p.pointer}": p.code for p in caught.value.problems}


def test_a_short_manifest_is_completed_from_the_network(tmp_path: Path) -> None:
    folder = nets.package(tmp_path / "bright-1.0.0", nets.brightness_classifier(), nets.CLASSIFIER)
    manifest = read_package(folder).manifest
    assert manifest.input.name == "image"
    assert manifest.input.size_px == (16, 16)
    assert manifest.output.decoder == "classify"
    assert manifest.output.activation == "softmax"


def test_the_manifest_outranks_the_metadata(tmp_path: Path) -> None:
    boxes = np.zeros((1, 6, 10), np.float32)
    data = nets.constant_output({"output0": boxes}, metadata=nets.ultralytics_metadata("detect", ["a", "b"]))
    said: dict[str, Any] = {
        "task": "detect",
        "input": {"pad_value": 0},
        "output": {"classes": ["x", "y"], "nms": {"conf": 0.5}},
    }
    manifest = read_package(nets.package(tmp_path / "m-1.0.0", data, said)).manifest
    assert manifest.output.classes == ("x", "y")
    assert manifest.output.nms.conf == 0.5
    assert manifest.output.nms.iou == 0.7
    assert (manifest.input.resize, manifest.input.pad_value) == ("letterbox", 0)


@pytest.mark.parametrize(
    ("task", "outputs", "decoder", "resize"),
    [
        ("detect", {"output0": np.zeros((1, 7, 84), np.float32)}, "yolov8", "letterbox"),
        ("detect", {"output0": np.zeros((1, 300, 6), np.float32)}, "yolo-end2end", "letterbox"),
        ("classify", {"output0": np.full((1, 3), 1 / 3, np.float32)}, "classify", "center-crop"),
        (
            "segment",
            {
                "output0": np.zeros((1, 39, 84), np.float32),
                "output1": np.zeros((1, 32, 16, 16), np.float32),
            },
            "yolov8-seg",
            "letterbox",
        ),
    ],
)
def test_an_ultralytics_export_needs_no_manifest(
    tmp_path: Path, task: str, outputs: dict[str, Any], decoder: str, resize: str
) -> None:
    metadata = nets.ultralytics_metadata(task, ["scratch", "dent", "hole"], size=(96, 64))
    data = nets.constant_output(outputs, size=(96, 64), metadata=metadata)
    package = read_package(nets.package(tmp_path / "parts-2.1.0", data))
    manifest = package.manifest
    assert (manifest.name, manifest.version, manifest.task) == ("parts", "2.1.0", task)
    assert manifest.sha256 == hashlib.sha256(data).hexdigest()
    assert (manifest.output.decoder, manifest.input.resize) == (decoder, resize)
    assert manifest.output.classes == ("scratch", "dent", "hole")
    assert manifest.input.size_px == (96, 64)
    assert (manifest.input.colour, manifest.input.pad_value) == ("RGB", 114)
    assert manifest.input.scale == pytest.approx(1 / 255)
    assert package.warnings == ()


@pytest.mark.parametrize("classes", [["a"], ["a", "b", "c"]])
def test_a_yolov5_export_is_told_by_its_shape(tmp_path: Path, classes: list[str]) -> None:
    metadata = {"stride": "32", "names": str(classes)}
    data = nets.constant_output(
        {"output": np.zeros((1, 252, 5 + len(classes)), np.float32)}, metadata=metadata
    )
    manifest = read_package(nets.package(tmp_path / "old-5.0", data)).manifest
    assert manifest.output.decoder == "yolov5"


def test_an_anomalib_export_needs_no_manifest_but_warns(tmp_path: Path) -> None:
    package = read_package(nets.package(tmp_path / "patchcore-1.0", nets.anomalib()))
    assert package.manifest.task == "anomaly"
    assert package.manifest.output.decoder == "anomalib"
    assert package.manifest.input.size_px == (32, 32)
    assert "anomalib" in package.warnings[0]


def test_an_anomalib_export_of_any_size_says_which_size_is_assumed(tmp_path: Path) -> None:
    package = read_package(nets.package(tmp_path / "patchcore-1.0", nets.anomalib(("width", "height"))))
    assert package.manifest.input.size_px == (256, 256)
    assert any("256" in warning for warning in package.warnings)


def test_a_network_that_says_nothing_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    folder = nets.package(tmp_path / "what-1.0", nets.passthrough_map())
    assert problems_of(folder)["model.json#/task"] == "missing-key"


def test_every_problem_of_a_manifest_is_listed_with_its_pointer(tmp_path: Path) -> None:
    broken = {
        "task": "detect",
        "surprise": 1,
        "input": {"size_px": [0, 16], "colour": "CMYK", "std": [0]},
        "output": {"decoder": "yolov9000", "classes": ["a", "a"], "nms": {"iou": 2}},
    }
    folder = nets.package(tmp_path / "bad-1.0", nets.brightness_classifier(), broken, version="1 0")
    assert set(problems_of(folder)) >= {
        "model.json#/surprise",
        "model.json#/version",
        "model.json#/input/size_px/0",
        "model.json#/input/colour",
        "model.json#/input/std/0",
        "model.json#/output/decoder",
        "model.json#/output/classes",
        "model.json#/output/nms/iou",
    }


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"sha256": "0" * 64}, "model.json#/sha256", "sha256-mismatch"),
        ({"size_bytes": 3}, "model.json#/size_bytes", "size-mismatch"),
        ({"file": "../model.onnx"}, "model.json#/file", "bad-path"),
        ({"file": "/etc/passwd"}, "model.json#/file", "bad-path"),
        ({"file": "other.onnx"}, "model.json#/file", "missing"),
        ({"task": "detect"}, "model.json#/output/decoder", "decoder-task"),
        ({"input": {"name": "x"}}, "model.onnx", "input-name"),
        ({"input": {"size_px": [32, 32]}}, "model.onnx", "input-shape"),
        ({"input": {"dtype": "uint8"}}, "model.onnx", "input-dtype"),
        (
            {"golden": [{"image": "golden/1.png", "expect": {"class": "OK"}}]},
            "model.json#/golden/0/image",
            "missing",
        ),
        (
            {"golden": [{"image": "golden/1.png", "expect": {"class": "rust"}}]},
            "model.json#/golden/0/expect",
            "unknown-class",
        ),
        (
            {"golden": [{"image": "../1.png", "expect": {"class": "OK"}}]},
            "model.json#/golden/0/image",
            "bad-value",
        ),
    ],
)
def test_a_package_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], place: str, code: str
) -> None:
    folder = nets.package(tmp_path / "m-1.0", nets.brightness_classifier(), nets.CLASSIFIER, **changes)
    found = {key.removesuffix("#"): value for key, value in problems_of(folder).items()}
    assert found[place] == code


def test_a_link_in_a_package_is_refused(tmp_path: Path) -> None:
    folder = nets.package(tmp_path / "m-1.0", nets.brightness_classifier(), nets.CLASSIFIER)
    (folder / "model.onnx").rename(tmp_path / "outside.onnx")
    (folder / "model.onnx").symlink_to(tmp_path / "outside.onnx")
    assert problems_of(folder) == {"model.json#/file": "link"}


@pytest.mark.parametrize("text", [b"{", b'{"a":1,"a":2}', b"[]", b'{"a":NaN}', b"\xff\xfe{}"])
def test_a_manifest_that_is_not_strict_json_is_refused(tmp_path: Path, text: bytes) -> None:
    folder = nets.package(tmp_path / "m-1.0", nets.brightness_classifier())
    (folder / "model.json").write_bytes(text)
    assert list(problems_of(folder)) == ["model.json#"]


def test_weights_outside_the_file_are_refused(tmp_path: Path) -> None:
    built = onnx.load_from_string(nets.brightness_classifier())
    onnx.save(built, str(tmp_path / "m.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    folder = nets.package(tmp_path / "m-1.0", (tmp_path / "m.onnx").read_bytes(), nets.CLASSIFIER)
    assert problems_of(folder) == {"model.onnx#": "external-data"}


def test_weights_outside_the_file_are_found_inside_subgraphs() -> None:
    built = onnx.load_from_string(nets.never_ending())
    loop = next(node for node in built.graph.node if node.op_type == "Loop")
    weight = loop.attribute[0].g.initializer[0]
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    assert read_header(built.SerializeToString()).external == (weight.name,)


def test_the_header_agrees_with_onnx_itself() -> None:
    data = nets.anomalib()
    header, built = read_header(data), onnx.load_from_string(data)
    assert [port.name for port in header.inputs] == [port.name for port in built.graph.input]
    assert [port.name for port in header.outputs] == [port.name for port in built.graph.output]
    assert header.inputs[0].shape == (None, 3, 32, 32)
    assert header.opsets == {"": nets.OPSET}
    assert header.external == ()


@pytest.mark.parametrize("cut", [0, 1, 7, 40, 200])
def test_a_truncated_network_is_refused(tmp_path: Path, cut: int) -> None:
    folder = nets.package(tmp_path / "m-1.0", nets.brightness_classifier()[:cut], nets.CLASSIFIER)
    assert problems_of(folder) == {"model.onnx#": "not-onnx"}


def test_random_bytes_never_hang_or_crash_the_header_reader() -> None:
    rng = np.random.default_rng(7)
    base = bytearray(nets.anomalib())
    for _ in range(300):
        damaged = bytearray(base)
        for at in rng.integers(0, len(base), 4):
            damaged[at] = rng.integers(0, 256)
        try:
            read_header(bytes(damaged))
        except ValueError:
            continue


@pytest.mark.parametrize("text", ["__import__('os').system('true')", "[" * 5000, "{0: 'a'", "1" * 300_000])
def test_metadata_are_literals_and_nothing_else(text: str) -> None:
    assert literal(text) is None


def test_reading_a_package_needs_no_heavy_library(tmp_path: Path) -> None:
    folder = nets.package(tmp_path / "bright-1.0.0", nets.brightness_classifier(), nets.CLASSIFIER)
    code = (
        "import sys, json, pathlib\n"
        "import edge_agent.inference.worker\n"
        "from edge_agent.inference.package import read_package\n"
        f"read_package(pathlib.Path({str(folder)!r}))\n"
        "print(json.dumps([m for m in ('numpy', 'cv2', 'onnxruntime') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == []
