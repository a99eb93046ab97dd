"""Steps that ask a model: classify, detect, segment, anomaly.

Rules of this file:
- Thin: preprocessing, decoding and thresholds belong to the model package.
- An answer that lacks its task's fields is a failure of the model, never an empty result.
"""

from __future__ import annotations

from typing import TypeVar

from edge_agent.inference.steps import parameters as p
from edge_agent.inference.steps.base import Environment, Located, Outputs, failed
from edge_agent.inference.values import Frame, Prediction

T = TypeVar("T")
_HINT = "Install the model package again, or go back to its previous version."


def classify(with_: p.ModelUse, env: Environment, *, image: Frame) -> Outputs:
    """Classes with confidence 0–1, best first."""
    classes = _given(_predict(with_, env, image).classes, "classes")
    return {"classes": tuple(sorted(classes, key=lambda found: -found.confidence))}


def detect(with_: p.ModelUse, env: Environment, *, image: Frame) -> Outputs:
    """Objects with boxes in the picture's pixels."""
    objects = _given(_predict(with_, env, image).objects, "objects")
    return {"objects": Located(objects, image.to_original)}


def segment(with_: p.ModelUse, env: Environment, *, image: Frame) -> Outputs:
    """The mask of all defect classes, of the picture's size, and one object per region."""
    answer = _predict(with_, env, image)
    mask, objects = _given(answer.mask, "mask"), _given(answer.objects, "objects")
    _same_size(mask.shape, image)
    return {"mask": Located(mask, image.to_original), "objects": Located(objects, image.to_original)}


def anomaly(with_: p.ModelUse, env: Environment, *, image: Frame) -> Outputs:
    """Score 0–1 and a heatmap of the picture's size."""
    answer = _predict(with_, env, image)
    score, heatmap = _given(answer.score, "score"), _given(answer.heatmap, "heatmap")
    _same_size(heatmap.shape, image)
    return {"score": score, "heatmap": Located(heatmap, image.to_original)}


def _predict(with_: p.ModelUse, env: Environment, image: Frame) -> Prediction:
    return env.models[with_.model, with_.version].predict(image.pixels)


def _given(part: T | None, name: str) -> T:
    if part is None:
        raise failed("broken-output", f"the model gave no {name}", _HINT)
    return part


def _same_size(shape: tuple[int, ...], image: Frame) -> None:
    if tuple(shape) != image.pixels.shape[:2]:
        raise failed("broken-output", f"the model's map is {shape}, not of the picture's size", _HINT)
