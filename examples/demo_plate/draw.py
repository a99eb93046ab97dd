"""Draws photographs of machined plates, good and bad, that look enough alike to be inspected.

Rules of this file:
- Every picture is a function of a `Plate` and a `numpy.random.Generator`: same two, same pixels.
- Plate coordinates are pixels of the 640×480 drawing, 100 µm each; a pose (a few pixels, under a
  degree), lighting and sensor noise are added afterwards, as a camera would.
- Shapes are antialiased by their exact distance, so a hole has its diameter to a hundredth of a pixel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Layer = NDArray[np.float32]

WIDTH_PX, HEIGHT_PX = 640, 480
UM_PER_PX = 100.0
PRODUCT_CODE = "DEMO-PLATE"
CLASSES = ("OK", "scratch", "dent", "stain", "missing_hole")

PLATE_BOX = (20, 20, 600, 440)
CORNER_HOLES = ((62, 62), (578, 62), (62, 418), (578, 418))
CORNER_RADIUS_PX = 17.0
HOLE_CENTRE = (200, 240)
HOLE_MM = 12.0
QR_BOX = (376, 86, 128, 128)
LOT_BOX = (326, 310, 228, 60)
LED_CENTRE, LED_RADIUS_PX = (560, 240), 9.0
BENCH_BGR = (38.0, 34.0, 32.0)


@dataclass(frozen=True, slots=True)
class Plate:
    """What is true of one plate. `printed_lot` None prints `lot`; `hole_mm` is the measured diameter."""

    serial: str
    lot: str
    defect: str = "OK"
    hole_mm: float = HOLE_MM
    printed_lot: str | None = None
    led_on: bool = True


def code_text(plate: Plate) -> str:
    """The payload of the plate's QR label."""
    payload = {"product_code": PRODUCT_CODE, "lot": plate.lot, "serial": plate.serial}
    return json.dumps(payload, separators=(",", ":"))


def random_plate(rng: np.random.Generator, defect: str) -> Plate:
    """A plate like those of the line: any serial and lot, a hole near its nominal diameter."""
    lot = f"L26{rng.integers(1, 13):02}{rng.choice(list('ACEFHJKMNPRT'))}{rng.integers(1, 100):02}"
    return Plate(f"P{rng.integers(10_000):04}", lot, defect, HOLE_MM + float(rng.normal(0, 0.08)))


def photograph(plate: Plate, rng: np.random.Generator, size_px: tuple[int, int] = (640, 480)) -> Pixels:
    """One photograph of `plate`, BGR uint8, `size_px` = (width, height)."""
    drawing = _drawing(plate, rng)
    posed = cv2.warpAffine(
        drawing, _pose(rng, size_px), size_px, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT,
        borderValue=BENCH_BGR,
    )  # fmt: skip
    lit = np.asarray(posed, np.float32) * _light(rng, size_px)
    lit += 1.2 * rng.standard_normal((*posed.shape[:2], 1), np.float32)
    return np.asarray(np.clip(np.rint(lit), 0, 255), np.uint8)


def plate_5mp(seed: int) -> bytes:
    """A 2592×1944 JPEG of a good plate, as an industrial camera would hand it over."""
    rng = np.random.default_rng(seed)
    return jpeg(photograph(random_plate(rng, "OK"), rng, (2592, 1944)))


def jpeg(pixels: Pixels, quality: int = 88) -> bytes:
    """`pixels` as JPEG bytes."""
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return bytes(encoded.tobytes())


def _drawing(plate: Plate, rng: np.random.Generator) -> Layer:
    image = np.empty((HEIGHT_PX, WIDTH_PX, 3), np.float32)
    image[:] = BENCH_BGR
    x, y, width, height = PLATE_BOX
    image[y : y + height, x : x + width] = _brushed(rng, width, height)
    if plate.defect in DEFECTS:
        image += _visible_defect(plate.defect, rng)
    missing = int(rng.integers(4)) if plate.defect == "missing_hole" else None
    for index, centre in enumerate(CORNER_HOLES):
        if index != missing:
            _disc(image, centre, CORNER_RADIUS_PX, BENCH_BGR)
    _disc(image, HOLE_CENTRE, plate.hole_mm * 1000 / UM_PER_PX / 2, BENCH_BGR)
    _disc(image, LED_CENTRE, LED_RADIUS_PX + 3, (60.0, 60.0, 60.0))
    _disc(image, LED_CENTRE, LED_RADIUS_PX, (110.0, 240.0, 120.0) if plate.led_on else (50.0, 80.0, 50.0))
    _paste(image, QR_BOX, _qr_label(plate))
    _paste(image, LOT_BOX, _lot_label(plate.lot if plate.printed_lot is None else plate.printed_lot))
    return image


def _pose(rng: np.random.Generator, size_px: tuple[int, int]) -> NDArray[np.float64]:
    scale = size_px[0] / WIDTH_PX
    middle, angle = (WIDTH_PX / 2, HEIGHT_PX / 2), float(rng.uniform(-0.7, 0.7))
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, angle, 1.0), np.float64)
    matrix[:, 2] += rng.uniform(-4, 4, 2)
    return matrix * scale


