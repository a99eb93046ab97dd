"""Preparing and aligning: where things end up, and that every way leads back to the photograph."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.errors import InferenceFailed
from edge_agent.inference.report import unsound
from edge_agent.inference.steps.base import Points, map_points
from edge_agent.inference.values import Frame, Pixels
from tests.unit.drawn import bench, disc, frame, plain, step, textured

GOLDEN = "a" * 64
TEMPLATE = {"template": f"sha256:{GOLDEN}"}


def test_a_crop_leads_back_by_its_corner_through_every_crop() -> None:
    first = step("image.crop", {"rect_px": [100, 50, 200, 150]}, image=frame(textured()))
    second = step("image.crop", {"rect_px": [10, 20, 30, 40]}, image=first["image"])["image"]
    assert second.pixels.shape == (40, 30, 3)
    assert np.array_equal(second.pixels, textured()[70:110, 110:140])
    assert map_points(np.array([[0.0, 0.0]]), second.to_original).tolist() == [[110.0, 70.0]]


@pytest.mark.parametrize("rect", [[0, 0, 321, 10], [0, 235, 10, 6]])
def test_a_crop_outside_the_picture_is_refused_not_cut_short(rect: list[int]) -> None:
    with pytest.raises(InferenceFailed) as caught:
        step("image.crop", {"rect_px": rect}, image=frame(plain()))
    assert caught.value.code_ == "outside-image"


@pytest.mark.parametrize(
    ("channel", "level"),
    [("blue", 10), ("green", 20), ("red", 200), ("luma", 73), ("hue", 2), ("saturation", 242)],
)
def test_channels(channel: str, level: int) -> None:
    gray = step("image.gray", {"channel": channel}, image=frame(plain(bgr=(10, 20, 200))))["image"].pixels
    assert gray.ndim == 2
    assert abs(int(gray[0, 0]) - level) <= 1


def test_enhancing_nothing_changes_nothing() -> None:
    assert np.array_equal(step("image.enhance", {}, image=frame(textured()))["image"].pixels, textured())


@pytest.mark.parametrize("pixels", [textured(), textured()[..., 0].copy()], ids=["colour", "gray"])
def test_enhancing_keeps_size_and_channels_and_does_not_write_to_its_input(pixels: Pixels) -> None:
    before = pixels.copy()
    settings = {"median_px": 3, "gamma": 0.7, "clahe_clip": 2.0, "sharpen": 0.5}
    after = step("image.enhance", settings, image=frame(pixels))["image"].pixels
    assert after.shape == pixels.shape
    assert not np.array_equal(after, before)
    assert np.array_equal(pixels, before)


def test_a_sharp_well_exposed_picture_is_fit() -> None:
    found = step("image.quality", {"min_sharpness": 20}, image=frame(textured()))
    assert found["quality"] == 1.0
    assert found["brightness"].value == pytest.approx(127, abs=10)


@pytest.mark.parametrize(
    "pixels",
    [
        np.asarray(cv2.GaussianBlur(textured(), (0, 0), 12), dtype=np.uint8),
        plain(bgr=(0, 0, 0)),
        plain(bgr=(255, 255, 255)),
        (textured() // 16).astype(np.uint8),
    ],
    ids=["blurred", "black", "white", "dark"],
)
def test_a_blurred_or_badly_exposed_picture_is_not_fit(pixels: Pixels) -> None:
    assert 0 <= step("image.quality", {"min_sharpness": 20}, image=frame(pixels))["quality"] < 1


def moved(pixels: Pixels, degrees: float, dx: float, dy: float) -> tuple[Pixels, Points]:
    """The picture turned about its middle and shifted, and the 3×3 that did it."""
    height, width = pixels.shape[:2]
    turn = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), [0, 0, 1]])
    turn[0, 2] += dx
    turn[1, 2] += dy
    image = cv2.warpAffine(pixels, turn[:2], (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(image, dtype=np.uint8), np.asarray(turn, dtype=np.float64)


CORNERS = np.array([[20.0, 20.0], [300.0, 20.0], [300.0, 220.0], [20.0, 220.0]])


@pytest.mark.parametrize("template_of", [(0, 0, 320, 240), (100, 60, 120, 90)], ids=["whole", "patch"])
def test_a_shifted_part_is_found_to_a_fraction_of_a_pixel(template_of: tuple[int, int, int, int]) -> None:
    golden, (x, y, w, h) = textured(), template_of
    image, _ = moved(golden, 0, 7.4, -5.25)
    env = bench(assets={GOLDEN: golden[y : y + h, x : x + w]})
    found = step("align.template", TEMPLATE, env, image=frame(image))
    assert found["image"].pixels.shape == (h, w, 3)
    assert found["score"] > 0.98
    corner = map_points(np.array([[0.0, 0.0]]), found["transform"])[0]
    assert corner == pytest.approx([x + 7.4, y - 5.25], abs=0.15)


def test_a_large_picture_is_found_through_a_reduced_one() -> None:
    golden = textured(1600, 1200)
    image, _ = moved(golden, 0, 21, -13)
    found = step("align.template", TEMPLATE, bench(assets={GOLDEN: golden}), image=frame(image))
    assert map_points(np.array([[0.0, 0.0]]), found["transform"])[0] == pytest.approx([21, -13], abs=0.2)


@pytest.mark.parametrize("motion", ["euclidean", "affine"])
def test_a_turned_part_is_found(motion: str) -> None:
    golden = textured()
    image, turn = moved(golden, 2.0, 6, -4)
    env = bench(assets={GOLDEN: golden})
    found = step("align.template", {**TEMPLATE, "motion": motion}, env, image=frame(image))
    off = map_points(CORNERS, found["transform"]) - map_points(CORNERS, turn)
    assert np.abs(off).max() < 0.3


@pytest.mark.parametrize("pixels", [textured(seed=9), plain()], ids=["another part", "nothing"])
@pytest.mark.parametrize("motion", ["translation", "euclidean"])
def test_what_does_not_show_the_part_is_refused(pixels: Pixels, motion: str) -> None:
    with pytest.raises(InferenceFailed) as caught:
        step(
            "align.template",
            {**TEMPLATE, "motion": motion},
            bench(assets={GOLDEN: textured()}),
            image=frame(pixels),
        )
    assert caught.value.code_ == "not-aligned"


@pytest.mark.parametrize(
    ("golden", "code"), [(plain(), "blank-template"), (textured(800, 600), "template-too-large")]
)
def test_a_useless_template_is_refused(golden: Pixels, code: str) -> None:
    with pytest.raises(InferenceFailed) as caught:
        step("align.template", TEMPLATE, bench(assets={GOLDEN: golden}), image=frame(textured()))
    assert caught.value.code_ == code


def board(places: dict[int, tuple[int, int]], side: int = 40) -> Pixels:
    pixels = plain(bgr=(255, 255, 255))
    dictionary: Any = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    for number, (x, y) in places.items():
        marker = cv2.aruco.generateImageMarker(dictionary, number, side)
        pixels[y : y + side, x : x + side] = marker[..., None]
    return pixels


PLACES = {0: (20, 20), 1: (260, 20), 2: (260, 180), 3: (20, 180)}
MARKERS = {
    "markers": [{"id": number, "corner_px": [x, y], "side_px": 40} for number, (x, y) in PLACES.items()],
    "size_px": [320, 240],
}


def test_markers_straighten_a_turned_picture() -> None:
    image, turn = moved(board(PLACES), 6, 3, 2)
    found = step("align.markers", MARKERS, image=frame(image))
    off = map_points(CORNERS, found["transform"]) - map_points(CORNERS, turn)
    assert np.abs(off).max() < 1.0


def test_a_hidden_marker_is_refused_unless_fewer_are_enough() -> None:
    image = frame(board({number: place for number, place in PLACES.items() if number}))
    with pytest.raises(InferenceFailed) as caught:
        step("align.markers", MARKERS, image=image)
    assert caught.value.code_ == "markers-not-found"
    assert step("align.markers", {**MARKERS, "min_markers": 3}, image=image)["image"].pixels.shape[:2] == (
        240,
        320,
    )


QUAD = [[60, 40], [250, 60], [270, 200], [40, 190]]


@pytest.mark.parametrize("ink", [(250, 250, 250), (10, 10, 10)], ids=["bright", "dark"])
@pytest.mark.parametrize("corners", [QUAD, None], ids=["given", "found"])
def test_an_area_seen_at_an_angle_is_straightened(
    corners: list[list[int]] | None, ink: tuple[int, int, int]
) -> None:
    pixels = plain()
    cv2.fillPoly(pixels, [np.array(QUAD)], ink)
    found = step("align.perspective", {"corners_px": corners, "size_px": [200, 150]}, image=frame(pixels))
    assert found["image"].pixels.shape == (150, 200, 3)
    assert np.abs(found["image"].pixels[5:-5, 5:-5].astype(int) - ink[0]).max() <= 2
    output = np.array([[0.0, 0.0], [199.0, 0.0], [199.0, 149.0], [0.0, 149.0]])
    assert np.abs(map_points(output, found["transform"]) - np.array(QUAD)).max() < 2.0


@pytest.mark.parametrize("pixels", [plain(), disc((160, 120), 60)], ids=["nothing", "round"])
def test_without_four_corners_there_is_nothing_to_straighten(pixels: Pixels) -> None:
    with pytest.raises(InferenceFailed) as caught:
        step("align.perspective", {"size_px": [200, 150]}, image=Frame(pixels))
    assert caught.value.code_ == "corners-not-found"


def test_four_corners_on_a_line_span_nothing() -> None:
    flat = {"corners_px": [[0, 0], [10, 0], [20, 0], [30, 0]], "size_px": [20, 20]}
    with pytest.raises(InferenceFailed):
        step("align.perspective", flat, image=frame(plain()))


TINY = [(1, 1, 3), (1, 1), (2, 3, 3), (1, 500), (700, 1, 3), (9, 9, 3)]
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("image.gray", {"channel": "hue"}),
    ("image.enhance", {"median_px": 7, "gamma": 0.5, "clahe_clip": 2, "sharpen": 1}),
    ("image.quality", {}),
    ("align.template", TEMPLATE),
    ("align.template", {**TEMPLATE, "motion": "affine"}),
    ("diff.template", TEMPLATE),
    ("align.markers", MARKERS),
    ("align.perspective", {"size_px": [5, 5]}),
    ("code.read", {}),
    ("measure.distance", {"method": "circle", "center_px": [160, 120], "radius_px": [20, 80]}),
    ("measure.distance", {"method": "caliper", "line_px": [0, 0, 50, 50]}),
    ("measure.color", {"reference": [50, 0, 0]}),
    ("draw.overlay", {}),
]


@pytest.mark.parametrize("shape", TINY, ids=str)
@pytest.mark.parametrize(("kind", "with_"), STEPS)
def test_the_smallest_picture_gets_an_answer_or_a_clear_failure(
    kind: str, with_: dict[str, Any], shape: tuple[int, ...]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for golden in (textured(64, 64), pixels):
        try:
            outputs = step(kind, with_, bench(assets={GOLDEN: golden}), image=frame(pixels))
        except InferenceFailed as error:
            outputs, failure = {}, error.code_
        else:
            failure = ""
        assert failure != InferenceFailed.code
        assert all(not unsound(value) for value in outputs.values())
