"""Decoders of masks: YOLO instance masks from prototypes, and class maps cut into regions.

Rules of this file:
- Pure. Masks leave at the size of the picture given; an untouched part of a mask costs no memory.
- Work is bounded: `nms.max` objects, `MAX_REGIONS` regions of each class.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_agent.inference.decoders.boxes import candidates, to_objects, without_overlaps
from edge_agent.inference.decoders.tensors import Array, Outputs, activate, first, wrong_shape
from edge_agent.inference.manifest import Manifest
from edge_agent.inference.preprocess import Fit, map_to_given
from edge_agent.inference.values import Detection, Prediction

MAX_REGIONS = 256


def decode_yolov8_seg(outputs: Outputs, fit: Fit, manifest: Manifest) -> Prediction:
    """`[1,4+nc+k,N]` boxes with k mask coefficients, and `[1,k,h,w]` mask prototypes."""
    count = len(manifest.output.classes)
    prototypes = next((values for values in outputs.values() if values.ndim == 4), None)
    if prototypes is None or prototypes.shape[0] != 1:
        raise wrong_shape(outputs, "mask prototypes [1,k,h,w]")
    columns = first(outputs, (1, 4 + count + prototypes.shape[1], None))[0]
    scores = activate(columns[4 : 4 + count], manifest.output.activation)
    found = candidates(columns[:4].T, scores.T, manifest, columns[4 + count :].T)
    found = without_overlaps(found, manifest)
    objects = _with_masks(to_objects(found, fit, manifest), found.extra, prototypes[0], fit)
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
    return np.asarray(cv2.warpAffine(logit, matrix, box[2:], flags=flags, borderMode=cv2.BORDER_REPLICATE))


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
        raise wrong_shape(outputs, "class scores [1,C,H,W] or class numbers [1,H,W]")
    scores = activate(values[0], manifest.output.activation)
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
    raise wrong_shape(outputs, f"{len(classes)} or {len(classes) + 1} channels for {len(classes)} classes")


def _regions(inside: Array, sure: Array, name: str) -> list[Detection]:
    _, regions, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
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
