"""Steps that measure: distance, area, colour.

Rules of this file:
- Places are found in the frame, lengths and areas are taken in the photograph: that is what is calibrated.
  (So align.perspective before a measurement does not change it; the camera must look straight at the part.)
- What cannot be found is a failure, never a zero.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from edge_agent.inference.judge import area_px
from edge_agent.inference.steps import parameters as p
from edge_agent.inference.steps.base import (
    Environment,
    Located,
    Outputs,
    Points,
    area_scale,
    failed,
    in_unit,
    map_points,
    to_gray,
)
from edge_agent.inference.steps.color import delta_e_2000
from edge_agent.inference.steps.edges import fit_circle, line_edges, on_circle, ray_edges
from edge_agent.inference.steps.image import cut
from edge_agent.inference.values import Detection, Frame, Mask, Quantity

_SIGNS = {"any": 0, "dark-inside": 1, "bright-inside": -1, "dark-to-bright": 1, "bright-to-dark": -1}
_HINT = "Check position, focus and light, then take the picture again."

MAX_COLOUR_VALUES = 600_000

Objects = Located[tuple[Detection, ...]]


def distance(
    with_: p.CircleDiameter | p.EdgeToEdge | p.BetweenObjects,
    env: Environment,
    *,
    image: Frame | None = None,
    objects: Objects | None = None,
) -> Outputs:
    """A length in the unit asked for, and what was measured as one object in the frame's pixels."""
    match with_, image, objects:
        case p.CircleDiameter(), Frame(), _:
            return _diameter(with_, env, image)
        case p.EdgeToEdge(), Frame(), _:
            return _caliper(with_, env, image)
        case p.BetweenObjects(), _, Located():
            return _between(with_, env, objects)
    raise failed("missing-input", "the step is not given what its method needs", "Correct the pipeline.")


def _diameter(with_: p.CircleDiameter, env: Environment, image: Frame) -> Outputs:
    pixels, sign, centre = to_gray(image.pixels), _SIGNS[with_.edge], with_.center_px
    points: Points = np.empty((0, 2))
    for _ in range(2):  # the second time from the centre found the first time
        found = ray_edges(
            pixels, centre, with_.radius_px, rays=with_.rays, sign=sign, contrast=with_.min_contrast
        )
        points = on_circle(found)
        if len(points) < max(3, with_.min_found * with_.rays):
            detail = f"{len(points)} of {with_.rays} rays meet the circle's edge"
            raise failed("circle-not-found", detail, _HINT)
        circle = fit_circle(points)
        centre = circle.centre
    if circle.residual > with_.max_residual_px:
        raise failed("not-round", f"the edge is {circle.residual:.2f} px from a circle", _HINT)
    in_photograph = fit_circle(map_points(points, image.to_original))
    x, y, r = *circle.centre, circle.radius
    marked = Detection("diameter", 1.0, (x - r, y - r, 2 * r, 2 * r))
    return {
        "quantity": in_unit(2 * in_photograph.radius, with_.unit, env.context),
        "objects": Located((marked,), image.to_original),
    }


def _caliper(with_: p.EdgeToEdge, env: Environment, image: Frame) -> Outputs:
    edges = line_edges(to_gray(image.pixels), with_.line_px, with_.width_px, with_.min_contrast)
    first = next((edge for edge in edges if edge[2] * _SIGNS[with_.first] >= 0), None)
    last = next((edge for edge in reversed(edges) if edge[2] * _SIGNS[with_.last] >= 0), None)
    if first is None or last is None or first is last or edges.index(first) > edges.index(last):
        raise failed("edges-not-found", f"{len(edges)} edge(s) along the line, two are needed", _HINT)
    ends = np.array([first[:2], last[:2]])
    (left, top), (right, bottom) = ends.min(axis=0), ends.max(axis=0)
    marked = Detection("distance", 1.0, (left, top, right - left, bottom - top))
    return {
        "quantity": in_unit(_length(map_points(ends, image.to_original)), with_.unit, env.context),
        "objects": Located((marked,), image.to_original),
    }


def _between(with_: p.BetweenObjects, env: Environment, objects: Objects) -> Outputs:
    used: list[Detection] = []
    for label in with_.labels:
        candidates = [o for o in objects.value if o.label == label and o not in used]
        if not candidates:
            raise failed("object-not-found", f"no (second) object {label!r} was detected", _HINT)
        used.append(max(candidates, key=lambda o: o.confidence))
    centres = np.array([(o.box_px[0] + o.box_px[2] / 2, o.box_px[1] + o.box_px[3] / 2) for o in used])
    length = _length(map_points(centres, objects.to_original))
    return {
        "quantity": in_unit(length, with_.unit, env.context),
        "objects": Located(tuple(used), objects.to_original),
    }


def _length(ends: Points) -> float:
    return float(np.hypot(*(ends[1] - ends[0])))


def area(
    with_: p.Area, env: Environment, *, mask: Located[Mask] | None = None, objects: Objects | None = None
) -> Outputs:
    """Area of the mask, plus that of the objects (of one label, if given), taken in the photograph."""
    total = 0.0
    if mask is not None and (count := int(np.count_nonzero(mask.value))):
        ys, xs = np.nonzero(mask.value)
        total += count * area_scale(mask.to_original, (float(xs.mean()), float(ys.mean())))
    for found in objects.value if objects is not None else ():
        if with_.label in (None, found.label) and objects is not None:
            x, y, width, height = found.box_px
            total += area_px(found) * area_scale(objects.to_original, (x + width / 2, y + height / 2))
    return {"quantity": in_unit(total, with_.unit, env.context)}


def color(with_: p.Color, env: Environment, *, image: Frame, mask: Located[Mask] | None = None) -> Outputs:
    """CIEDE2000 between the mean colour (sRGB, D65) of the part and the reference.

    Of a large part only every n-th row and column is taken, about `MAX_COLOUR_VALUES` / 3 pixels.
    """
    if image.pixels.ndim == 2:
        raise failed("no-colour", "a gray picture has no colour to measure", "Correct the pipeline.")
    pixels, chosen = image.pixels, None if mask is None else mask.value
    if chosen is not None and chosen.shape != pixels.shape[:2]:
        raise failed("wrong-size", "the mask is not of the picture's size", "Correct the pipeline.")
    if with_.rect_px is not None:
        pixels = cut(pixels, with_.rect_px)
        chosen = None if chosen is None else cut(chosen, with_.rect_px)
    every = max(1, math.isqrt(pixels.size // MAX_COLOUR_VALUES))
    pixels, chosen = pixels[::every, ::every], None if chosen is None else chosen[::every, ::every]
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
    values = lab.reshape(-1, 3) if chosen is None else lab[chosen > 0]
    if not len(values):
        raise failed("nothing-to-measure", "the mask leaves no pixel to measure", _HINT)
    found = values.mean(axis=0, dtype=np.float64)
    lightness, green_red, blue_yellow = (float(value) for value in found)
    difference = delta_e_2000((lightness, green_red, blue_yellow), with_.reference)
    if not math.isfinite(difference):
        raise failed("not-finite", "the colour difference is not a number", _HINT)
    return {
        "quantity": Quantity(difference, "dE"),
        "lightness": Quantity(lightness, "L*"),
        "green_red": Quantity(green_red, "a*"),
        "blue_yellow": Quantity(blue_yellow, "b*"),
    }
