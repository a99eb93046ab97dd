"""Golden samples: does this machine reach the results the model's maker recorded?

Rules of this file:
- `compare` is pure; `verify_golden` reads the samples and asks the model.
- Only what the manifest expects is compared: confidences and scores by `tolerance`, boxes by their
  overlap, areas relative to the larger one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_agent.errors import AgentError
from edge_agent.images import decode, probe
from edge_agent.inference.manifest import Expectation, ExpectedObject, Golden
from edge_agent.inference.package import Package
from edge_agent.inference.values import Box, Detection, Model, Prediction

BOX_OVERLAP = 0.9
"""The least intersection over union at which a box counts as the expected one."""
AREA_SLACK_PX = 4.0


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """`differences` are English sentences; none means the sample agrees."""

    image: str
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not self.differences


def verify_golden(model: Model, package: Package) -> list[GoldenResult]:
    """Every golden sample of `package` through `model`; a sample that fails to run is a difference too."""
    return [
        GoldenResult(golden.image, _differences_of(model, package, golden))
        for golden in package.manifest.golden
    ]


def _differences_of(model: Model, package: Package, golden: Golden) -> tuple[str, ...]:
    try:
        data = package.golden_path(golden.image).read_bytes()
        prediction = model.predict(decode(data, probe(data)))
    except (AgentError, OSError) as error:
        return (str(error),)
    return tuple(compare(prediction, golden.expect, golden.tolerance))


def compare(prediction: Prediction, expect: Expectation, tolerance: float) -> list[str]:
    """What differs between a prediction and what was expected of it."""
    found = _compare_class(prediction, expect, tolerance)
    if expect.objects is not None:
        found += _compare_objects(prediction.objects or (), expect.objects, tolerance)
    if expect.area_px is not None:
        found += _compare_areas(prediction.objects or (), expect.area_px, tolerance)
    if expect.score is not None and not _near(prediction.score, expect.score, tolerance):
        found.append(f"score {prediction.score}, expected {expect.score} ± {tolerance}")
    return found


def _compare_class(prediction: Prediction, expect: Expectation, tolerance: float) -> list[str]:
    if expect.label is None:
        return []
    if not prediction.classes:
        return [f"no class, expected {expect.label}"]
    best = prediction.classes[0]
    if best.label != expect.label:
        return [f"class {best.label} ({best.confidence:.3f}), expected {expect.label}"]
    if expect.confidence is not None and not _near(best.confidence, expect.confidence, tolerance):
        return [f"confidence {best.confidence:.4f}, expected {expect.confidence} ± {tolerance}"]
    return []


def _compare_objects(
    objects: tuple[Detection, ...], expected: tuple[ExpectedObject, ...], tolerance: float
) -> list[str]:
    """Each expected object takes the best-overlapping one of its class that is still free."""
    free = list(objects)
    found = []
    for wanted in expected:
        same = [thing for thing in free if thing.label == wanted.label]
        best = max(same, key=lambda thing: overlap(thing.box_px, wanted.box), default=None)
        if best is None or overlap(best.box_px, wanted.box) < BOX_OVERLAP:
            found.append(f"no {wanted.label} at {list(wanted.box)}")
            continue
        free.remove(best)
        if not _near(best.confidence, wanted.confidence, tolerance):
            found.append(
                f"{wanted.label} with {best.confidence:.4f}, expected {wanted.confidence} ± {tolerance}"
            )
    return found + [f"unexpected {thing.label} at {[round(side) for side in thing.box_px]}" for thing in free]


def _compare_areas(objects: tuple[Detection, ...], expected: dict[str, float], tolerance: float) -> list[str]:
    found = []
    for label, wanted in expected.items():
        masks = [thing.mask for thing in objects if thing.label == label and thing.mask is not None]
        area = sum(int(np.count_nonzero(mask)) for mask in masks)
        if abs(area - wanted) > max(AREA_SLACK_PX, tolerance * max(area, wanted)):
            found.append(f"{label} covers {area} px, expected {wanted:g}")
    return found


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    union = a[2] * a[3] + b[2] * b[3] - shared
    return shared / union if union > 0 else 0.0


def _near(value: float | None, wanted: float, tolerance: float) -> bool:
    return value is not None and abs(value - wanted) <= tolerance
