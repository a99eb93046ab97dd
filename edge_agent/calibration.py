"""Micrometres per pixel from one picture of a printed board.

Rules of this file:
- Pure: pixels and the board's measures in, a number with its doubts out; whether to trust it is asked of
  a person, so everything that speaks against it is a warning.
- Scale is taken where the board lies: a measurement is right only in that plane and at that distance.
- Boards are described by their squares as printed: `columns` × `rows` squares of `square_mm`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_agent.errors import BadInput
from edge_agent.models import Finding, Severity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Points = NDArray[np.float64]
    Pixels = NDArray[np.uint8]

DICTIONARY_SIZES = {"4X4_50": 50, "4X4_100": 100, "4X4_250": 250, "5X5_100": 100, "6X6_250": 250}
MIN_POINTS = 8
MAX_TILT_PERCENT = 1.0
MAX_ANISOTROPY_PERCENT = 0.5
MAX_RESIDUAL_PX = 0.5
MIN_COVER_PERCENT = 10.0


class BoardSpec(BaseModel):
    """A printed board. `kind`: `checkerboard`, `charuco` (checkerboard with markers in the white squares) or
    `aruco` (a grid of markers, one per square). `columns`, `rows` count squares; `square_mm` is a square's
    side as measured on the print; `marker_mm` a marker's side (charuco, aruco); `dictionary` the markers'."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["checkerboard", "aruco", "charuco"] = "checkerboard"
    columns: Annotated[int, Field(ge=2, le=100)]
    rows: Annotated[int, Field(ge=2, le=100)]
    square_mm: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
    marker_mm: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    dictionary: Literal["4X4_50", "4X4_100", "4X4_250", "5X5_100", "6X6_250"] = "4X4_50"

    @model_validator(mode="after")
    def _is_printable(self) -> Self:
        if self.kind == "checkerboard":
            if min(self.columns, self.rows) < 4:
                raise ValueError("a checkerboard needs at least 4 × 4 squares")
            return self
        if self.marker_mm is None or not 0.3 * self.square_mm <= self.marker_mm <= 0.95 * self.square_mm:
            raise ValueError("marker_mm must be 0.3 to 0.95 of square_mm")
        markers = self.columns * self.rows // (2 if self.kind == "charuco" else 1)
        if markers > DICTIONARY_SIZES[self.dictionary]:
            raise ValueError(f"the board needs {markers} markers, {self.dictionary} has fewer")
        return self


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """`um_per_px`: micrometres per pixel, mean over the board. `spread_percent`: largest minus smallest
    scale over the board, per cent of the mean. `anisotropy_percent`: how much longer a pixel is one way than
    the other. `points`: corners found of `points_expected`. `residual_px`: root mean square distance of the
    corners from a perfect flat board. `warnings` speak against using it."""

    um_per_px: float
    spread_percent: float
    anisotropy_percent: float
    points: int
    points_expected: int
    residual_px: float
    warnings: tuple[Finding, ...]


def calibrate(pixels: Pixels, board: BoardSpec) -> CalibrationResult:
    """Measures the scale of a picture (H×W×3 BGR or H×W gray, uint8) that shows `board`.

    Raises BadInput `board-not-found` when too little of the board is seen.
    """
    import cv2
    import numpy as np

    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels
    at_mm, at_px, expected = _corners(np.asarray(gray, np.uint8), board)
    if len(at_px) < MIN_POINTS:
        raise _not_found(board, len(at_px))
    homography, _ = cv2.findHomography(at_mm, at_px, 0)
    if homography is None or not np.isfinite(homography).all():
        raise _not_found(board, len(at_px))
    lengths = np.linalg.svd(_jacobians(homography, at_mm), compute_uv=False)  # px per mm, longest first
    um_per_px = 1000 / np.sqrt(lengths.prod(axis=1))
    mean = float(um_per_px.mean())
    projected = cv2.perspectiveTransform(at_mm[None], homography)[0]
    spread = 100 * float(um_per_px.max() - um_per_px.min()) / mean
    anisotropy = 100 * (float(np.median(lengths[:, 0] / lengths[:, 1])) - 1)
    residual = float(np.sqrt(((projected - at_px) ** 2).sum(axis=1).mean()))
    hull = cv2.contourArea(cv2.convexHull(at_px.astype(np.float32)))
    cover = 100 * hull / (gray.shape[0] * gray.shape[1])
    warnings = tuple(_warnings(spread, anisotropy, residual, cover))
    return CalibrationResult(mean, spread, anisotropy, len(at_px), expected, residual, warnings)


