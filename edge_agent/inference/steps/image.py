"""Steps that prepare the picture or say whether it is fit: crop, gray, enhance, quality.

Rules of this file:
- Pictures are uint8, H×W×3 BGR or H×W gray; a new array comes out, the old one is never written to.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edge_agent.inference.steps import parameters as p
from edge_agent.inference.steps.base import Environment, Outputs, failed, to_bgr, to_gray
from edge_agent.inference.values import Frame, Pixels, Quantity

_CHANNELS = {
    "blue": (None, 0),
    "green": (None, 1),
    "red": (None, 2),
    "hue": (cv2.COLOR_BGR2HSV, 0),
    "saturation": (cv2.COLOR_BGR2HSV, 1),
    "lightness": (cv2.COLOR_BGR2Lab, 0),
}


def crop(with_: p.Crop, env: Environment, *, image: Frame) -> Outputs:
    """The rectangle, and the shift that leads back. Fails when it does not lie inside the picture."""
    pixels, (x, y) = cut(image.pixels, with_.rect_px), with_.rect_px[:2]
    shift = np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])
    frame = Frame(pixels, image.to_original @ shift)
    return {"image": frame, "transform": frame.to_original}


def cut(pixels: Pixels, rect_px: tuple[int, int, int, int]) -> Pixels:
    """The part of `pixels` in `rect_px`, contiguous; raises InferenceFailed unless all of it is inside."""
    x, y, width, height = rect_px
    if x + width > pixels.shape[1] or y + height > pixels.shape[0]:
        size = f"{pixels.shape[1]}×{pixels.shape[0]}"
        raise failed(
            "outside-image",
            f"the rectangle {list(rect_px)} does not lie inside the picture of {size} pixels",
            "Check the camera's resolution and the pipeline's rect_px.",
        )
    return np.ascontiguousarray(pixels[y : y + height, x : x + width])


def gray(with_: p.Gray, env: Environment, *, image: Frame) -> Outputs:
    """H×W, one value per pixel."""
    if with_.channel == "luma":
        return {"image": Frame(to_gray(image.pixels), image.to_original)}
    space, index = _CHANNELS[with_.channel]
    pixels = to_bgr(image.pixels)
    converted = pixels if space is None else cv2.cvtColor(pixels, space)
    return {"image": Frame(_u8(np.ascontiguousarray(converted[..., index])), image.to_original)}


def enhance(with_: p.Enhance, env: Environment, *, image: Frame) -> Outputs:
    """Same size and channels."""
    pixels: Any = image.pixels
    if with_.median_px:
        pixels = cv2.medianBlur(pixels, with_.median_px)
    if with_.gamma != 1:
        pixels = cv2.LUT(pixels, _gamma_table(with_.gamma))
    if with_.clahe_clip:
        pixels = _local_contrast(pixels, with_.clahe_clip, with_.clahe_tiles)
    if with_.sharpen:
        blurred = cv2.GaussianBlur(pixels, (0, 0), 2.0)
        pixels = cv2.addWeighted(pixels, 1 + with_.sharpen, blurred, -with_.sharpen, 0)
    return {"image": Frame(_u8(pixels), image.to_original)}


def _gamma_table(gamma: float) -> Pixels:
    return _u8(np.rint(255 * (np.arange(256) / 255) ** gamma))


def _local_contrast(pixels: Pixels, clip: float, tiles: int) -> Any:
    equalizer = cv2.createCLAHE(clip, (tiles, tiles))
    if pixels.ndim == 2:
        return equalizer.apply(pixels)
    lab = cv2.cvtColor(pixels, cv2.COLOR_BGR2Lab)
    lightness, a, b = cv2.split(lab)
    return cv2.cvtColor(cv2.merge([equalizer.apply(lightness), a, b]), cv2.COLOR_Lab2BGR)


def quality(with_: p.Quality, env: Environment, *, image: Frame) -> Outputs:
    """`quality` 1 when every limit is kept, else the worst value relative to its limit (0–1)."""
    pixels = to_gray(image.pixels)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(pixels, cv2.CV_16S))
    sharpness = float(np.ravel(deviation)[0]) ** 2
    histogram = np.ravel(cv2.calcHist([pixels], [0], None, [256], [0, 256])) / pixels.size
    brightness = float(histogram @ np.arange(256))
    clipped = float(histogram[:3].sum() + histogram[253:].sum())
    low, high = with_.brightness
    parts = (
        sharpness / with_.min_sharpness if with_.min_sharpness else 1.0,
        brightness / low if low else 1.0,
        (255 - brightness) / (255 - high) if high < 255 else 1.0,
        (1 - clipped) / (1 - with_.max_clipped) if with_.max_clipped < 1 else 1.0,
    )
    return {
        "quality": max(0.0, min(1.0, *parts)),
        "sharpness": Quantity(sharpness, "gray2"),
        "brightness": Quantity(brightness, "gray"),
        "clipped": Quantity(clipped, "ratio"),
    }


def _u8(array: Any) -> Pixels:
    return np.asarray(array, dtype=np.uint8)
