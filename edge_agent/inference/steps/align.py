"""Steps that show the part in known coordinates: by a template, by markers, by its four corners.

Rules of this file:
- The output's `to_original` leads back to the photograph, through every step before.
- A part that is not found is a failure, never a picture of something else.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edge_agent.inference.steps import parameters as p
from edge_agent.inference.steps.base import Environment, Outputs, Points, asset, failed, to_gray, warp
from edge_agent.inference.steps.locate import locate
from edge_agent.inference.values import Frame, Matrix, Pixels

_HINT = (
    "Check that the part lies where the camera expects it and is fully visible, then take the picture again."
)


def template(with_: p.TemplateAlignment, env: Environment, *, image: Frame) -> Outputs:
    """The picture in the template's coordinates and size; fails below `min_score`."""
    reference = to_gray(asset(env, with_.template))
    found, score = locate(to_gray(image.pixels), reference, with_.motion, with_.search_px)
    require_score(score, with_.min_score)
    frame = warp(image, found, (reference.shape[1], reference.shape[0]))
    return {"image": frame, "transform": frame.to_original, "score": score}


def require_score(score: float, least: float) -> None:
    """Raises InferenceFailed when a correlation is below the least one allowed."""
    if score < least:
        raise failed(
            "not-aligned", f"correlation with the template is {score:.2f}, at least {least} is needed", _HINT
        )


def markers(with_: p.MarkerAlignment, env: Environment, *, image: Frame) -> Outputs:
    """The picture in which the markers stand where they belong; fails when too few are seen."""
    seen = _markers_seen(to_gray(image.pixels), with_.dictionary)
    wanted = {marker.id: _marker_corners(marker) for marker in with_.markers}
    common = sorted(wanted.keys() & seen.keys())
    needed = with_.min_markers or len(wanted)
    if len(common) < needed:
        raise failed("markers-not-found", f"{len(common)} of {needed} markers are visible", _HINT)
    there = np.concatenate([wanted[number] for number in common])
    here = np.concatenate([seen[number] for number in common])
    return _straightened(image, _homography(there, here), with_.size_px)


def _markers_seen(pixels: Pixels, dictionary: str) -> dict[int, Points]:
    """Corners (4×2, clockwise from the top-left) by marker id; an id seen twice is not trusted."""
    settings = cv2.aruco.DetectorParameters()
    settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    kind: Any = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{dictionary}"))
    corners, ids, _ = cv2.aruco.ArucoDetector(kind, settings).detectMarkers(pixels)
    numbers = [] if ids is None else [int(number) for number in np.ravel(ids)]
    return {
        number: np.asarray(four, dtype=np.float64).reshape(4, 2)
        for number, four in zip(numbers, corners, strict=True)
        if numbers.count(number) == 1
    }


def _marker_corners(marker: p.Marker) -> Points:
    (x, y), side = marker.corner_px, marker.side_px
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])


def _homography(source: Points, target: Points) -> Matrix:
    matrix, _ = cv2.findHomography(source, target, 0)
    if matrix is None or abs(float(np.linalg.det(matrix))) < 1e-12:
        raise failed("not-aligned", "the points found do not span an area", _HINT)
    return np.asarray(matrix, dtype=np.float64)


def _straightened(image: Frame, from_output: Matrix, size_px: tuple[int, int]) -> Outputs:
    frame = warp(image, from_output, size_px)
    return {"image": frame, "transform": frame.to_original}


def perspective(with_: p.Perspective, env: Environment, *, image: Frame) -> Outputs:
    """The area between four corners, straightened to `size_px`."""
    if with_.corners_px is not None:
        corners = np.array(with_.corners_px)
    else:
        corners = _find_corners(to_gray(image.pixels), with_.min_area)
    width, height = with_.size_px
    target = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=np.float64)
    return _straightened(image, _homography(target, corners), with_.size_px)


def _find_corners(pixels: Pixels, min_area: float) -> Points:
    """Corners of the largest convex four-cornered shape, clockwise from the top-left."""
    shapes = [shape for light in (False, True) for shape in _quadrilaterals(pixels, light)]
    largest = max(shapes, key=lambda shape: float(cv2.contourArea(shape)), default=None)
    if largest is None or cv2.contourArea(largest) < min_area * pixels.size:
        raise failed("corners-not-found", "no four-cornered shape stands out from its ground", _HINT)
    return _clockwise(largest.reshape(4, 2).astype(np.float64))


def _quadrilaterals(pixels: Pixels, dark: bool) -> list[Any]:
    """Convex four-cornered outlines that are not the picture's own border."""
    kind = cv2.THRESH_BINARY_INV if dark else cv2.THRESH_BINARY
    _, binary = cv2.threshold(pixels, 0, 255, kind | cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    shapes = [cv2.approxPolyDP(line, 0.02 * cv2.arcLength(line, True), True) for line in outlines]
    limit = 0.98 * pixels.size
    return [s for s in shapes if len(s) == 4 and cv2.isContourConvex(s) and cv2.contourArea(s) < limit]


def _clockwise(corners: Points) -> Points:
    """Ordered top-left, top-right, bottom-right, bottom-left."""
    centre = corners.mean(axis=0)
    angles = np.arctan2(corners[:, 1] - centre[1], corners[:, 0] - centre[0])
    ordered = corners[np.argsort(angles, kind="stable")]
    return np.roll(ordered, -int(np.argmin(ordered.sum(axis=1))), axis=0)
