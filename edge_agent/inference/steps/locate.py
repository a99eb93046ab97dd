"""Where a template lies in a picture: a coarse search, a fine one, and a correlation to trust it by.

Rules of this file:
- Answers are 3×3 matrices from the template's pixels to the picture's, with a correlation of 0–1.
- Deterministic: no random sampling; the search works on pictures reduced to `SEARCH_PX`.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from edge_agent.inference.steps.base import Gray, failed
from edge_agent.inference.values import Matrix

SEARCH_PX = 256
REFINE_PX = 512
PATCH_PX = 384
_MOTIONS = {"euclidean": cv2.MOTION_EUCLIDEAN, "affine": cv2.MOTION_AFFINE}
_HINT = (
    "Check that the part lies as in the template and that the light is the same, then take the picture again."
)


def locate(image: Gray, template: Gray, motion: str, search_px: int) -> tuple[Matrix, float]:
    """The map template → picture and its correlation (0–1). Raises InferenceFailed when there is none.

    `search_px`: how far the template may reach beyond the picture's border.
    """
    if float(template.std()) < 1:
        raise failed(
            "blank-template", "the template shows nothing to align by", "Give a template with structure."
        )
    border = search_px
    padded: Any = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    if padded.shape[0] < template.shape[0] or padded.shape[1] < template.shape[1]:
        raise failed("template-too-large", "the template is larger than the picture and search_px", _HINT)
    x, y = _translation(padded, template)
    matrix = np.array([[1.0, 0, x - search_px], [0, 1, y - search_px], [0, 0, 1]])
    if motion != "translation":
        matrix = _refined(image, template, matrix, _MOTIONS[motion])
    return matrix, _correlation(image, template, matrix)


def _translation(image: Gray, template: Gray) -> tuple[float, float]:
    """Shift of the best match, to a fraction of a pixel."""
    scale = min(1.0, SEARCH_PX / max(template.shape))
    if scale == 1.0:
        return _peak(_match(image, template))
    x, y = _peak(_match(_reduced(image, scale), _reduced(template, scale)))
    x, y = round(x / scale), round(y / scale)
    left, top = _richest_patch(template)
    patch = template[top : top + PATCH_PX, left : left + PATCH_PX]
    reach = math.ceil(2 / scale)
    x0, y0 = max(0, x + left - reach), max(0, y + top - reach)
    x1, y1 = x + left + patch.shape[1] + reach, y + top + patch.shape[0] + reach
    dx, dy = _peak(_match(image[y0:y1, x0:x1], patch))
    return x0 + dx - left, y0 + dy - top


def _richest_patch(template: Gray) -> tuple[int, int]:
    """x, y of the part (`PATCH_PX` square) with most contrast, out of nine: enough to fix the last pixels."""
    height, width = template.shape
    ys = [max(0, (height - PATCH_PX) * part // 2) for part in range(3)]
    xs = [max(0, (width - PATCH_PX) * part // 2) for part in range(3)]
    places = [(x, y) for y in ys for x in xs]
    return max(
        places, key=lambda at: float(template[at[1] :: 4, at[0] :: 4][: PATCH_PX // 4, : PATCH_PX // 4].std())
    )


def _match(image: Gray, template: Gray) -> Any:
    return np.nan_to_num(cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED), posinf=0, neginf=0)


def _peak(surface: Any) -> tuple[float, float]:
    """x, y of the greatest value, refined by parabolas through its neighbours."""
    y, x = np.unravel_index(int(np.argmax(surface)), surface.shape)
    return x + vertex(surface[y, :], int(x)), y + vertex(surface[:, x], int(y))


def vertex(values: Any, index: int) -> float:
    """Offset (-0.5–0.5) of the extremum of the parabola through `values` at `index` and its neighbours."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, here, after = (float(values[index + offset]) for offset in (-1, 0, 1))
    curvature = before - 2 * here + after
    return float(np.clip((before - after) / (2 * curvature), -0.5, 0.5)) if curvature else 0.0


def _reduced(image: Gray, scale: float) -> Gray:
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _refined(image: Gray, template: Gray, start: Matrix, motion: int) -> Matrix:
    """The map that maximises the correlation (ECC) near `start`."""
    scale = min(1.0, REFINE_PX / max(template.shape))
    down = _scaling(scale)
    first = (down @ start @ np.linalg.inv(down))[:2].astype(np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-6)
    everywhere = np.full(_reduced(image, scale).shape, 255, np.uint8)
    try:
        _, found = cv2.findTransformECC(
            _reduced(template, scale), _reduced(image, scale), first, motion, stop, everywhere, 5
        )
    except cv2.error:
        raise failed("not-aligned", "the picture does not converge to the template", _HINT) from None
    return np.linalg.inv(down) @ np.vstack([found, [0, 0, 1]]).astype(np.float64) @ down


def _scaling(scale: float) -> Matrix:
    """Pixel centres: the middle of the first reduced pixel is not the middle of the first full one."""
    shift = (scale - 1) / 2
    return np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1]])


def _correlation(image: Gray, template: Gray, matrix: Matrix) -> float:
    scale = min(1.0, REFINE_PX / max(template.shape))
    down = _scaling(scale)
    small = _reduced(template, scale)
    inverse = down @ matrix @ np.linalg.inv(down)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (small.shape[1], small.shape[0])
    seen: Any = cv2.warpPerspective(
        _reduced(image, scale), inverse, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return max(0.0, min(1.0, float(_match(seen, small)[0, 0])))
