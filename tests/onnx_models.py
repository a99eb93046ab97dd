"""Tiny ONNX networks in the layouts exporters produce, built where they are needed.

Rules of this file:
- Each function returns the serialised network; `package` writes a folder around one.
- The YOLO ones ignore the picture's content but not its presence: their boxes are constants, so a test
  knows what must come out; `brightness_*` ones depend on the pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17

Ports = Mapping[str, tuple[int, Sequence[Any]]]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Ports,
    outputs: Ports,
    weights: Mapping[str, NDArray[Any]] | None = None,
    *,
    metadata: dict[str, str] | None = None,
    opset: int = OPSET,
) -> bytes:
    """A serialised model; `inputs` and `outputs` map names to (element type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(values, name) for name, values in (weights or {}).items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(built, metadata or {})
    return bytes(built.SerializeToString())


def constant_output(
    outputs: dict[str, NDArray[Any]],
    *,
    size: tuple[int, int] = (64, 64),
    metadata: dict[str, str] | None = None,
    shapes: dict[str, Sequence[Any]] | None = None,
    input_name: str = "images",
    opset: int = OPSET,
) -> bytes:
    """A network that answers `outputs` whatever it sees (plus 0 × the picture's mean)."""
    nodes = [
        helper.make_node("ReduceMean", [input_name], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    weights: dict[str, NDArray[Any]] = {"zero": np.array(0, np.float32)}
    kinds: dict[str, tuple[int, Sequence[Any]]] = {}
    for name, values in outputs.items():
        weights[f"{name}_values"] = values
        if values.dtype == np.float32:
            nodes.append(helper.make_node("Add", [f"{name}_values", "nothing"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [f"{name}_values"], [name]))
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        kinds[name] = (kind, (shapes or {}).get(name, values.shape))
    width, height = size
    inputs = {input_name: (TensorProto.FLOAT, [1, 3, height, width])}
    return model(nodes, inputs, kinds, weights, metadata=metadata, opset=opset)


def brightness_classifier(size: tuple[int, int] = (16, 16), output: str = "logits") -> bytes:
    """Two logits, (10·mean, 10·(1 − mean)) of pixels scaled to 0–1: class 0 is bright, class 1 dark."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["row"]),
        helper.make_node("Unsqueeze", ["row", "axis"], [output]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "gain": np.array([10, -10], np.float32),
        "bias": np.array([0, 10], np.float32),
        "axis": np.array([0], np.int64),
    }
    width, height = size
    inputs = {"image": (TensorProto.FLOAT, [1, 3, height, width])}
    return model(nodes, inputs, {output: (TensorProto.FLOAT, [1, 2])}, weights)


def flat_classifier(features: int) -> bytes:
    """scikit-learn style: a flat row in, a label and probabilities out."""
    nodes = [
        helper.make_node("ReduceMean", ["X"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["one", "mean"], ["rest"]),
        helper.make_node("Concat", ["mean", "rest"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    return model(
        nodes,
        {"X": (TensorProto.FLOAT, [None, features])},
        {"label": (TensorProto.INT64, [None]), "probabilities": (TensorProto.FLOAT, [None, 2])},
        {"one": np.array([[1]], np.float32)},
    )


def passthrough_map(size: tuple[int, int] = (16, 16)) -> bytes:
    """An anomaly map that is the mean over the channels: bright is strange."""
    width, height = size
    nodes = [helper.make_node("ReduceMean", ["image"], ["map"], axes=[1], keepdims=1)]
    return model(
        nodes,
        {"image": (TensorProto.FLOAT, [1, 3, height, width])},
        {"map": (TensorProto.FLOAT, [1, 1, height, width])},
    )


def anomalib(size: tuple[int | str, int | str] = (32, 32)) -> bytes:
    """anomalib ≥ 2 as exported: score, label, map, mask; the map is the mean brightness of a pixel."""
    width, height = size
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["anomaly_map"], axes=[1], keepdims=1),
        helper.make_node("ReduceMax", ["anomaly_map"], ["peak"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["peak", "axis"], ["pred_score"]),
        helper.make_node("GreaterOrEqual", ["pred_score", "half"], ["pred_label"]),
        helper.make_node("GreaterOrEqual", ["anomaly_map", "half"], ["pred_mask"]),
    ]
    return model(
        nodes,
        {"input": (TensorProto.FLOAT, ["batch_size", 3, height, width])},
        {
            "pred_score": (TensorProto.FLOAT, ["batch_size", 1]),
            "pred_label": (TensorProto.BOOL, ["batch_size", 1]),
            "anomaly_map": (TensorProto.FLOAT, ["batch_size", 1, height, width]),
            "pred_mask": (TensorProto.BOOL, ["batch_size", 1, height, width]),
        },
        {"half": np.array(0.5, np.float32), "axis": np.array([1], np.int64)},
    )


def never_ending(rounds: int = 2_000_000_000) -> bytes:
    """Two logits after `rounds` turns of a loop when the picture is bright; at once when it is dark."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Add", ["sum_in", "one"], ["sum_out"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn_number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_in", TensorProto.FLOAT, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_out", TensorProto.FLOAT, [1, 2]),
        ],
        [numpy_helper.from_array(np.full((1, 2), 1e-9, np.float32), "one")],
    )
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "limit"], ["bright"]),
        helper.make_node("Loop", ["rounds", "bright", "start"], ["logits"], body=body),
    ]
    weights: dict[str, NDArray[Any]] = {
        "limit": np.array(0.6, np.float32),
        "rounds": np.array(rounds, np.int64),
        "start": np.array([[4, 0]], np.float32),
    }
    inputs = {"image": (TensorProto.FLOAT, [1, 3, 16, 16])}
    return model(nodes, inputs, {"logits": (TensorProto.FLOAT, [1, 2])}, weights)


def ultralytics_metadata(task: str, names: Sequence[str], size: tuple[int, int] = (64, 64)) -> dict[str, str]:
    """`metadata_props` as Ultralytics ≥ 8 writes them; `size` is (width, height), theirs (height, width)."""
    return {
        "description": "a test network",
        "task": task,
        "stride": "32",
        "batch": "1",
        "imgsz": str([size[1], size[0]]),
        "names": str(dict(enumerate(names))),
        "args": "{'dynamic': False, 'nms': False}",
    }


def package(folder: Path, data: bytes, manifest: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Writes `data` and, unless `manifest` is None, a `model.json` around it; the folder."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(data)
    if manifest is not None:
        document = {
            "schema": "model/1",
            "name": folder.name.rsplit("-", 1)[0],
            "version": "1.0.0",
            "file": "model.onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            **manifest,
            **changes,
        }
        (folder / "model.json").write_text(json.dumps(document))
    return folder


CLASSIFIER: dict[str, Any] = {
    "task": "classify",
    "output": {"decoder": "classify", "activation": "softmax", "classes": ["OK", "dark"]},
}
"""The manifest of `brightness_classifier` and `never_ending`, as short as it may be."""
