"""Reads QR codes, DataMatrix and barcodes out of a picture.

Rules of this file:
- zxing-cpp reads; OpenCV is asked for a QR code only when zxing-cpp found nothing.
- No code in the picture is an answer (an empty tuple), not an error.
- A UPC is the EAN-13 it is part of: 13 digits, and UPC-A answers as EAN13 when both are asked for.
- Text comes out as the scanner gun would send it: GS1 separators stay the GS character.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from edge_agent.errors import BadInput
from edge_agent.images import decode, probe

if TYPE_CHECKING:
    from edge_agent.inference.values import Box, Code, Pixels

FORMATS = ("QRCode", "MicroQRCode", "DataMatrix", "Code128", "Code39", "EAN13", "EAN8", "UPCA", "UPCE")


def read_codes(picture: Pixels | bytes, formats: Sequence[str] = FORMATS) -> tuple[Code, ...]:
    """Every code of the given formats, top to bottom, then left to right.

    `picture` is H×W×3 BGR or H×W gray uint8, or an image file's bytes. Boxes are pixels of the upright
    picture. Raises BadInput for a format not in FORMATS, BadImage for bytes that are no picture.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise BadInput(
            f"Unknown code formats: {', '.join(unknown)}.",
            code="unknown-code-format",
            hint=f"Use any of: {', '.join(FORMATS)}.",
        )
    pixels = decode(picture, probe(picture)) if isinstance(picture, bytes) else picture
    return find_codes(pixels, formats, try_harder=True)


def find_codes(pixels: Pixels, formats: Sequence[str], *, try_harder: bool) -> tuple[Code, ...]:
    """As `read_codes`, for formats the caller has checked (any that zxing-cpp names).

    `try_harder` also looks for rotated, inverted and reduced codes, and lets OpenCV try.
    """
    found = tuple(_with_zxing(pixels, formats, try_harder))
    if not found and try_harder and "QRCode" in formats:
        found = tuple(_with_opencv(pixels))
    return tuple(sorted(found, key=lambda code: (code.box_px[1], code.box_px[0], code.format)))


def _with_zxing(pixels: Pixels, formats: Sequence[str], hard: bool) -> Iterable[Code]:
    import zxingcpp

    from edge_agent.inference.values import Code

    wanted = zxingcpp.barcode_formats_from_str("|".join(formats))
    read = zxingcpp.read_barcodes(
        pixels,
        formats=wanted,
        text_mode=zxingcpp.TextMode.Plain,
        try_rotate=hard,
        try_downscale=hard,
        try_invert=hard,
    )
    for barcode in read:
        place = barcode.position
        corners = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
        yield Code(_name(barcode.format.name), barcode.text, _box((at.x, at.y) for at in corners))


def _with_opencv(pixels: Pixels) -> Iterable[Code]:
    import cv2

    from edge_agent.inference.values import Code

    try:
        _, texts, corners, _ = cv2.QRCodeDetector().detectAndDecodeMulti(pixels)
    except (cv2.error, UnicodeDecodeError):  # it trips over some finder-like patterns and non-UTF-8 text
        return
    for text, quadrangle in zip(texts, () if corners is None else corners, strict=False):
        if text:
            yield Code("QRCode", text, _box(quadrangle))


def _name(zxing_name: str) -> str:
    """zxing-cpp 3 names variants (QRCodeModel2, Code39Ext); we promise the family."""
    return next((family for family in FORMATS if zxing_name.startswith(family)), zxing_name)


def _box(corners: Iterable[Any]) -> Box:
    points = [(float(x), float(y)) for x, y in corners]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    return left, top, max(x for x, _ in points) - left, max(y for _, y in points) - top
