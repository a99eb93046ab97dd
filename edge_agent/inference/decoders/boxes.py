"""Decoders of boxes: the YOLO layouts, and the suppression of overlapping boxes.

Rules of this file:
- Pure. Boxes leave in the pixels of the picture given, clipped to it, best first.
- Work is bounded: at most `MAX_CANDIDATES` boxes reach the overlap search.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.errors import InferenceFailed
from edge_agent.inference.decoders.tensors import Array, Outputs, activate, check_probabilities, first
from edge_agent.inference.manifest import Manifest
from edge_agent.inference.preprocess import Fit, to_given
from edge_agent.inference.values import Detection, Prediction

MAX_CANDIDATES = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes still in network pixels: `corners` N×4 [x1,y1,x2,y2], `scores` N, `labels` N, `extra` N×k."""

    corners: Array
    scores: Array
    labels: Array
    extra: Array

    def pick(self, keep: Array) -> Candidates:
        return Candidates(self.corners[keep], self.scores[keep], self.labels[keep], self.extra[keep])


def decode_yolov5(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,N,5+nc]`: centre, size, objectness, one score per class."""
    rows = first(outputs, (1, None, 5 + len(manifest.output.classes)))[0]
    values = activate(rows[:, 4:], manifest.output.activation)
    found = candidates(rows[:, :4], values[:, 1:] * values[:, :1], manifest)
    return Prediction(objects=to_objects(without_overlaps(found, manifest), fit, manifest))


def decode_yolov8(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,4+nc,N]`: centre and size, one score per class (YOLOv8, 9, 11)."""
    columns = first(outputs, (1, 4 + len(manifest.output.classes), None))[0]
    scores = activate(columns[4:], manifest.output.activation)
    found = candidates(columns[:4].T, scores.T, manifest)
    return Prediction(objects=to_objects(without_overlaps(found, manifest), fit, manifest))


def decode_end_to_end(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,n,6]`: corners, score, class; the network has removed overlaps itself."""
    rows = first(outputs, (1, None, 6))[0]
    rows = rows[rows[:, 4] >= manifest.output.nms.conf]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")][: manifest.output.nms.max]
    labels = rows[:, 5].astype(np.int64)
    if len(labels) and (labels.min() < 0 or labels.max() >= len(manifest.output.classes)):
        raise InferenceFailed(
            f"{manifest.name} names class numbers {labels.min()} to {labels.max()}, "
            f"but has {len(manifest.output.classes)} classes",
            code="model-output-shape",
        )
    check_probabilities(rows[:, 4])
    found = Candidates(rows[:, :4], rows[:, 4], labels, rows[:, :0])
    return Prediction(objects=to_objects(found, fit, manifest))


def candidates(boxes: Array, scores: Array, manifest: Manifest, extra: Array | None = None) -> Candidates:
    """Boxes (centre, size) whose best class reaches `nms.conf`, best first, at most MAX_CANDIDATES."""
    best = scores.max(axis=1)
    keep = np.flatnonzero(best >= manifest.output.nms.conf)
    keep = keep[np.argsort(-best[keep], kind="stable")][:MAX_CANDIDATES]
    check_probabilities(best[keep])
    centre, half = boxes[keep, :2], boxes[keep, 2:4] / 2
    corners = np.hstack([centre - half, centre + half]).astype(np.float32)
    rest = np.zeros((len(keep), 0), np.float32) if extra is None else extra[keep]
    return Candidates(corners, best[keep], scores[keep].argmax(axis=1), rest)


def without_overlaps(found: Candidates, manifest: Manifest) -> Candidates:
    """Non-maximum suppression within each class."""
    nms = manifest.output.nms
    if len(found.scores) == 0:
        return found
    sized = np.hstack([found.corners[:, :2], found.corners[:, 2:] - found.corners[:, :2]])
    kept = cv2.dnn.NMSBoxesBatched(
        sized.tolist(), found.scores.tolist(), found.labels.tolist(), nms.conf, nms.iou
    )
    return found.pick(np.sort(np.asarray(kept, np.int64).reshape(-1))[: nms.max])


def to_objects(found: Candidates, fit: Fit, manifest: Manifest) -> tuple[Detection, ...]:
    corners = to_given(found.corners.astype(np.float32), fit).astype(float).tolist()
    classes = manifest.output.classes
    return tuple(
        Detection(
            classes[label], min(1.0, max(0.0, float(score))), (x1, y1, max(0.0, x2 - x1), max(0.0, y2 - y1))
        )
        for (x1, y1, x2, y2), score, label in zip(corners, found.scores, found.labels, strict=True)
    )
