"""A 5-megapixel JPEG: decoded once for inference, overlay and thumbnail.

Measured: as `latency`.
Goal: at most 1.2 times the floor.
Limit: the floor, which decodes once, too.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import FACTORY_SIZED, draw_pictures
from benchmarks.latency import measure


def run(work: Path) -> None:
    pictures = draw_pictures(work / "pictures", 12, 2592, 1944)
    measure(work / "agent", pictures, FACTORY_SIZED, "<= 1.2 x", name="5-megapixel frame")
