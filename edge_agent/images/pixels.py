"""From the bytes of a picture to upright 8-bit BGR pixels.

Rules of this file:
- OpenCV decodes, Pillow only what OpenCV gets wrong (CMYK); both are imported when first needed.
- Rotation is ours, from the probed orientation; only a TIFF comes upright from both decoders.
- Same bytes, same pixels: no colour management, 16-bit is divided by 257 and rounded, and transparency
  is laid on white.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edge_agent.errors import BadImage
from edge_agent.images.headers import ImageInfo, probe
from edge_agent.images.wholeness import check_complete

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


def decode(data: bytes, info: ImageInfo) -> Pixels:
    """The picture as H×W×3 uint8 BGR, upright; `info` is what `probe` said of the same bytes.

    Raises BadImage: `truncated`, `damaged` (see check_complete), `undecodable`.
    """
    check_complete(data, info)
    pixels = _from_pillow(data, info) if info.is_cmyk else _from_opencv(data, info)
    upright = pixels if info.mime_type == "image/tiff" else _turn(pixels, info.orientation)
    if upright.shape != (info.height_px, info.width_px, 3):
        raise _undecodable("its pixels are not of the size its header claims")
    return upright


def verify_whole(data: bytes) -> ImageInfo:
    """Probes, checks completeness and decodes with Pillow alone; for when no worker is at hand.

    Raises BadImage as `probe` and `decode` do.
    """
    info = probe(data)
    check_complete(data, info)
    _pillow(data, info)
    return info


def _from_opencv(data: bytes, info: ImageInfo) -> Pixels:
    import cv2
    import numpy as np

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if info.has_alpha:
        flags = cv2.IMREAD_UNCHANGED
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _undecodable(str(error.err or "decoder error")) from error
    if decoded is None:
        raise _undecodable("the decoder refused it")
    if decoded.dtype == np.uint16:
        decoded = cv2.convertScaleAbs(decoded, alpha=1 / 257)
    if decoded.dtype != np.uint8:
        raise _undecodable(f"its pixels are {decoded.dtype}, not 8 or 16 bit whole numbers")
    return _to_bgr(decoded)


def _to_bgr(decoded: NDArray[Any]) -> Pixels:
    import cv2
    import numpy as np

    if decoded.ndim == 2:
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_GRAY2BGR), np.uint8)
    if decoded.shape[2] == 4:
        alpha = decoded[:, :, 3:].astype(np.uint16)
        colour = decoded[:, :, :3].astype(np.uint16)
        return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.asarray(decoded, np.uint8)


def _from_pillow(data: bytes, info: ImageInfo) -> Pixels:
    import numpy as np

    rgb = np.asarray(_pillow(data, info).convert("RGB"), np.uint8)
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _pillow(data: bytes, info: ImageInfo) -> Any:
    """The decoded Pillow image. The format's own class is used: Image.open would warn of big pictures."""
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

    openers: Mapping[str, Callable[[io.BytesIO], Any]] = {
        "image/jpeg": JpegImagePlugin.JpegImageFile,
        "image/png": PngImagePlugin.PngImageFile,
        "image/tiff": TiffImagePlugin.TiffImageFile,
        "image/bmp": BmpImagePlugin.BmpImageFile,
    }
    try:
        image = openers[info.mime_type](io.BytesIO(data))
        image.load()
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        raise _undecodable(str(error) or type(error).__name__) from error
    return image


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    import numpy as np

    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _undecodable(why: str) -> BadImage:
    return BadImage(f"The picture cannot be decoded: {why}.", code="undecodable")
