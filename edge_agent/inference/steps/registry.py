"""Which function runs which step type.

Rules of this file:
- One line per type of the catalogue; a test compares both, names and inputs.
- Imports OpenCV and the code reader: only the process that runs pipelines loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge_agent.inference.steps import align, compare, drawing, image, judging, measure, model, reading
from edge_agent.inference.steps.base import Implementation

IMPLEMENTATIONS: Mapping[str, Implementation] = MappingProxyType(
    {
        "image.crop": image.crop,
        "image.gray": image.gray,
        "image.enhance": image.enhance,
        "image.quality": image.quality,
        "align.template": align.template,
        "align.markers": align.markers,
        "align.perspective": align.perspective,
        "model.classify": model.classify,
        "model.detect": model.detect,
        "model.segment": model.segment,
        "model.anomaly": model.anomaly,
        "code.read": reading.codes,
        "text.read": reading.text,
        "measure.distance": measure.distance,
        "measure.area": measure.area,
        "measure.color": measure.color,
        "diff.template": compare.difference,
        "judge": judging.verdict,
        "draw.overlay": drawing.overlay,
    }
)
