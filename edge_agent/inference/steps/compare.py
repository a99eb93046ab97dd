"""The step that compares with a golden sample.

Rules of this file:
- Both are compared in the golden sample's coordinates; what of it lies outside the picture is not compared,
  and when that is more than `MAX_HIDDEN` of it, the step fails.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edge_agent.inference.steps import parameters as p
from edge_agent.inference.steps.align import require_score
from edge_agent.inference.steps.base import (
    Environment,
    Located,
    Outputs,
    asset,
    failed,
    to_bgr,
    to_gray,
    warp,
)
from edge_agent.inference.steps.locate import locate
from edge_agent.inference.values import Frame, Mask, Matrix, Pixels

MAX_HIDDEN = 0.1
_HINT = "Check that the part lies as in the golden sample and is fully visible, then take the picture again."


def difference(with_: p.TemplateDifference, env: Environment, *, image: Frame) -> Outputs:
    """Share of pixels that differ by `threshold` gray levels or more, where, and by how much."""
    golden = asset(env, with_.template)
    aligned, visible = _aligned(with_, image, golden)
    levels = _levels(_smoothed(aligned.pixels, with_.blur_px), _smoothed(golden, with_.blur_px))
    levels = cv2.bitwise_and(levels, visible)
    _, beyond = cv2.threshold(levels, with_.threshold - 1, 255, cv2.THRESH_BINARY)
    mask = _large_enough(np.asarray(beyond, dtype=np.uint8), with_.min_area_px)
    return {
        "score": float(np.count_nonzero(mask) / np.count_nonzero(visible)),
        "heatmap": Located(np.asarray(levels, dtype=np.float32) / np.float32(255), aligned.to_original),
        "mask": Located(mask, aligned.to_original),
        "image": aligned,
    }


def _aligned(with_: p.TemplateDifference, image: Frame, golden: Pixels) -> tuple[Frame, Mask]:
    """The picture in the golden sample's coordinates, and where it covers the golden sample."""
    size = (golden.shape[1], golden.shape[0])
    if with_.align == "none":
        if image.pixels.shape[:2] != golden.shape[:2]:
            raise failed(
                "wrong-size", "the picture is not of the golden sample's size", "Correct the pipeline."
            )
        return image, np.full(golden.shape[:2], 255, np.uint8)
    found, score = locate(to_gray(image.pixels), to_gray(golden), with_.align, with_.search_px)
    require_score(score, with_.min_score)
    visible = _visible(found, size, image.pixels.shape)
    if np.count_nonzero(visible) < (1 - MAX_HIDDEN) * visible.size:
        raise failed("not-visible", "part of the golden sample's area lies outside the picture", _HINT)
    return warp(image, found, size), visible


def _visible(from_golden: Matrix, size: tuple[int, int], shape: tuple[int, ...]) -> Mask:
    inside = np.full(shape[:2], 255, np.uint8)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(inside, from_golden, size, flags=flags), dtype=np.uint8)


def _smoothed(pixels: Pixels, blur_px: int) -> Any:
    return cv2.blur(pixels, (blur_px, blur_px)) if blur_px > 1 else pixels


def _levels(first: Any, second: Any) -> Any:
    """Gray levels of difference per pixel: the greatest of the channels."""
    if first.ndim != second.ndim:
        first, second = to_bgr(first), to_bgr(second)
    apart = cv2.absdiff(first, second)
    if apart.ndim == 2:
        return apart
    blue, green, red = cv2.split(apart)
    return cv2.max(cv2.max(blue, green), red)


def _large_enough(mask: Mask, min_area_px: int) -> Mask:
    """The mask without its connected regions of fewer than `min_area_px` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area_px
    keep[0] = False
    if keep[1:].all():
        return mask
    return np.asarray((keep * 255).astype(np.uint8)[labels], dtype=np.uint8)
