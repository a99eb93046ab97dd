"""The step that shows a person what was found, and the colours of a heatmap.

Rules of this file:
- Drawing decides nothing and runs after the verdict.
- Everything is brought from the frame it was found in to the frame drawn on, through the photograph.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edge_agent.inference.steps import parameters as p
from edge_agent.inference.steps.base import (
    Environment,
    Located,
    Outputs,
    Points,
    box_corners,
    map_points,
    to_bgr,
)
from edge_agent.inference.values import Code, Detection, Frame, Heatmap, Mask, Matrix, Pixels, Verdict
from edge_agent.models import AiResult

_FRAME_BGR = {
    AiResult.OK: (96, 174, 39),
    AiResult.NG: (60, 60, 230),
    AiResult.REVIEW: (30, 170, 240),
    AiResult.ERROR: (150, 60, 150),
}
_OBJECT_BGR = (40, 40, 255)
_CODE_BGR = (220, 160, 30)


def overlay(
    with_: p.Overlay,
    env: Environment,
    *,
    image: Frame,
    objects: Located[tuple[Detection, ...]] | None = None,
    codes: Located[tuple[Code, ...]] | None = None,
    heatmap: Located[Heatmap] | None = None,
    mask: Located[Mask] | None = None,
    verdict: Verdict | None = None,
) -> Outputs:
    """The picture as H×W×3 with everything wired drawn on it, heatmap and mask below, boxes above."""
    canvas = to_bgr(image.pixels).copy()
    line = with_.line_px or max(1, round(max(canvas.shape[:2]) / 400))
    if heatmap is not None:
        _blend(canvas, _brought(heatmap, image), with_.heatmap_opacity)
    if mask is not None:
        _veil(canvas, _brought(mask, image), with_.heatmap_opacity)
    for found in objects.value if objects else ():
        way = _way(objects, image)
        _outline(canvas, _shape(found, way), _OBJECT_BGR, line)
        if with_.labels:
            _write(canvas, f"{found.label} {found.confidence:.2f}", _shape(found, way), _OBJECT_BGR, line)
    for code in codes.value if codes else ():
        corners = map_points(box_corners(code.box_px), _way(codes, image))
        _outline(canvas, corners, _CODE_BGR, line)
        if with_.labels:
            _write(canvas, code.text[:64], corners, _CODE_BGR, line)
    if verdict is not None:
        height, width = canvas.shape[:2]
        cv2.rectangle(canvas, (0, 0), (width - 1, height - 1), _FRAME_BGR[verdict.result], 3 * line)
    return {"image": Frame(canvas, image.to_original)}


def heatmap_colours(heatmap: Heatmap) -> Pixels:
    """H×W×3: blue for 0 to red for 1."""
    levels = np.rint(np.clip(heatmap, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), dtype=np.uint8)


def in_photograph(heatmap: Located[Heatmap], size_px: tuple[int, int]) -> Heatmap:
    """The heatmap in the photograph's pixels (`size_px` = width, height), 0 outside its own frame."""
    return np.asarray(_warped(heatmap.value, heatmap.to_original, size_px), dtype=np.float32)


def _way(found: Located[Any] | None, image: Frame) -> Matrix:
    """From the pixels something was found in to those of the picture drawn on."""
    from_found = np.eye(3) if found is None else found.to_original
    return np.asarray(np.linalg.inv(image.to_original) @ from_found, dtype=np.float64)


def _brought(found: Located[Any], image: Frame) -> Any:
    return _warped(found.value, _way(found, image), (image.pixels.shape[1], image.pixels.shape[0]))


def _warped(values: Any, way: Matrix, size_px: tuple[int, int]) -> Any:
    return cv2.warpPerspective(values, way, size_px, flags=cv2.INTER_LINEAR)


def _blend(canvas: Pixels, heatmap: Any, opacity: float) -> None:
    """Each pixel is covered in proportion to its heat."""
    weight = (np.clip(heatmap, 0, 1) * opacity)[..., None]
    canvas[:] = np.rint(canvas * (1 - weight) + heatmap_colours(heatmap) * weight).astype(np.uint8)


def _veil(canvas: Pixels, mask: Any, opacity: float) -> None:
    chosen = mask > 127
    canvas[chosen] = np.rint(canvas[chosen] * (1 - opacity) + np.array(_OBJECT_BGR) * opacity).astype(
        np.uint8
    )


def _shape(found: Detection, way: Matrix) -> Points:
    return map_points(outline(found), way)


def outline(found: Detection) -> Points:
    """The object's outline in its own frame: the largest contour of its mask, else its box."""
    if found.mask is None:
        return box_corners(found.box_px)
    contours, _ = cv2.findContours(found.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return box_corners(found.box_px)
    largest: Any = max(contours, key=cv2.contourArea)
    return np.asarray(largest.reshape(-1, 2), dtype=np.float64)


def _outline(canvas: Pixels, points: Points, bgr: tuple[int, int, int], line: int) -> None:
    around = np.rint(np.clip(points, -32000, 32000)).astype(np.int32)
    cv2.polylines(canvas, [around], True, bgr, line, cv2.LINE_AA)


def _write(canvas: Pixels, words: str, points: Points, bgr: tuple[int, int, int], line: int) -> None:
    """White words on a plate, above the points, moved into the picture where they would leave it."""
    font, size = cv2.FontFace("sans"), 10 + 4 * line
    x, y, width, height = cv2.getTextSize((0, 0), words, (0, 0), font, size, 500)
    left, top = (round(float(value)) for value in np.clip(points.min(axis=0), -32000, 32000))
    left = max(0, min(left, canvas.shape[1] - width - 2 * line))
    top = max(0, top - height - 3 * line)
    corner = (left + width + 2 * line, top + height + 2 * line)
    cv2.rectangle(canvas, (left, top), corner, bgr, -1)
    cv2.putText(canvas, words, (left + line - x, top + line - y), (255, 255, 255), font, size, 500)
