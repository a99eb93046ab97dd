"""What every decoder needs of raw tensors: shape, finiteness, range, activation.

Rules of this file:
- A NaN compares false with any threshold, so unchecked it would read as "no defect found": every
  tensor is checked before it means anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import InferenceFailed

PROBABILITY_SLACK = 1e-3

Array = NDArray[Any]
Outputs = Mapping[str, Array]
"""Tensors by name, in the network's order."""


def check_finite(name: str, values: Array) -> None:
    """A sum is the cheapest probe for NaN; an overflowing but finite tensor then passes the full look."""
    if values.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(np.add.reduce(values, axis=None))
    if suspicious and not np.isfinite(values).all():
        raise InferenceFailed(
            f"the network's output {name} holds NaN or infinity",
            code="model-output-nan",
            hint="Judge the item by eye and have the model exported again; NaN is never taken for OK.",
        )


def check_probabilities(scores: Array) -> None:
    if scores.size and not (scores.min() >= -PROBABILITY_SLACK and scores.max() <= 1 + PROBABILITY_SLACK):
        raise InferenceFailed(
            f"the network gives confidences from {scores.min():.3g} to {scores.max():.3g}, not from 0 to 1",
            code="model-output-range",
            hint="Set output.activation in model.json (softmax or sigmoid) to what the network leaves out.",
        )


def activate(values: Array, activation: str) -> Array:
    """Softmax over the first axis, sigmoid per value, or nothing."""
    if activation == "none":
        return values
    wide = values.astype(np.float64)
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(wide, -500, 500))), np.float32)
    powers = np.exp(wide - wide.max(axis=0, keepdims=True))
    return np.asarray(powers / powers.sum(axis=0, keepdims=True), np.float32)


def first(outputs: Outputs, expected: tuple[int | None, ...]) -> Array:
    """The first output, when it has the expected shape (None = any size)."""
    values = next(iter(outputs.values()))
    if values.ndim != len(expected) or any(
        want is not None and want != have for want, have in zip(expected, values.shape, strict=True)
    ):
        raise wrong_shape(outputs, "[" + ",".join(str(size or "N") for size in expected) + "]")
    return values


def wrong_shape(outputs: Outputs, expected: str) -> InferenceFailed:
    shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in outputs.items())
    return InferenceFailed(
        f"the network gave {shapes}; its decoder needs {expected}",
        code="model-output-shape",
        hint="Correct output.decoder or output.classes in model.json, or export the model again.",
    )
