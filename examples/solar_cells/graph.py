"""The network of this example: the first stages of a text detector, pooled, and a kernel machine on top.

Rules of this file:
- Pure: ONNX models and arrays in, ONNX models out; no disk, no onnxruntime, no scikit-learn.
- The features are computed by the same ONNX nodes in training and in the agent, so they cannot differ.
- One file takes the gray photograph and gives the probabilities of `CLASSES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]

CLASSES = ("functional", "defective")
SIDE_PX = 224
"""The network sees a cell as SIDE_PX × SIDE_PX gray pixels."""
MEAN, STD = 150.0, 50.0
"""A pixel enters as (value - MEAN) / STD."""
STAGES = {"Add.33": 4, "Add.65": 8, "Add.121": 16}
"""The outputs of the detector that are used: the ends of its first three stages, and their strides."""
BLOCKS = 4
"""Extremes are taken over BLOCKS × BLOCKS parts of the picture and averaged."""


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A support vector machine with a Gaussian kernel on standardised features (D of them).

    `p(defective) = sigmoid(slope * (exp(-gamma |z - support|²) · weight + bias) + offset)`, where
    `z = (feature - mean) / spread`; `support` is S×D, `weight` S.
    """

    mean: Array
    spread: Array
    support: Array
    weight: Array
    bias: float
    gamma: float
    slope: float
    offset: float


def probabilities(features: Array, classifier: Classifier) -> Array:
    """N×D features to N×2 probabilities, in numpy: what the graph must agree with."""
    z = (features.astype(np.float64) - classifier.mean) / classifier.spread
    distance = ((z[:, None, :] - classifier.support[None]) ** 2).sum(2)
    value = np.exp(-classifier.gamma * distance) @ classifier.weight.astype(np.float64) + classifier.bias
    defective = 1 / (1 + np.exp(-(classifier.slope * value + classifier.offset)))
    return np.stack([1 - defective, defective], 1).astype(np.float32)


def feature_graph(
    detector: onnx.ModelProto, stages: dict[str, int] | None = None, side_px: int = SIDE_PX
) -> onnx.ModelProto:
    """`image` (1×1×side×side float32) to `features` (1×D), through the detector's first stages.

    The gray picture stands for three equal colours, so the first layer's weights are summed over them.
    Raises ValueError when the detector has no such stages.
    """
    stages = STAGES if stages is None else stages
    nodes = needed_nodes(detector.graph, list(stages))
    used = {name for node in nodes for name in node.input}
    weights = [_in_gray(item, nodes[0].input[1]) for item in detector.graph.initializer if item.name in used]
    nodes[0].input[0] = "image"
    for name, stride in stages.items():
        nodes += _pooled(name, side_px // stride // BLOCKS)
    summaries = [f"{name}.{kind}" for name in stages for kind in ("mean", "spread", "high", "low")]
    nodes.append(helper.make_node("Concat", summaries, ["pooled"], axis=1))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], axis=1))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, side_px, side_px])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, None])
    graph = helper.make_graph(nodes, "solar-cells", [image], [features], weights)
    made = helper.make_model(graph, opset_imports=detector.opset_import, ir_version=detector.ir_version)
    onnx.checker.check_model(made)
    return made


def with_classifier(features: onnx.ModelProto, classifier: Classifier) -> onnx.ModelProto:
    """The feature graph continued to `probabilities` (1×2)."""
    made = onnx.ModelProto()
    made.CopyFrom(features)
    made.graph.node.extend(_classifier_nodes())
    made.graph.initializer.extend(_classifier_weights(classifier))
    del made.graph.output[:]
    shape = [1, len(CLASSES)]
    made.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape))
    onnx.checker.check_model(made)
    return made


def needed_nodes(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes `outputs` depend on, in order; raises ValueError when the graph does not make them."""
    known = {name for node in graph.node for name in node.output}
    if missing := sorted(set(outputs) - known):
        raise ValueError(f"the detector has no {', '.join(missing)}: not the version this example is for")
    wanted, kept = set(outputs), list[onnx.NodeProto]()
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            kept.append(copy)
    return kept[::-1]


def _in_gray(weight: onnx.TensorProto, first: str) -> onnx.TensorProto:
    if weight.name != first:
        return weight
    return numpy_helper.from_array(numpy_helper.to_array(weight).sum(1, keepdims=True), first)


def _pooled(name: str, part: int) -> Iterator[onnx.NodeProto]:
    """Per channel: mean, standard deviation, mean of the parts' maxima and of their minima."""

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, list(inputs), [f"{name}.{output}"], **attributes)

    over = {"axes": [2, 3], "keepdims": 1}
    parts = {"kernel_shape": [part, part], "strides": [part, part]}
    yield node("ReduceMean", [name], "mean", **over)
    yield node("Sub", [name, f"{name}.mean"], "rest")
    yield node("Mul", [f"{name}.rest", f"{name}.rest"], "square")
    yield node("ReduceMean", [f"{name}.square"], "variance", **over)
    yield node("Sqrt", [f"{name}.variance"], "spread")
    yield node("MaxPool", [name], "maxima", **parts)
    yield node("ReduceMean", [f"{name}.maxima"], "high", **over)
    yield node("Neg", [name], "negative")
    yield node("MaxPool", [f"{name}.negative"], "minima", **parts)
    yield node("ReduceMean", [f"{name}.minima"], "low", **over)


def _classifier_nodes() -> list[onnx.NodeProto]:
    """|z - s|² = |z|² + |s|² - 2 z·s; `svm.cross` is -2 sᵀ, `svm.norm` is |s|²."""
    table = (
        ("Sub", "features svm.mean", "svm.centred"),
        ("Div", "svm.centred svm.spread", "svm.z"),
        ("Mul", "svm.z svm.z", "svm.squares"),
        ("MatMul", "svm.z svm.cross", "svm.product"),
        ("Add", "svm.product svm.norm", "svm.partial"),
        ("Add", "svm.partial svm.length", "svm.distance"),
        ("Mul", "svm.distance svm.minus_gamma", "svm.exponent"),
        ("Exp", "svm.exponent", "svm.kernel"),
        ("MatMul", "svm.kernel svm.weight", "svm.sum"),
        ("Add", "svm.sum svm.offset", "svm.logit"),
        ("Sigmoid", "svm.logit", "svm.defective"),
        ("Sub", "svm.one svm.defective", "svm.functional"),
    )
    nodes = [helper.make_node(kind, inputs.split(), [output]) for kind, inputs, output in table]
    length = helper.make_node("ReduceSum", ["svm.squares"], ["svm.length"], axes=[1])
    both = helper.make_node("Concat", ["svm.functional", "svm.defective"], ["probabilities"], axis=1)
    return [*nodes[:3], length, *nodes[3:], both]


def _classifier_weights(classifier: Classifier) -> list[onnx.TensorProto]:
    support = classifier.support.astype(np.float64)
    offset = classifier.slope * classifier.bias + classifier.offset
    values = {
        "mean": classifier.mean,
        "spread": classifier.spread,
        "cross": -2 * support.T,
        "norm": (support**2).sum(1)[None],
        "minus_gamma": [-classifier.gamma],
        "weight": classifier.slope * classifier.weight[:, None],
        "offset": [[offset]],
        "one": [1.0],
    }
    return [
        numpy_helper.from_array(np.ascontiguousarray(value, np.float32), f"svm.{name}")
        for name, value in values.items()
    ]
