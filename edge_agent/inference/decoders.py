"""What a network's output tensors mean: one function per decoder, from tensors to a Prediction.

Rules of this file:
- Pure. Coordinates leave in the pixels of the picture given to the model.
- Every array is checked for its shape and for NaN and infinity first: a NaN compares false with any
  threshold, so unchecked it would read as "no defect found".
- Work is bounded: at most `MAX_CANDIDATES` boxes reach the overlap search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import InferenceFailed
from edge_agent.inference.manifest import Manifest
from edge_agent.inference.preprocess import Fit, map_to_given, to_given
from edge_agent.inference.values import ClassScore, Detection, Prediction

MAX_CANDIDATES = 8192
PROBABILITY_SLACK = 1e-3

Array = NDArray[Any]
Outputs = Mapping[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes still in network pixels: `corners` N×4 [x1,y1,x2,y2], `scores` N, `labels` N, `extra` N×k."""

    corners: Array
    scores: Array
    labels: Array
    extra: Array

    def pick(self, keep: Array) -> Candidates:
        return Candidates(self.corners[keep], self.scores[keep], self.labels[keep], self.extra[keep])


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """The prediction in `outputs` (tensors by name, in the network's order); raises InferenceFailed."""
    for name, values in outputs.items():
        _check_finite(name, values)
    return DECODE[manifest.output.decoder](outputs, fit, manifest)