def draw_board(board: BoardSpec, px_per_mm: float) -> Pixels:
    """The board to print, H×W gray uint8, to scale, with a white margin of one square.

    Raises BadInput `board-size` when it would be too coarse to recognise or above 100 megapixels.
    """
    import cv2
    import numpy as np

    side = board.square_mm * px_per_mm
    width, height = round((board.columns + 2) * side), round((board.rows + 2) * side)
    if side < 12 or width * height > 100_000_000:
        raise BadInput(
            f"At {px_per_mm:g} px/mm a square has {side:.1f} px and the sheet {width}×{height} px.",
            code="board-size",
            hint="Choose a resolution that gives squares at least 12 px and a sheet below 100 megapixels.",
        )
    # Drawn in whole pixels, fine enough that rounding a marker does not matter, then one exact resize.
    cell = max(int(np.ceil(side)), 20 if board.kind == "checkerboard" else 240)
    sheet = np.full(((board.rows + 2) * cell, (board.columns + 2) * cell), 255, np.uint8)
    sheet[cell:-cell, cell:-cell] = _pattern(board, cell)
    scale = side / cell
    to_scale = np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5]])
    drawn = cv2.warpAffine(sheet, to_scale, (width, height), flags=cv2.INTER_LINEAR, borderValue=255)
    return np.asarray(drawn, np.uint8)


def _pattern(board: BoardSpec, cell: int) -> Pixels:
    import numpy as np

    size = (board.columns * cell, board.rows * cell)
    if board.kind == "checkerboard":
        rows, columns = np.indices((board.rows, board.columns))
        squares = np.where((rows + columns) % 2, 255, 0).astype(np.uint8)
        return np.kron(squares, np.ones((cell, cell), np.uint8))
    if board.kind == "charuco":
        return np.asarray(_charuco(board).generateImage(size), np.uint8)
    sheet = np.full(size[::-1], 255, np.uint8)
    marker = round((board.marker_mm or 0) / board.square_mm * cell)
    margin = (cell - marker) // 2
    dictionary = _dictionary(board)
    for number in range(board.columns * board.rows):
        top, left = (cell * index + margin for index in divmod(number, board.columns))
        sheet[top : top + marker, left : left + marker] = dictionary.generateImageMarker(number, marker)
    return sheet


def _corners(gray: Pixels, board: BoardSpec) -> tuple[Points, Points, int]:
    """Board coordinates in mm, picture coordinates in px of the same corners, and how many there could be."""
    import cv2
    import numpy as np

    inner = (board.columns - 1, board.rows - 1)
    if board.kind == "checkerboard":
        flags = cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_NORMALIZE_IMAGE
        found, corners = cv2.findChessboardCornersSB(gray, inner, flags=flags)
        at_px = _refined(gray, corners) if found else _flat(None)
        return _grid(np.arange(inner[0] * inner[1]), inner[0], board.square_mm), at_px, inner[0] * inner[1]
    if board.kind == "charuco":
        corners, found_ids, _, _ = cv2.aruco.CharucoDetector(_charuco(board)).detectBoard(gray)
        ids = _ids(found_ids)
        return _grid(ids, inner[0], board.square_mm), _flat(corners), inner[0] * inner[1]
    return _marker_corners(gray, board)


def _refined(gray: Pixels, corners: Any) -> Points:
    """Corners to a few hundredths of a pixel, each looking no farther than a quarter of its square."""
    import cv2
    import numpy as np

    start = np.ascontiguousarray(corners, np.float32).reshape(-1, 1, 2)
    square_px = float(np.linalg.norm(start[1, 0] - start[0, 0]))
    window = min(max(int(square_px / 4), 2), 15)
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 0.001)
    return _flat(cv2.cornerSubPix(gray, start, (window, window), (-1, -1), until))


