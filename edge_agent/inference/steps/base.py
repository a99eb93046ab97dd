"""What every step's implementation works with.

Rules of this file:
- A step is `step(parameters, env, **inputs) -> outputs`, both by the names in the catalogue.
- Pictures travel as `Frame`, what was found in one as `Located`; both know the way to the photograph.
- A step that cannot do its work raises InferenceFailed; it never invents a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import InferenceFailed
from edge_agent.inference.criteria import ReadCriteria
from edge_agent.inference.plan import ModelKey
from edge_agent.inference.values import Frame, Matrix, Model, Pixels, Quantity, RunContext, Text

T = TypeVar("T")
Points: TypeAlias = NDArray[np.float64]
"""N×2, x and y in pixels (integers are pixel centres)."""
Gray: TypeAlias = NDArray[np.uint8]


class TextReader(Protocol):
    """Reads text in a BGR picture: one line, or (`find_lines`) all lines from top to bottom."""

    def __call__(self, pixels: Pixels, find_lines: bool) -> tuple[Text, ...]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Located(Generic[T]):
    """Objects, codes, mask or heatmap of a frame; `to_original` maps its coordinates to the photograph's."""

    value: T
    to_original: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Environment:
    """What a run lends its steps: `assets` gives the pixels of a template by its sha256 (hex)."""

    context: RunContext
    criteria: ReadCriteria
    models: Mapping[ModelKey, Model]
    assets: Callable[[str], Pixels]
    text_reader: Callable[[], TextReader]


Outputs: TypeAlias = Mapping[str, Any]
Implementation: TypeAlias = Callable[..., Outputs]


def failed(code: str, detail: str, hint: str) -> InferenceFailed:
    """The error of a step that cannot do its work on this picture."""
    return InferenceFailed(detail, code=code, hint=hint)


def asset(env: Environment, reference: str) -> Pixels:
    """The pixels of a `sha256:…` parameter."""
    return env.assets(reference.removeprefix("sha256:"))


def to_gray(pixels: Pixels) -> Gray:
    """H×W luma of a BGR picture; a gray one as it is."""
    return pixels if pixels.ndim == 2 else _u8(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))


def to_bgr(pixels: Pixels) -> Pixels:
    """H×W×3 of either kind of picture."""
    return _u8(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)) if pixels.ndim == 2 else pixels


def _u8(array: Any) -> NDArray[np.uint8]:
    return np.asarray(array, dtype=np.uint8)


def map_points(points: Points, matrix: Matrix) -> Points:
    """N×2 points through a 3×3 homography."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:], dtype=np.float64)


def box_corners(box_px: tuple[float, float, float, float]) -> Points:
    x, y, width, height = box_px
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], dtype=np.float64)


def area_scale(matrix: Matrix, at: tuple[float, float]) -> float:
    """How much larger an area is after the homography, around the point `at` (x, y)."""
    x, y = at
    w = float(matrix[2] @ (x, y, 1.0))
    return abs(float(np.linalg.det(matrix))) / abs(w) ** 3


def warp(frame: Frame, from_output: Matrix, size_px: tuple[int, int]) -> Frame:
    """The frame seen in other coordinates: `from_output` maps the new pixels into the frame's."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpPerspective(
        frame.pixels, from_output, size_px, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return Frame(_u8(pixels), frame.to_original @ from_output)


def in_unit(pixels: float, unit: str, context: RunContext) -> Quantity:
    """A length (`px`, `mm`) or area (`px2`, `mm2`) in the unit asked for.

    Millimetres need a calibration; without one the value stays in pixels and the judge will say so.
    """
    power = 2 if unit.endswith("2") else 1
    if unit.startswith("px") or context.calibration is None:
        return Quantity(pixels, "px2" if power == 2 else "px")
    return Quantity(pixels * (context.calibration.um_per_px / 1000) ** power, unit)
