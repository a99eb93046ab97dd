"""The colour difference CIEDE2000.

Rules of this file:
- Pure arithmetic on CIE L*, a*, b*; checked against the published test data in the tests.
"""

from __future__ import annotations

import math
from typing import TypeAlias

Lab: TypeAlias = tuple[float, float, float]


def delta_e_2000(first: Lab, second: Lab) -> float:
    """ΔE00 between two colours, all weights 1 (ISO/CIE 11664-6)."""
    chroma = (math.hypot(*first[1:]) + math.hypot(*second[1:])) / 2
    gain = 1 + 0.5 * (1 - math.sqrt(chroma**7 / (chroma**7 + 25**7)))
    chroma_1, hue_1 = _polar(first[1] * gain, first[2])
    chroma_2, hue_2 = _polar(second[1] * gain, second[2])
    lightness, chroma = (first[0] + second[0]) / 2, (chroma_1 + chroma_2) / 2
    turn = _turn(hue_1, hue_2) if chroma_1 * chroma_2 else 0.0
    hue = hue_1 + turn / 2 if chroma_1 * chroma_2 else hue_1 + hue_2
    part_l = (second[0] - first[0]) / _weight_l(lightness)
    part_c = (chroma_2 - chroma_1) / (1 + 0.045 * chroma)
    part_h = 2 * math.sqrt(chroma_1 * chroma_2) * _sin(turn / 2) / (1 + 0.015 * chroma * _hue_factor(hue))
    rotated = part_c * part_h * _rotation(chroma, hue)
    return math.sqrt(max(0.0, part_l**2 + part_c**2 + part_h**2 + rotated))


def _polar(a: float, b: float) -> tuple[float, float]:
    """Chroma, and hue in degrees 0–360."""
    return math.hypot(a, b), math.degrees(math.atan2(b, a)) % 360


def _turn(start: float, end: float) -> float:
    """The shorter way from one hue to another, degrees -180–180."""
    turn = end - start
    return turn - 360 if turn > 180 else turn + 360 if turn < -180 else turn


def _weight_l(lightness: float) -> float:
    off = (lightness - 50) ** 2
    return 1 + 0.015 * off / math.sqrt(20 + off)


def _hue_factor(hue: float) -> float:
    return (
        1
        - 0.17 * _cos(hue - 30)
        + 0.24 * _cos(2 * hue)
        + 0.32 * _cos(3 * hue + 6)
        - 0.20 * _cos(4 * hue - 63)
    )


def _rotation(chroma: float, hue: float) -> float:
    angle = 30 * math.exp(-((((hue % 360) - 275) / 25) ** 2))
    return -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7)) * _sin(2 * angle)


def _sin(degrees: float) -> float:
    return math.sin(math.radians(degrees))


def _cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))