def decode_classify(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """One row of logits or probabilities; a label output beside it (scikit-learn) is left aside."""
    classes = manifest.output.classes
    rows = [values for values in outputs.values() if values.dtype.kind == "f" and values.size == len(classes)]
    if not rows:
        raise _wrong_shape(outputs, f"one output of {len(classes)} probabilities")
    scores = _activate(rows[-1].reshape(-1), manifest.output.activation)
    _check_probabilities(scores)
    order = np.argsort(-scores, kind="stable")
    return Prediction(classes=tuple(ClassScore(classes[i], float(scores[i])) for i in order))


def decode_yolov5(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,N,5+nc]`: centre, size, objectness, one score per class."""
    rows = _first(outputs, (1, None, 5 + len(manifest.output.classes)))[0]
    values = _activate(rows[:, 4:], manifest.output.activation)
    found = _candidates(rows[:, :4], values[:, 1:] * values[:, :1], manifest)
    return Prediction(objects=_objects(_without_overlaps(found, manifest), fit, manifest))


def decode_yolov8(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,4+nc,N]`: centre and size, one score per class (YOLOv8, 9, 11)."""
    columns = _first(outputs, (1, 4 + len(manifest.output.classes), None))[0]
    scores = _activate(columns[4:], manifest.output.activation)
    found = _candidates(columns[:4].T, scores.T, manifest)
    return Prediction(objects=_objects(_without_overlaps(found, manifest), fit, manifest))


def decode_end_to_end(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,n,6]`: corners, score, class; the network has removed overlaps itself."""
    rows = _first(outputs, (1, None, 6))[0]
    rows = rows[rows[:, 4] >= manifest.output.nms.conf]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")][: manifest.output.nms.max]
    labels = rows[:, 5].astype(np.int64)
    if len(labels) and (labels.min() < 0 or labels.max() >= len(manifest.output.classes)):
        raise InferenceFailed(
            f"{manifest.name} names class number {labels.max()}, but has {len(manifest.output.classes)} classes",
            code="model-output-shape",
        )
    _check_probabilities(rows[:, 4])
    return Prediction(objects=_objects(Candidates(rows[:, :4], rows[:, 4], labels, rows[:, :0]), fit, manifest))


def decode_yolov8_seg(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,4+nc+k,N]` boxes with k mask coefficients, and `[1,k,h,w]` mask prototypes."""
    count = len(manifest.output.classes)
    prototypes = next((values for values in outputs.values() if values.ndim == 4), None)
    if prototypes is None or prototypes.shape[0] != 1:
        raise _wrong_shape(outputs, "mask prototypes [1,k,h,w]")
    columns = _first(outputs, (1, 4 + count + prototypes.shape[1], None))[0]
    scores = _activate(columns[4 : 4 + count], manifest.output.activation)
    found = _candidates(columns[:4].T, scores.T, manifest, columns[4 + count :].T)
    found = _without_overlaps(found, manifest)
    objects = _with_masks(_objects(found, fit, manifest), found.extra, prototypes[0], fit)
    return Prediction(objects=objects, mask=_union(objects, fit))


def decode_semantic(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,C,H,W]` scores (or `[1,H,W]` class numbers): one object per connected region of a class.

    With one channel per class the first class is the background; with one channel more than classes
    the first channel is; a single channel is the one class against the rest, by `thresholds.score`.
    """
    labels, confidence = _label_map(outputs, manifest)
    names = _semantic_names(labels, outputs, manifest)
    flat = map_to_given(labels.astype(np.uint8), fit, cv2.INTER_NEAREST)
    sure = map_to_given(confidence.astype(np.float32), fit, cv2.INTER_NEAREST)
    regions = [region for index, name in names.items() for region in _regions(flat == index, sure, name)]
    regions.sort(key=lambda region: (-region.confidence, region.box_px))
    mask = np.where(np.isin(flat, list(names)), 255, 0).astype(np.uint8)
    return Prediction(objects=tuple(regions[: manifest.output.nms.max]), mask=mask)


def decode_anomalib(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """anomalib ≥ 2: `pred_score` and `anomaly_map`, both normalised so that 0.5 is the threshold."""
    score, heat = outputs.get("pred_score"), outputs.get("anomaly_map")
    if score is None or score.size != 1 or heat is None:
        raise _wrong_shape(outputs, "pred_score of one value and anomaly_map")
    return _anomaly(float(score.reshape(-1)[0]), heat, fit, manifest)


def decode_anomaly_map(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """One map, `[1,1,H,W]` or `[1,H,W]`; the score is its highest value."""
    heat = _activate(next(iter(outputs.values())), manifest.output.activation)
    return _anomaly(float(heat.max()), heat, fit, manifest)


def _anomaly(score: float, heat: Array, fit: Fit, manifest: Manifest) -> Prediction:
    """Scaled so that `thresholds.score` becomes 0.5, clipped to 0–1."""
    if heat.size != heat.shape[-1] * (heat.shape[-2] if heat.ndim > 1 else 0):
        raise _wrong_shape({"anomaly_map": heat}, "one map [1,1,H,W]")
    gain = 0.5 / manifest.thresholds.score
    scaled = np.clip(heat.reshape(heat.shape[-2:]).astype(np.float32) * np.float32(gain), 0, 1)
    heatmap = map_to_given(scaled, fit, cv2.INTER_LINEAR).astype(np.float32, copy=False)
    return Prediction(score=min(1.0, max(0.0, score * gain)), heatmap=heatmap)


def _candidates(boxes: Array, scores: Array, manifest: Manifest, extra: Array | None = None) -> Candidates:
    """Boxes (centre, size) whose best class reaches `nms.conf`, best first, at most MAX_CANDIDATES."""
    best = scores.max(axis=1)
    keep = np.flatnonzero(best >= manifest.output.nms.conf)
    keep = keep[np.argsort(-best[keep], kind="stable")][:MAX_CANDIDATES]
    _check_probabilities(best[keep])
    centre, half = boxes[keep, :2], boxes[keep, 2:4] / 2
    corners = np.hstack([centre - half, centre + half]).astype(np.float32)
    rest = np.zeros((len(keep), 0), np.float32) if extra is None else extra[keep]
    return Candidates(corners, best[keep], scores[keep].argmax(axis=1), rest)


def _without_overlaps(found: Candidates, manifest: Manifest) -> Candidates:
    """Non-maximum suppression within each class."""
    nms = manifest.output.nms
    if len(found.scores) == 0:
        return found
    sized = np.hstack([found.corners[:, :2], found.corners[:, 2:] - found.corners[:, :2]])
    kept = cv2.dnn.NMSBoxesBatched(
        sized.tolist(), found.scores.tolist(), found.labels.tolist(), nms.conf, nms.iou
    )
    return found.pick(np.sort(np.asarray(kept, np.int64).reshape(-1))[: nms.max])


def _objects(found: Candidates, fit: Fit, manifest: Manifest) -> tuple[Detection, ...]:
    corners = to_given(found.corners.astype(np.float32), fit).astype(float).tolist()
    classes = manifest.output.classes
    return tuple(
        Detection(classes[label], float(score), (x1, y1, max(0.0, x2 - x1), max(0.0, y2 - y1)))
        for (x1, y1, x2, y2), score, label in zip(corners, found.scores, found.labels, strict=True)
    )


def _with_masks(
    objects: tuple[Detection, ...], weights: Array, prototypes: Array, fit: Fit
) -> tuple[Detection, ...]:
    """Each object with its mask: the weighted prototypes, at the picture's size, inside its own box."""
    if not objects:
        return ()
    count, height, width = prototypes.shape
    logits = (weights @ prototypes.reshape(count, -1)).reshape(-1, height, width).astype(np.float32)
    return tuple(
        Detection(thing.label, thing.confidence, thing.box_px, _mask_in_box(logit, thing, fit))
        for thing, logit in zip(objects, logits, strict=True)
    )


def _mask_in_box(logit: Array, thing: Detection, fit: Fit) -> Array:
    x, y, w, h = thing.box_px
    left, top = int(x), int(y)
    right, bottom = min(fit.given[0], int(np.ceil(x + w))), min(fit.given[1], int(np.ceil(y + h)))
    mask = np.zeros((fit.given[1], fit.given[0]), np.uint8)
    if right > left and bottom > top:
        inside = _window(logit, fit, (left, top, right - left, bottom - top))
        mask[top:bottom, left:right] = np.where(inside > 0, 255, 0)
    return mask


def _window(logit: Array, fit: Fit, box: tuple[int, int, int, int]) -> Array:
    """The part of a network-sized map that lies under `box` of the picture, at the picture's resolution."""
    gain = [fit.scale[axis] * logit.shape[1 - axis] / fit.net[axis] for axis in (0, 1)]
    shift = [
        (fit.scale[axis] * (box[axis] + 0.5) + fit.inside[axis]) * logit.shape[1 - axis] / fit.net[axis] - 0.5
        for axis in (0, 1)
    ]
    matrix = np.array([[gain[0], 0, shift[0]], [0, gain[1], shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(logit, matrix, box[2:], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _union(objects: tuple[Detection, ...], fit: Fit) -> Array:
    union = np.zeros((fit.given[1], fit.given[0]), np.uint8)
    for thing in objects:
        if thing.mask is not None:
            np.maximum(union, thing.mask, out=union)
    return union


def _label_map(outputs: Outputs, manifest: Manifest) -> tuple[Array, Array]:
    """Class number and confidence per pixel, at the network's resolution."""
    values = next(iter(outputs.values()))
    if values.dtype.kind in "iu" and values.ndim >= 3 and values.size == values.shape[-1] * values.shape[-2]:
        labels = values.reshape(values.shape[-2:])
        return np.clip(labels, 0, 255), np.ones(labels.shape, np.float32)
    if values.ndim != 4 or values.shape[0] != 1 or values.shape[1] > 256:
        raise _wrong_shape(outputs, "class scores [1,C,H,W] or class numbers [1,H,W]")
    scores = _activate(values[0], manifest.output.activation)
    if len(scores) > 1:
        return scores.argmax(axis=0), scores.max(axis=0)
    inside = scores[0] >= manifest.thresholds.score
    return inside.astype(np.uint8), np.where(inside, scores[0], 1 - scores[0])


def _semantic_names(labels: Array, outputs: Outputs, manifest: Manifest) -> dict[int, str]:
    """Which class numbers are defects, by name."""
    classes = manifest.output.classes
    values = next(iter(outputs.values()))
    channels = values.shape[1] if values.ndim == 4 and values.dtype.kind == "f" else len(classes)
    if channels == len(classes) > 1:
        return dict(enumerate(classes[1:], start=1))
    if channels in (1, len(classes) + 1):
        return dict(enumerate(classes, start=1))
    raise _wrong_shape(outputs, f"{len(classes)} or {len(classes) + 1} channels for {len(classes)} classes")


def _regions(inside: Array, sure: Array, name: str) -> list[Detection]:
    count, regions, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    largest = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:MAX_REGIONS] + 1
    found = []
    for index in largest.tolist():
        x, y, w, h = (int(value) for value in stats[index, :4])
        part = regions[y : y + h, x : x + w] == index
        mask = np.zeros(inside.shape, np.uint8)
        mask[y : y + h, x : x + w][part] = 255
        confidence = min(1.0, max(0.0, float(sure[y : y + h, x : x + w][part].mean())))
        found.append(Detection(name, confidence, (float(x), float(y), float(w), float(h)), mask))
    return found


MAX_REGIONS = 256


def _activate(values: Array, activation: str) -> Array:
    """Softmax over the first axis, sigmoid per value, or nothing."""
    if activation == "none":
        return values
    wide = values.astype(np.float64)
    if activation == "sigmoid":
        return (1 / (1 + np.exp(-np.clip(wide, -500, 500)))).astype(np.float32)
    powers = np.exp(wide - wide.max(axis=0, keepdims=True))
    return (powers / powers.sum(axis=0, keepdims=True)).astype(np.float32)


def _first(outputs: Outputs, expected: tuple[int | None, ...]) -> Array:
    """The first output, when it has the expected shape (None = any size)."""
    values = next(iter(outputs.values()))
    if values.ndim != len(expected) or any(
        want is not None and want != have for want, have in zip(expected, values.shape, strict=True)
    ):
        raise _wrong_shape(outputs, "[" + ",".join(str(size or "N") for size in expected) + "]")
    return values


def _check_finite(name: str, values: Array) -> None:
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


def _check_probabilities(scores: Array) -> None:
    if scores.size and not (
        -PROBABILITY_SLACK <= scores.min() and scores.max() <= 1 + PROBABILITY_SLACK
    ):
        raise InferenceFailed(
            f"the network gives confidences from {scores.min():.3g} to {scores.max():.3g}, not from 0 to 1",
            code="model-output-range",
            hint="Set output.activation in model.json (softmax or sigmoid) to what the network leaves out.",
        )


def _wrong_shape(outputs: Outputs, expected: str) -> InferenceFailed:
    shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in outputs.items())
    return InferenceFailed(
        f"the network gave {shapes}; its decoder needs {expected}",
        code="model-output-shape",
        hint="Correct output.decoder or output.classes in model.json, or export the model again.",
    )


DECODE: Mapping[str, Callable[[Outputs, Fit, Manifest], Prediction]] = {
    "classify": decode_classify,
    "yolov5": decode_yolov5,
    "yolov8": decode_yolov8,
    "yolo-end2end": decode_end_to_end,
    "yolov8-seg": decode_yolov8_seg,
    "semantic": decode_semantic,
    "anomalib": decode_anomalib,
    "anomaly-map": decode_anomaly_map,
}