def _light(rng: np.random.Generator, size_px: tuple[int, int]) -> Layer:
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, size_px[0], dtype=np.float32)
    y = np.linspace(-1, 1, size_px[1], dtype=np.float32)[:, None]
    slope = np.float32(rng.uniform(0, 0.1))
    gain = np.float32(rng.uniform(0.9, 1.08))
    plane = gain * (1 + slope * (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y))
    return plane[..., None] * rng.uniform(0.98, 1.02, 3).astype(np.float32)


def _brushed(rng: np.random.Generator, width: int, height: int) -> Layer:
    noise = rng.standard_normal((height, width), np.float32)
    streaks = np.asarray(cv2.blur(noise, (81, 1)), np.float32)
    streaks *= 4.0 / streaks.std()
    return streaks[..., None] + np.asarray((172, 168, 164), np.float32)


def _disc(image: Layer, centre: tuple[float, float], radius: float, colour: tuple[float, ...]) -> None:
    """Fills a disc in place; a pixel is covered by its distance from the rim, clipped to 0–1."""
    x, y = centre
    reach = int(radius) + 3
    area = image[int(y) - reach : int(y) + reach + 1, int(x) - reach : int(x) + reach + 1]
    rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    cover = np.clip(radius - np.hypot(rows, columns) + 0.5, 0, 1).astype(np.float32)[..., None]
    area += cover * (np.asarray(colour, np.float32) - area)


def _paste(image: Layer, box: tuple[int, int, int, int], label: Pixels) -> None:
    x, y, width, height = box
    image[y : y + height, x : x + width] = np.minimum(label, 235)[..., None].astype(np.float32)


def _qr_label(plate: Plate) -> Pixels:
    code = zxingcpp.create_barcode(code_text(plate), zxingcpp.BarcodeFormat.QRCode)
    modules = np.array(zxingcpp.write_barcode_to_image(code, scale=3, add_quiet_zones=True))
    label = np.full((QR_BOX[3], QR_BOX[2]), 255, np.uint8)
    top, left = (label.shape[0] - modules.shape[0]) // 2, (label.shape[1] - modules.shape[1]) // 2
    label[top : top + modules.shape[0], left : left + modules.shape[1]] = modules
    return np.maximum(label, 25)


def _lot_label(text: str) -> Pixels:
    label = np.full((LOT_BOX[3], LOT_BOX[2], 3), 255, np.uint8)
    cv2.putText(label, text, (10, 43), (25, 25, 25), cv2.FontFace("sans"), 38, 500)
    return np.asarray(label[..., 0])


def _scratch(rng: np.random.Generator) -> Layer:
    start, angle = _somewhere(rng), rng.uniform(0, np.pi)
    steps = np.linspace(0, rng.uniform(70, 180), 12)
    turn = angle + rng.uniform(-0.4, 0.4) * np.linspace(0, 1, 12)
    points = start + np.stack([np.cos(turn), np.sin(turn)], 1) * steps[:, None]
    line = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    fixed = np.rint(points * 16).astype(np.int32)
    cv2.polylines(line, [fixed], False, 255, int(rng.integers(2, 4)), cv2.LINE_AA, 4)
    depth = rng.uniform(55, 95) * rng.choice((-1, 1))
    return np.repeat((line.astype(np.float32) / 255 * np.float32(depth))[..., None], 3, 2)


def _dent(rng: np.random.Generator) -> Layer:
    """A hollow lit from one side: bright on the far slope, dark on the near one."""
    x, y, sigma = *_somewhere(rng), rng.uniform(10, 18)
    rows, columns = np.ogrid[:HEIGHT_PX, :WIDTH_PX]
    dx, dy = (columns - x) / sigma, (rows - y) / sigma
    slope = (dx + dy) * np.exp(0.5 - (dx**2 + dy**2) / 2) / np.sqrt(2)
    return np.repeat((slope * rng.uniform(45, 75)).astype(np.float32)[..., None], 3, 2)


def _stain(rng: np.random.Generator) -> Layer:
    centre = _somewhere(rng)
    blob = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    for x, y in centre + rng.normal(0, 14, (7, 2)):
        cv2.circle(blob, (int(x), int(y)), int(rng.integers(8, 20)), 255, -1)
    soft = cv2.GaussianBlur(blob, (0, 0), 4.0).astype(np.float32) / 255
    tint = np.asarray((-75, -55, -35), np.float32) * np.float32(rng.uniform(0.7, 1.1))
    return soft[..., None] * tint


DEFECTS = {"scratch": _scratch, "dent": _dent, "stain": _stain}


def _somewhere(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform((40, 40), (WIDTH_PX - 40, HEIGHT_PX - 40))


def _visible_defect(kind: str, rng: np.random.Generator) -> Layer:
    """A defect at least 85 % of which lies on bare metal, not under a label or in a hole."""
    free = _bare_metal()
    while True:
        layer = DEFECTS[kind](rng)
        strength = np.abs(layer).sum(2)
        if (strength * free).sum() >= 0.85 * strength.sum():
            return layer * (free > 0)[..., None]


def _bare_metal() -> Layer:
    free = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    x, y, width, height = PLATE_BOX
    free[y : y + height, x : x + width] = 1
    for x, y, width, height in (QR_BOX, LOT_BOX):
        free[y : y + height, x : x + width] = 0
    discs = [(centre, CORNER_RADIUS_PX) for centre in CORNER_HOLES]
    for centre, radius in [*discs, (HOLE_CENTRE, 63.0), (LED_CENTRE, LED_RADIUS_PX + 3)]:
        cv2.circle(free, centre, int(radius), 0.0, -1)
    return free
