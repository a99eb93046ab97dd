"""What flows between the steps of a pipeline, and what comes out of it.

Rules of this file:
- Plain values only: no I/O, no decisions. Everything is immutable; arrays are never written in place.
- Coordinates are pixels of the frame they came with; `Frame.to_original` leads back to the photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_agent.models import AiResult

Pixels: TypeAlias = NDArray[np.uint8]
"""H×W×3 BGR or H×W gray, uint8."""
Mask: TypeAlias = NDArray[np.uint8]
"""H×W, 0 or 255."""
Heatmap: TypeAlias = NDArray[np.float32]
"""H×W, 0–1."""
Matrix: TypeAlias = NDArray[np.float64]
"""3×3 homography."""
Box: TypeAlias = tuple[float, float, float, float]
"""x, y, width, height in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """An image on its way through the pipeline. `to_original` maps its coordinates to the photograph's."""

    pixels: Pixels
    to_original: Matrix = field(default_factory=lambda: np.eye(3))


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    label: str
    confidence: float
    box_px: Box
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class ClassScore:
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Quantity:
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Code:
    """`format` as zxing-cpp names it (QRCode, MicroQRCode, DataMatrix, Code128, Code39, EAN13, EAN8)."""

    format: str
    text: str
    box_px: Box


@dataclass(frozen=True, slots=True)
class Verdict:
    """`confidence` 0–1 in `result`; `reasons` are kebab-case codes with the facts that led to them."""

    result: AiResult
    confidence: float
    reasons: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model package answers for one image: the fields of its task are set, the others None.

    classify: `classes` (best first) · detect: `objects` (boxes in the pixels of the image given) ·
    segment: `mask` (255 where any defect class) and `objects` (one per instance or connected region) ·
    anomaly: `score` (0–1, 0.5 = the training threshold) and `heatmap` (size of the image given).
    """

    classes: tuple[ClassScore, ...] | None = None
    objects: tuple[Detection, ...] | None = None
    mask: Mask | None = None
    score: float | None = None
    heatmap: Heatmap | None = None


class Model(Protocol):
    """A loaded, verified model package, ready to judge (warm)."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    def predict(self, pixels: Pixels) -> Prediction:
        """Raises InferenceFailed when the network fails or its output is not finite or not of its shape."""
        ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """`um_per_px` micrometres per pixel of the original image; `valid_until` RFC 3339."""

    name: str
    um_per_px: float
    valid_until: str


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run may know besides the image.

    `criteria` is the item's criteria document; `scan` has product_code, lot, serial, text as scanned;
    `calibration` is the one the criteria name, if it exists; `now` RFC 3339 decides whether it has expired.
    """

    criteria: Mapping[str, Any]
    scan: Mapping[str, str]
    calibration: Calibration | None
    now: str


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What a person is shown: `overlay` as the pipeline draws it, `heatmap` in the photograph's pixels."""

    overlay: Pixels | None = None
    heatmap: Heatmap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """The outcome of one pipeline run on one image.

    `detailed_results` is the JSON document stored with the verdict: steps (id, type, ms, summary),
    objects in the original's pixels, measurements, reasons. Same image + same plan gives the same
    document but for the `ms` fields. `processing_time` in seconds. `pictures` draws when called, after the
    verdict: it costs milliseconds and may raise InferenceFailed, which changes nothing about the verdict.
    """

    overall_result: AiResult
    confidence: float
    processing_time: float
    detailed_results: Mapping[str, Any]
    model_sha256s: tuple[str, ...]
    pictures: Callable[[], Pictures] = Pictures
