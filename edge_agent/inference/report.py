"""What a run found, as the JSON document stored with its verdict.

Rules of this file:
- Everything a person may point at is in the photograph's pixels, whatever frame it was found in.
- The same run gives the same document but for `ms`: numbers are rounded (places 0.001 px, confidences 1e-6).
- `unsound` decides what may be reported at all: a number that is none never leaves the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_agent.inference.steps.base import Located, Points, box_corners, map_points
from edge_agent.inference.steps.catalogue import Kind
from edge_agent.inference.steps.drawing import outline
from edge_agent.inference.values import (
    Box,
    ClassScore,
    Code,
    Detection,
    Frame,
    Matrix,
    Quantity,
    Text,
    Verdict,
)

_TOLERANCE = 1e-4
_LISTS = {
    Kind.OBJECTS: "objects",
    Kind.CODES: "codes",
    Kind.CLASSES: "classes",
    Kind.SCORE: "scores",
    Kind.QUANTITY: "measurements",
    Kind.TEXT: "texts",
}


def unsound(value: Any) -> str:
    """Why a step's output must not be used: "not-finite", "out-of-range", or "" when it may."""
    match value:
        case Frame(to_original=matrix):
            return unsound(matrix)
        case Located(value=inner, to_original=matrix):
            return unsound(inner) or unsound(matrix)
        case tuple():
            return next((fault for fault in map(unsound, value) if fault), "")
        case Detection(confidence=confidence, box_px=box):
            return _off_scale(confidence) or ("" if all(map(math.isfinite, box)) else "not-finite")
        case ClassScore(confidence=confidence) | Text(confidence=confidence) | Verdict(confidence=confidence):
            return _off_scale(confidence)
        case Quantity(value=number):
            return "" if math.isfinite(number) else "not-finite"
        case np.ndarray():
            return "" if value.dtype.kind in "ub" or bool(np.isfinite(value).all()) else "not-finite"
        case float() | int() | np.floating():
            return _off_scale(float(value))
    return ""


def _off_scale(fraction: float) -> str:
    """Scores and confidences are 0–1; a hair beyond is rounding, more is a model that is set up wrongly."""
    if not math.isfinite(fraction):
        return "not-finite"
    return "" if -_TOLERANCE <= fraction <= 1 + _TOLERANCE else "out-of-range"


def summary(kind: Kind, value: Any) -> Any:
    """One output as a small JSON value."""
    match kind, value:
        case Kind.IMAGE, Frame(pixels=pixels):
            return {"size_px": [pixels.shape[1], pixels.shape[0]]}
        case Kind.MASK, Located(value=mask):
            return {"area_px": int(np.count_nonzero(mask))}
        case Kind.HEATMAP, Located(value=heatmap):
            return {"max": _fraction(heatmap.max(initial=0.0))}
        case ((Kind.OBJECTS | Kind.CODES), Located(value=found)):
            return {"count": len(found)}
        case Kind.TRANSFORM, matrix:
            return [[_number(cell) for cell in row] for row in matrix]
        case Kind.VERDICT, Verdict(result=result):
            return str(result)
        case Kind.CLASSES, classes:
            return {"count": len(classes)}
    return _plain(value)


def listed(step: str, kind: Kind, value: Any) -> Mapping[str, list[dict[str, Any]]]:
    """What one output adds to the document's lists: list name → entries, each with its step."""
    if kind not in _LISTS:
        return {}
    many = value.value if isinstance(value, Located) else value if isinstance(value, tuple) else (value,)
    matrix = value.to_original if isinstance(value, Located) else np.eye(3)
    return {_LISTS[kind]: [{"step": step, **_entry(one, matrix)} for one in many]}


def _entry(found: Any, matrix: Matrix) -> dict[str, Any]:
    match found:
        case Detection():
            corners = map_points(outline(found), matrix)
            entry = {"label": found.label, "confidence": _fraction(found.confidence)}
            return {**entry, "box_px": _box(_bounds(found.box_px, matrix)), "polygon_px": _polygon(corners)}
        case Code():
            return {"format": found.format, "text": found.text, "box_px": _box(_bounds(found.box_px, matrix))}
        case ClassScore():
            return {"label": found.label, "confidence": _fraction(found.confidence)}
    plain = _plain(found)
    return plain if isinstance(plain, dict) else {"score": plain}


def _plain(value: Any) -> Any:
    match value:
        case Quantity():
            return {"value": _number(value.value), "unit": value.unit}
        case Text():
            return {"text": value.text, "confidence": _fraction(value.confidence)}
    return _fraction(value)


def _bounds(box_px: Box, matrix: Matrix) -> Points:
    """Corners of the upright box around a mapped one."""
    return map_points(box_corners(box_px), matrix)


def _box(corners: Points) -> list[float]:
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return [_place(left), _place(top), _place(right - left), _place(bottom - top)]


def _polygon(points: Points) -> list[list[float]]:
    return [[_place(x), _place(y)] for x, y in points]


def _place(pixels: float) -> float:
    return round(float(pixels), 3) + 0.0


def _fraction(value: Any) -> float:
    return min(1.0, max(0.0, round(float(value), 6)))


def _number(value: Any) -> float:
    """Nine significant digits: what two runs agree on."""
    return float(f"{float(value):.9g}") + 0.0
