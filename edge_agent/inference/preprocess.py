"""From a picture to the tensor a network takes, and back from its coordinates to the picture's.

Rules of this file:
- `plan_fit` is pure; `Preprocessor` owns two reused arrays (a canvas for letterboxing and the tensor), so one
  picture at a time: whoever shares a model holds its lock (`runtime.py`).
- The picture given is never written to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.inference.manifest import Input
from edge_agent.inference.values import Pixels

Tensor = NDArray[Any]

INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
}


@dataclass(frozen=True, slots=True)
class Fit:
    """Where the picture lies in the network's input: `net = picture * scale + offset`, all in pixels.

    `given` and `net` are (width, height); `inside` is the (x, y, width, height) the resized picture
    takes, which for center-crop reaches beyond the input.
    """

    given: tuple[int, int]
    net: tuple[int, int]
    inside: tuple[int, int, int, int]

    @property
    def scale(self) -> tuple[float, float]:
        return self.inside[2] / self.given[0], self.inside[3] / self.given[1]

    @property
    def fills(self) -> bool:
        """Whether picture and input cover each other exactly."""
        return self.inside == (0, 0, *self.net)


def plan_fit(resize: str, given: tuple[int, int], net: tuple[int, int]) -> Fit:
    """Places a picture of `given` (width, height) into `net` by stretch, letterbox or center-crop."""
    if resize == "stretch":
        return Fit(given, net, (0, 0, *net))
    pick = min if resize == "letterbox" else max
    ratio = pick(net[0] / given[0], net[1] / given[1])
    width, height = (max(1, round(side * ratio)) for side in given)
    return Fit(given, net, ((net[0] - width) // 2, (net[1] - height) // 2, width, height))


class Preprocessor:
    """`tensor(pixels)` gives the network's input, valid until the next call, and how it was fitted."""

    def __init__(self, spec: Input, flat: bool = False) -> None:
        self._spec = spec
        width, height = spec.size_px
        channels = spec.channels
        self._canvas: Pixels = np.full(
            (height, width) if channels == 1 else (height, width, channels), spec.pad_value, np.uint8
        )
        dtype = np.float32 if spec.dtype == "float32" else np.uint8
        nchw = spec.layout == "NCHW"
        self._tensor: Tensor = np.zeros(
            (1, channels, height, width) if nchw else (1, height, width, channels), dtype
        )
        self._planes = [self._tensor[0, c] if nchw else self._tensor[0, :, :, c] for c in range(channels)]
        self._input = self._tensor.reshape(1, -1) if flat else self._tensor
        mean, std = (np.resize(np.asarray(values, np.float64), channels) for values in (spec.mean, spec.std))
        self._gain = (spec.scale / std).astype(np.float32)
        self._bias = (-mean / std).astype(np.float32)

    def tensor(self, pixels: Pixels) -> tuple[Tensor, Fit]:
        spec = self._spec
        fit = plan_fit(spec.resize, (pixels.shape[1], pixels.shape[0]), spec.size_px)
        placed = _in_colour(self._place(pixels, fit), spec.channels)
        planes = cv2.split(placed) if spec.channels > 1 else (placed,)
        for index, plane in enumerate(reversed(planes) if spec.colour == "RGB" else planes):
            self._fill(index, plane)
        return self._input, fit

    def _place(self, pixels: Pixels, fit: Fit) -> Pixels:
        if fit.given == fit.net:
            return pixels
        x, y, width, height = fit.inside
        how = INTERPOLATION[self._spec.interpolation]
        resized = _u8(cv2.resize(pixels, (width, height), interpolation=how))
        if fit.fills:
            return resized
        if self._spec.resize == "center-crop":
            return resized[-y : fit.net[1] - y, -x : fit.net[0] - x]
        self._canvas[:] = self._spec.pad_value
        self._canvas[y : y + height, x : x + width] = _in_colour(resized, self._spec.channels)
        return self._canvas

    def _fill(self, index: int, plane: Any) -> None:
        target = self._planes[index]
        if self._spec.dtype == "uint8":
            target[:] = plane
            return
        np.multiply(plane, self._gain[index], out=target, casting="unsafe")
        if self._bias[index]:
            np.add(target, self._bias[index], out=target)


def _in_colour(pixels: Pixels, channels: int) -> Pixels:
    """Gray or BGR, as the network wants it."""
    if channels == 1 and pixels.ndim == 3:
        return _u8(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
    if channels == 3 and pixels.ndim == 2:
        return _u8(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    return pixels


def _u8(pixels: Any) -> Pixels:
    return np.asarray(pixels, np.uint8)


def to_given(boxes: NDArray[np.float32], fit: Fit) -> NDArray[np.float32]:
    """Corners [x1,y1,x2,y2] in network pixels, N×4, as corners in the picture's, clipped to it."""
    (scale_x, scale_y), (offset_x, offset_y) = fit.scale, fit.inside[:2]
    offset = np.array([offset_x, offset_y] * 2, np.float32)
    scale = np.array([scale_x, scale_y] * 2, np.float32)
    limit = np.array([*fit.given, *fit.given], np.float32)
    return np.asarray(np.clip((boxes - offset) / scale, 0, limit), np.float32)


def map_to_given(values: Tensor, fit: Fit, interpolation: int) -> Tensor:
    """A map over the network's input (H×W, any resolution) at the picture's size; 0 where none was seen."""
    if fit.fills:
        return cv2.resize(values, fit.given, interpolation=interpolation)
    per_net = values.shape[1] / fit.net[0], values.shape[0] / fit.net[1]
    gain = [fit.scale[axis] * per_net[axis] for axis in (0, 1)]
    shift = [(0.5 * fit.scale[axis] + fit.inside[axis]) * per_net[axis] - 0.5 for axis in (0, 1)]
    matrix = np.array([[gain[0], 0, shift[0]], [0, gain[1], shift[1]]])
    flags = interpolation | cv2.WARP_INVERSE_MAP
    mapped = cv2.warpAffine(values, matrix, fit.given, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(mapped * _seen(fit))


def _seen(fit: Fit) -> Any:
    """1 where the network looked, 0 elsewhere; the scalar 1 when it saw the whole picture."""
    x, y = fit.inside[:2]
    if x >= 0 and y >= 0:
        return np.uint8(1)
    (scale_x, scale_y), (given_w, given_h) = fit.scale, fit.given
    seen = np.zeros((given_h, given_w), np.uint8)
    left, right = round(-x / scale_x), round((fit.net[0] - x) / scale_x)
    top, bottom = round(-y / scale_y), round((fit.net[1] - y) / scale_y)
    seen[max(0, top) : bottom, max(0, left) : right] = 1
    return seen