def _marker_corners(gray: Pixels, board: BoardSpec) -> tuple[Points, Points, int]:
    import cv2
    import numpy as np

    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    markers, found_ids, _ = cv2.aruco.ArucoDetector(_dictionary(board), parameters).detectMarkers(gray)
    expected = board.columns * board.rows
    ids = _ids(found_ids)
    known = [
        (number, _flat(marker)) for number, marker in zip(ids, markers, strict=True) if number < expected
    ]
    side = board.marker_mm or 0.0
    around = np.array([[0, 0], [side, 0], [side, side], [0, side]])
    at_mm = [_grid(np.array([number]), board.columns, board.square_mm) + around for number, _ in known]
    at_px = [marker for _, marker in known]
    empty = np.zeros((0, 2))
    return np.concatenate([empty, *at_mm]), np.concatenate([empty, *at_px]), 4 * expected


def _grid(ids: NDArray[Any], columns: int, square_mm: float) -> Points:
    import numpy as np

    return np.stack([ids % columns, ids // columns], axis=1).astype(np.float64) * square_mm


def _ids(found: Any) -> NDArray[np.int64]:
    import numpy as np

    return np.zeros(0, np.int64) if found is None else np.asarray(found, np.int64).ravel()


def _flat(corners: Any) -> Points:
    import numpy as np

    return np.zeros((0, 2)) if corners is None else np.asarray(corners, np.float64).reshape(-1, 2)


def _jacobians(homography: NDArray[Any], at_mm: Points) -> NDArray[np.float64]:
    """Pixels per millimetre in both directions, N×2×2, at each point of the board."""
    import numpy as np

    x, y, w = homography @ np.column_stack([at_mm, np.ones(len(at_mm))]).T
    (a, b, _), (d, e, _), (g, h, _) = homography
    rows = [[a - x / w * g, b - x / w * h], [d - y / w * g, e - y / w * h]]
    return np.moveaxis(np.array(rows) / w, 2, 0)


def _dictionary(board: BoardSpec) -> Any:
    import cv2

    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{board.dictionary}"))


def _charuco(board: BoardSpec) -> Any:
    import cv2

    size = (board.columns, board.rows)
    return cv2.aruco.CharucoBoard(size, board.square_mm, board.marker_mm or 0.0, _dictionary(board))


def _warnings(spread: float, anisotropy: float, residual: float, cover: float) -> Iterator[Finding]:
    def warning(code: str, message: str, hint: str) -> Finding:
        return Finding(code, Severity.WARNING, "calibration", message, hint)

    if spread > MAX_TILT_PERCENT:
        yield warning(
            "board-tilted",
            f"The scale varies by {spread:.1f} % over the board: it was not square to the camera.",
            "Lay the board flat on the measuring plane, square to the camera, and calibrate again.",
        )
    if anisotropy > MAX_ANISOTROPY_PERCENT:
        yield warning(
            "pixels-not-square",
            f"A pixel is {anisotropy:.1f} % longer one way than the other.",
            "Lay the board flat; if it stays so, measure the print both ways and check the camera's mode.",
        )
    if residual > MAX_RESIDUAL_PX:
        yield warning(
            "board-bent",
            f"The corners lie {residual:.2f} px from a flat board: bent, blurred, or a distorting lens.",
            "Glue the board to something flat, focus the camera, or use a lens with less distortion.",
        )
    if cover < MIN_COVER_PERCENT:
        yield warning(
            "board-small",
            f"The board covers {cover:.0f} % of the picture.",
            "Use a board that fills most of the picture.",
        )


def _not_found(board: BoardSpec, points: int) -> BadInput:
    return BadInput(
        f"No {board.kind} board of {board.columns}×{board.rows} squares was found ({points} corners seen).",
        code="board-not-found",
        hint="Show the whole board with a white margin, evenly lit and in focus, and check that columns and "
        "rows count its squares.",
        points=points,
    )
