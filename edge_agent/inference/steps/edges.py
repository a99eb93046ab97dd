"""Edges to a fraction of a pixel: profiles across a picture, steps in them, circles through points.

Rules of this file:
- Points are N×2 (x, y) in pixels of the picture given; integers are pixel centres.
- A profile is sampled every half pixel and smoothed over about two; an edge is an extremum of its slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.inference.steps.base import Gray, Points

STEP_PX = 0.5
_REACH = 4
_KERNEL = np.array([1.0, 4, 6, 4, 1]) / 16

Profiles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Circle:
    centre: tuple[float, float]
    radius: float
    residual: float
    """RMS distance of the points from the circle, pixels."""


def sample(pixels: Gray, x: Points, y: Points) -> Profiles:
    """Gray levels at the places `x`, `y` (same shape, any), interpolated; the border continues outside."""
    return np.asarray(
        cv2.remap(
            pixels.astype(np.float32),
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        dtype=np.float64,
    )


def slopes(profiles: Profiles) -> Profiles:
    """Smoothed slope along the last axis, gray levels per sample."""
    padded = np.pad(profiles, [(0, 0)] * (profiles.ndim - 1) + [(2, 2)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5, axis=-1)
    return np.asarray(np.gradient(windows @ _KERNEL, axis=-1), dtype=np.float64)


def step_height(profile: Profiles, index: int) -> float:
    """Gray levels by which the profile rises (or falls, < 0) around `index`, over ± 2 pixels."""
    after = float(profile[min(index + _REACH, len(profile) - 1)])
    return after - float(profile[max(index - _REACH, 0)])


def _centroid(slope: Profiles, index: int) -> float:
    """Where an edge is: the centre of gravity of its slope around the extremum at `index`, in samples.

    Unlike a parabola through the extremum it has no bias between pixels.
    """
    first, last = max(0, index - 2 * _REACH), min(len(slope), index + 2 * _REACH + 1)
    rising = np.maximum(slope[first:last] * np.sign(slope[index]), 0.0)
    for side in (rising[index - first :], rising[index - first :: -1]):  # up to where the slope ends
        ended = np.flatnonzero(side == 0)
        side[ended[0] if len(ended) else len(side) :] = 0
    return first + float((rising * np.arange(len(rising))).sum() / rising.sum())


def ray_edges(
    pixels: Gray,
    centre: tuple[float, float],
    radii: tuple[float, float],
    *,
    rays: int,
    sign: int,
    contrast: float,
) -> Points:
    """The strongest edge on each ray around `centre`, of the rays that have one.

    `sign` +1: brighter outside, -1: darker outside, 0: either. `contrast`: least step, gray levels.
    """
    angles = np.arange(rays) * (2 * np.pi / rays)
    r = np.arange(radii[0], radii[1] + STEP_PX, STEP_PX)
    x = centre[0] + np.outer(np.cos(angles), r)
    y = centre[1] + np.outer(np.sin(angles), r)
    profiles = sample(pixels, x, y)
    slope = slopes(profiles)
    strength = np.abs(slope) if sign == 0 else slope * sign
    points = []
    for ray, angle in enumerate(angles):
        best = int(np.argmax(strength[ray]))
        inside = 0 < best < len(r) - 1
        if inside and abs(step_height(profiles[ray], best)) >= contrast:
            radius = r[0] + _centroid(slope[ray], best) * STEP_PX
            points.append((centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)))
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def fit_circle(points: Points) -> Circle:
    """The circle nearest to at least three points, in the least-squares sense (algebraic)."""
    origin = points.mean(axis=0)
    local = points - origin
    system = np.column_stack([2 * local, np.ones(len(local))])
    (a, b, c), *_ = np.linalg.lstsq(system, (local**2).sum(axis=1), rcond=None)
    radius = float(np.sqrt(max(0.0, c + a * a + b * b)))
    distances = np.hypot(local[:, 0] - a, local[:, 1] - b) - radius
    residual = float(np.sqrt((distances**2).mean()))
    return Circle((float(origin[0] + a), float(origin[1] + b)), radius, residual)


def on_circle(points: Points) -> Points:
    """The points that agree on one circle: those beyond three robust deviations are left out."""
    for _ in range(3):
        if len(points) < 3:
            break
        circle = fit_circle(points)
        off = np.abs(np.hypot(*(points - circle.centre).T) - circle.radius)
        points = points[off <= max(0.5, 3 * 1.4826 * float(np.median(off)))]
    return points


def line_edges(
    pixels: Gray, line: tuple[float, float, float, float], width_px: int, contrast: float
) -> list[tuple[float, float, float]]:
    """Edges along a line, in order: x, y, height; height > 0 is dark to bright.

    The profile is the mean over `width_px` across the line.
    """
    start, end = np.array(line[:2]), np.array(line[2:])
    length = float(np.hypot(*(end - start)))
    if length < 4 * STEP_PX:
        return []
    along = (end - start) / length
    distances = np.arange(0, length + STEP_PX / 2, STEP_PX)
    offsets = np.arange(width_px) - (width_px - 1) / 2
    x = start[0] + np.outer(-along[1] * offsets, np.ones_like(distances)) + along[0] * distances
    y = start[1] + np.outer(along[0] * offsets, np.ones_like(distances)) + along[1] * distances
    profile = sample(pixels, x, y).mean(axis=0)
    slope = slopes(profile)
    edges = []
    for index in _extrema(np.abs(slope)):
        height = step_height(profile, index)
        if abs(height) >= contrast and height * slope[index] > 0:
            place = start + along * _centroid(slope, index) * STEP_PX
            edges.append((float(place[0]), float(place[1]), height))
    return edges


def _extrema(values: Profiles) -> list[int]:
    """Where a value is the greatest within ± 2 pixels, so that one edge counts once."""
    found = []
    for index in range(1, len(values) - 1):
        window = values[max(0, index - _REACH) : index + _REACH + 1]
        first = max(0, index - _REACH) + int(np.argmax(window))
        if values[index] > 0 and first == index:
            found.append(index)
    return found
