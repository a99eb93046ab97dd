"""The pictures made after a verdict: thumbnail, overlay, heatmap, as JPEG files.

Rules of this file:
- A file appears whole or not at all (temporary name, then rename); it is not fsynced, for it can be
  made again from the original.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_agent.errors import InferenceFailed
from edge_agent.inference.steps.drawing import heatmap_colours
from edge_agent.inference.values import Heatmap, Pixels

THUMBNAIL_PX = 320
THUMBNAIL_QUALITY = 80
PICTURE_QUALITY = 90


def write_pictures(
    prefix: Path, pixels: Pixels, overlay: Pixels | None = None, heatmap: Heatmap | None = None
) -> tuple[str, ...]:
    """Writes `<prefix>.thumbnail.jpg` and what else is given; the paths. Raises OSError, InferenceFailed."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    return tuple(_picture_files(prefix, pixels, overlay, heatmap))


def _picture_files(
    prefix: Path, pixels: Pixels, overlay: Pixels | None, heatmap: Heatmap | None
) -> Iterator[str]:
    yield _write(prefix, "thumbnail", thumbnail(pixels), THUMBNAIL_QUALITY)
    if overlay is not None:
        yield _write(prefix, "overlay", overlay, PICTURE_QUALITY)
    if heatmap is not None:
        yield _write(prefix, "heatmap", heatmap_colours(heatmap), PICTURE_QUALITY)


def thumbnail(pixels: Pixels) -> Pixels:
    """The picture within 320 × 320 pixels; a smaller one as it is."""
    height, width = pixels.shape[:2]
    ratio = THUMBNAIL_PX / max(height, width)
    if ratio >= 1:
        return pixels
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _write(prefix: Path, kind: str, pixels: Pixels, quality: int) -> str:
    encoded: Any
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise InferenceFailed(f"the {kind} cannot be written as JPEG", code="rendering-failed")
    path = prefix.with_name(f"{prefix.name}.{kind}.jpg")
    temporary = prefix.with_name(f".{prefix.name}.{kind}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(encoded.tobytes())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # what a full disk took only half of
    return str(path)
