"""The scale measured on a board of known size is right within 0.2 %, and what spoils it is named."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_agent.calibration import BoardSpec, calibrate, draw_board
from edge_agent.errors import BadInput

BOARDS = {
    "checkerboard": BoardSpec(kind="checkerboard", columns=9, rows=7, square_mm=5),
    "charuco": BoardSpec(kind="charuco", columns=8, rows=6, square_mm=5, marker_mm=3.5),
    "aruco": BoardSpec(kind="aruco", columns=5, rows=4, square_mm=8, marker_mm=6),
}


def photograph(
    board: BoardSpec,
    px_per_mm: float,
    *,
    degrees: float = 0.0,
    tilt: float = 0.0,
    stretch: float = 1.0,
    noise: float = 0.0,
) -> NDArray[np.uint8]:
    """The board seen at exactly `px_per_mm`, turned, tilted (relative change of scale) or stretched."""
    fine = 24.0
    sheet = draw_board(board, fine)
    height, width = sheet.shape
    turn = np.deg2rad(degrees)
    size = int(np.hypot(width, height) / fine * px_per_mm * max(stretch, 1)) + 40
    to_middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]], float)
    scale = px_per_mm / fine
    seen = np.array(
        [
            [scale * np.cos(turn) * stretch, -scale * np.sin(turn) * stretch, 0],
            [scale * np.sin(turn), scale * np.cos(turn), 0],
            [tilt / width, 0, 1],
        ]
    )
    back = np.array([[1, 0, size / 2], [0, 1, size / 2], [0, 0, 1]], float)
    blurred = cv2.GaussianBlur(sheet, (0, 0), 0.5 / scale)
    view = cv2.warpPerspective(blurred, back @ seen @ to_middle, (size, size), borderValue=(255,))
    noisy = view + np.random.default_rng(3).normal(0, noise, view.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


@pytest.mark.parametrize("kind", BOARDS)
@pytest.mark.parametrize("px_per_mm", [6.0, 9.37])
@pytest.mark.parametrize("degrees", [0.0, 13.0, 90.0, 171.0])
def test_the_scale_is_right_within_two_per_mille(kind: str, px_per_mm: float, degrees: float) -> None:
    result = calibrate(photograph(BOARDS[kind], px_per_mm, degrees=degrees, noise=4), BOARDS[kind])
    assert result.um_per_px == pytest.approx(1000 / px_per_mm, rel=0.002)
    assert result.points == result.points_expected
    assert result.residual_px < 0.3
    assert result.warnings == ()


@pytest.mark.parametrize("kind", BOARDS)
def test_a_tilted_board_is_measured_and_warned_of(kind: str) -> None:
    result = calibrate(photograph(BOARDS[kind], 8, tilt=0.06), BOARDS[kind])
    assert result.um_per_px == pytest.approx(125, rel=0.01)
    assert result.spread_percent > 3
    assert "board-tilted" in [warning.code for warning in result.warnings]


def test_stretched_pixels_are_warned_of() -> None:
    result = calibrate(photograph(BOARDS["checkerboard"], 8, stretch=1.02), BOARDS["checkerboard"])
    assert result.anisotropy_percent == pytest.approx(2, abs=0.2)
    assert [warning.code for warning in result.warnings] == ["pixels-not-square"]


def test_a_distorting_lens_is_warned_of() -> None:
    view = photograph(BOARDS["checkerboard"], 10)
    height, width = view.shape
    y, x = np.indices(view.shape, np.float32)
    from_middle = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / (width / 2) ** 2
    bulge = 1 + 0.08 * from_middle
    bent = cv2.remap(
        view, (x - width / 2) * bulge + width / 2, (y - height / 2) * bulge + height / 2, cv2.INTER_LINEAR,
        borderValue=(255,),
    )  # fmt: skip
    codes = [
        warning.code for warning in calibrate(np.asarray(bent, np.uint8), BOARDS["checkerboard"]).warnings
    ]
    assert "board-bent" in codes


def test_a_small_board_is_warned_of() -> None:
    view = photograph(BOARDS["checkerboard"], 4)
    wide = np.full((view.shape[0] * 4, view.shape[1] * 4), 255, np.uint8)
    wide[: view.shape[0], : view.shape[1]] = view
    result = calibrate(wide, BOARDS["checkerboard"])
    assert "board-small" in [warning.code for warning in result.warnings]
    assert result.um_per_px == pytest.approx(250, rel=0.002)


@pytest.mark.parametrize("kind", ["charuco", "aruco"])
def test_part_of_a_marker_board_is_enough(kind: str) -> None:
    view = photograph(BOARDS[kind], 8)
    part = view[:, : view.shape[1] * 6 // 10]
    result = calibrate(part, BOARDS[kind])
    assert 8 <= result.points < result.points_expected
    assert result.um_per_px == pytest.approx(125, rel=0.003)


def test_colour_pictures_give_the_same_answer() -> None:
    view = photograph(BOARDS["charuco"], 8)
    assert calibrate(np.dstack([view] * 3), BOARDS["charuco"]) == calibrate(view, BOARDS["charuco"])


@pytest.mark.parametrize("kind", BOARDS)
def test_a_picture_without_the_board_says_so(kind: str) -> None:
    pictures: list[NDArray[np.uint8]] = [
        np.full((300, 400), 200, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.random.default_rng(5).integers(0, 255, (300, 400, 3), np.uint8),
    ]
    for picture in pictures:
        with pytest.raises(BadInput) as caught:
            calibrate(picture, BOARDS[kind])
        assert caught.value.code_ == "board-not-found"
        assert "margin" in caught.value.hint_


def test_the_wrong_board_is_not_measured() -> None:
    view = photograph(BOARDS["checkerboard"], 8)
    other = BoardSpec(kind="checkerboard", columns=12, rows=7, square_mm=5)
    with pytest.raises(BadInput):
        calibrate(view, other)


def test_a_drawn_board_is_to_scale() -> None:
    board = BOARDS["checkerboard"]
    sheet = draw_board(board, 11.811)  # 300 dpi
    assert sheet.shape == (round(9 * 5 * 11.811), round(11 * 5 * 11.811))
    assert (sheet[:40] == 255).all()
    assert calibrate(sheet, board).um_per_px == pytest.approx(1000 / 11.811, rel=0.0005)
    for px_per_mm in (0.5, 500.0):
        with pytest.raises(BadInput):
            draw_board(board, px_per_mm)


@pytest.mark.parametrize(
    "fields",
    [
        {"columns": 3},
        {"columns": 101},
        {"square_mm": 0},
        {"square_mm": float("nan")},
        {"kind": "charuco"},
        {"kind": "charuco", "marker_mm": 5},
        {"kind": "aruco", "marker_mm": 3, "columns": 8},
        {"kind": "aruco", "marker_mm": 3, "dictionary": "9X9_1"},
        {"kind": "circles"},
    ],
)
def test_a_board_nobody_can_print_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BoardSpec.model_validate({"kind": "checkerboard", "columns": 9, "rows": 7, "square_mm": 5} | fields)
