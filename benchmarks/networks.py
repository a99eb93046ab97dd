"""Networks and bundles to measure with: a classifier of a wanted cost, packaged as a line engineer would.

Rules of this file:
- Seeded random weights: time is measured, not accuracy; shapes and operators are those of a small CNN.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ["OK", "NG"]


def write_classifier(path: Path, size: int, channels: int, layers: int) -> None:
    """`layers` 3×3 convolutions of `channels` at half resolution, pooled to two softmax classes."""
    random = np.random.default_rng(0)
    weights, nodes, last = [], [], "image"
    for layer in range(layers):
        inputs = 3 if layer == 0 else channels
        kernel = random.normal(0, (2 / (9 * inputs)) ** 0.5, (channels, inputs, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{layer}"))
        stride = [2, 2] if layer == 0 else [1, 1]
        nodes.append(
            helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1] * 4, strides=stride)
        )
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        last = f"r{layer}"
    head = random.normal(0, 0.1, (channels, len(CLASSES))).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(CLASSES)])
    graph = helper.make_graph(nodes, "bench", [image], [scores], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def write_bundle(folder: Path, model: Path, size: int, name: str = "bench") -> None:
    """A bundle with one product `BENCH`, one item `LOOK`, judged by this classifier."""
    package = folder / "models" / f"{name}-1.0.0"
    package.mkdir(parents=True)
    data = model.read_bytes()
    (package / "model.onnx").write_bytes(data)
    manifest = {
        "schema": "model/1",
        "name": name,
        "version": "1.0.0",
        "task": "classify",
        "file": "model.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "licence": "none",
        "input": {
            "name": "image",
            "layout": "NCHW",
            "dtype": "float32",
            "size_px": [size, size],
            "colour": "RGB",
            "resize": "stretch",
            "interpolation": "linear",
            "scale": 1 / 255,
            "mean": [0, 0, 0],
            "std": [1, 1, 1],
        },
        "output": {"decoder": "classify", "activation": "none", "classes": CLASSES},
    }
    pipeline = {
        "schema": "pipeline/1",
        "code": "bench-look",
        "version": "1.0.0",
        "inputs": {"image": "image"},
        "steps": [
            {
                "id": "net",
                "type": "model.classify",
                "in": {"image": "$in.image"},
                "with": {"model": name, "version": "1.0.0"},
            },
            {"id": "judge", "type": "judge", "in": {"classes": "$net.classes"}},
        ],
        "outputs": {"verdict": "$judge.verdict"},
    }
    item = {
        "product_code": "BENCH",
        "item_code": "LOOK",
        "item_name": "look",
        "inspection_type": "VISUAL",
        "ai_enabled": True,
        "pipeline": "bench-look",
        "criteria": {"type": "VISUAL", "rule": "class", "accept": ["OK"], "conf_min": 0.5},
        "order_sequence": 1,
        "required": True,
    }
    product = {"product_code": "BENCH", "product_name": "Bench", "version": "1"}
    documents = {
        f"models/{name}-1.0.0/model.json": manifest,
        "pipelines/bench-look.json": pipeline,
        "products.json": [product],
        "items.json": [item],
    }
    for place, document in documents.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(json.dumps(document, indent=1), "utf-8")
    listed = {
        path.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size_bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    head = {"schema": "bundle/1", "name": name, "version": "1.0.0", "files": listed}
    (folder / "bundle.json").write_text(json.dumps(head, indent=1), "utf-8")
