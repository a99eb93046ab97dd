"""Measuring and comparing: against drawings whose sizes are known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.errors import InferenceFailed
from edge_agent.inference.steps.base import Located
from edge_agent.inference.steps.color import delta_e_2000
from edge_agent.inference.values import Detection, Frame, Pixels
from tests.unit.drawn import bench, disc, frame, plain, step, textured

CIRCLE = {"method": "circle", "center_px": [160, 120], "radius_px": [20, 80], "unit": "px"}
CALIPER = {"method": "caliper", "line_px": [20, 120, 300, 120], "unit": "px"}
GOLDEN = "a" * 64
DIFF = {"template": f"sha256:{GOLDEN}"}


def refused(code: str, kind: str, with_: dict[str, Any], **options: Any) -> None:
    with pytest.raises(InferenceFailed) as caught:
        step(kind, with_, **options)
    assert caught.value.code_ == code


@pytest.mark.parametrize("radius", [30.0, 41.37, 55.5])
@pytest.mark.parametrize("centre", [(160.0, 120.0), (163.3, 117.6)])
@pytest.mark.parametrize("edge", ["dark-inside", "any"])
def test_a_diameter_is_measured_to_a_tenth_of_a_pixel(
    radius: float, centre: tuple[float, float], edge: str
) -> None:
    found = step("measure.distance", {**CIRCLE, "edge": edge}, image=frame(disc(centre, radius)))
    assert found["quantity"].unit == "px"
    assert found["quantity"].value == pytest.approx(2 * radius, abs=0.1)
    x, y, width, _ = found["objects"].value[0].box_px
    assert (x + width / 2, y + width / 2) == pytest.approx(centre, abs=0.1)


def test_a_scratch_across_the_edge_does_not_change_the_diameter() -> None:
    pixels = disc((160, 120), 40)
    cv2.line(pixels, (100, 60), (150, 110), (40, 40, 40), 6)
    found = step("measure.distance", CIRCLE, image=frame(pixels))
    assert found["quantity"].value == pytest.approx(80, abs=0.3)


def test_a_length_is_converted_by_the_calibration_and_only_by_it() -> None:
    asked = {**CIRCLE, "unit": "mm"}
    without = step("measure.distance", asked, image=frame(disc((160, 120), 40)))["quantity"]
    with_it = step("measure.distance", asked, bench(calibrated=True), image=frame(disc((160, 120), 40)))[
        "quantity"
    ]
    assert (without.unit, with_it.unit) == ("px", "mm")
    assert with_it.value == pytest.approx(without.value * 0.05)


def test_lengths_are_those_of_the_photograph_not_of_an_enlarged_frame() -> None:
    twice = np.asarray(cv2.resize(disc((160, 120), 40), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR))
    enlarged = Frame(twice.astype(np.uint8), np.diag([0.5, 0.5, 1.0]))
    asked = {**CIRCLE, "center_px": [320, 240], "radius_px": [40, 160]}
    assert step("measure.distance", asked, image=enlarged)["quantity"].value == pytest.approx(80, abs=0.3)


def ellipse() -> Pixels:
    pixels = plain(bgr=(200, 200, 200))
    cv2.ellipse(pixels, (160, 120), (60, 42), 0, 0, 360, (40, 40, 40), -1, cv2.LINE_AA)
    return pixels


def ramp() -> Pixels:
    """A straight edge."""
    return np.asarray(cv2.rectangle(plain(), (150, 0), (320, 240), (250, 250, 250), -1), np.uint8)


@pytest.mark.parametrize(
    "pixels", [plain(), ramp(), textured()], ids=["nothing", "a straight edge", "texture"]
)
def test_what_is_no_circle_is_not_measured(pixels: Pixels) -> None:
    with pytest.raises(InferenceFailed) as caught:
        step("measure.distance", CIRCLE, image=frame(pixels))
    assert caught.value.code_ in {"not-round", "circle-not-found"}


def test_an_ellipse_is_not_round() -> None:
    with pytest.raises(InferenceFailed) as caught:
        step("measure.distance", {**CIRCLE, "max_residual_px": 0.5}, image=frame(ellipse()))
    assert caught.value.code_ in {"not-round", "circle-not-found"}


def bar(left: float, right: float, degrees: float = 0.0) -> Pixels:
    """A dark bar on light ground with soft, exactly known edges, turned about the middle."""
    ys, xs = np.mgrid[0:240, 0:320].astype(np.float64)
    turn = np.deg2rad(degrees)
    along = (xs - 160) * np.cos(turn) + (ys - 120) * np.sin(turn) + 160
    inside = np.clip(along - left + 0.5, 0, 1) * np.clip(right - along + 0.5, 0, 1)
    return np.asarray(
        cv2.cvtColor(np.rint(220 - 180 * inside).astype(np.uint8), cv2.COLOR_GRAY2BGR), np.uint8
    )


@pytest.mark.parametrize(("left", "right"), [(100.0, 200.0), (99.3, 214.65)])
def test_a_caliper_measures_to_a_tenth_of_a_pixel(left: float, right: float) -> None:
    found = step("measure.distance", CALIPER, image=frame(bar(left, right)))
    assert found["quantity"].value == pytest.approx(right - left, abs=0.1)


def test_a_caliper_across_a_turned_bar() -> None:
    turn = np.deg2rad(25)
    line = [
        160 - 120 * np.cos(turn),
        120 - 120 * np.sin(turn),
        160 + 120 * np.cos(turn),
        120 + 120 * np.sin(turn),
    ]
    found = step("measure.distance", {**CALIPER, "line_px": line}, image=frame(bar(110, 190, 25)))
    assert found["quantity"].value == pytest.approx(80, abs=0.1)


def test_a_caliper_takes_the_edges_of_the_polarity_asked_for() -> None:
    inner = {**CALIPER, "first": "dark-to-bright", "last": "bright-to-dark"}
    pixels = np.minimum(bar(60, 80), bar(240, 260))
    found = step("measure.distance", inner, image=frame(np.asarray(pixels, np.uint8)))
    assert found["quantity"].value == pytest.approx(160, abs=0.1)
    outer = step("measure.distance", CALIPER, image=frame(np.asarray(pixels, np.uint8)))
    assert outer["quantity"].value == pytest.approx(200, abs=0.1)


@pytest.mark.parametrize(
    ("pixels", "change"),
    [(plain(), {}), (bar(160, 400), {}), (bar(100, 200), {"min_contrast": 200}),
     (bar(100, 200), {"line_px": [5, 5, 6, 5]})],
    ids=["nothing", "one edge", "too faint", "too short"],
)  # fmt: skip
def test_a_caliper_without_two_edges_fails(pixels: Pixels, change: dict[str, Any]) -> None:
    refused("edges-not-found", "measure.distance", {**CALIPER, **change}, image=frame(pixels))


def things(*found: tuple[str, float, tuple[float, float]]) -> Located[tuple[Detection, ...]]:
    objects = tuple(Detection(label, sure, (x - 5, y - 5, 10, 10)) for label, sure, (x, y) in found)
    return Located(objects, np.eye(3))


def test_the_distance_between_the_surest_objects() -> None:
    objects = things(("a", 0.5, (0, 0)), ("a", 0.9, (10, 10)), ("b", 0.8, (40, 50)))
    between = {"method": "objects", "unit": "px"}
    assert (
        step("measure.distance", {**between, "labels": ["a", "b"]}, objects=objects)["quantity"].value == 50
    )
    twice = step("measure.distance", {**between, "labels": ["a", "a"]}, objects=objects)["quantity"].value
    assert twice == pytest.approx(200**0.5)
    refused("object-not-found", "measure.distance", {**between, "labels": ["b", "b"]}, objects=objects)


def test_an_area_is_that_in_the_photograph() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[10:30, 10:20] = 255
    halved = Located(mask, np.diag([0.5, 0.5, 1.0]))
    assert step("measure.area", {"unit": "px2"}, mask=halved)["quantity"].value == pytest.approx(50)
    found = step("measure.area", {}, bench(calibrated=True), mask=Located(mask, np.eye(3)))["quantity"]
    assert (found.value, found.unit) == (pytest.approx(200 * 0.05**2), "mm2")
    assert step("measure.area", {}, mask=Located(mask * 0, np.eye(3)))["quantity"].value == 0


def test_an_area_of_objects_counts_masks_before_boxes_and_one_label_if_asked() -> None:
    objects = things(("a", 1, (50, 50)), ("b", 1, (90, 90)))
    masked = Detection("a", 1, (0, 0, 50, 50), np.full((2, 3), 255, np.uint8))
    both = Located((*objects.value, masked), np.eye(3))
    assert step("measure.area", {"unit": "px2"}, objects=both)["quantity"].value == pytest.approx(206)
    assert step("measure.area", {"unit": "px2", "label": "a"}, objects=both)[
        "quantity"
    ].value == pytest.approx(106)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
        ((50, 0, 0), (50, -1, 2), 2.3669),
    ],
)
def test_the_colour_difference_agrees_with_the_published_data(
    first: tuple[float, float, float], second: tuple[float, float, float], difference: float
) -> None:
    assert delta_e_2000(first, second) == pytest.approx(difference, abs=5e-5)
    assert delta_e_2000(second, first) == pytest.approx(difference, abs=5e-5)


def test_a_colour_is_measured_in_lab() -> None:
    red = plain(bgr=(0, 0, 255))
    found = step("measure.color", {"reference": [53.24, 80.09, 67.20]}, image=frame(red))
    assert found["quantity"].unit == "dE"
    assert found["quantity"].value < 0.1
    assert found["lightness"].value == pytest.approx(53.24, abs=0.1)


def test_only_the_chosen_part_of_a_picture_gives_its_colour() -> None:
    pixels = plain(bgr=(0, 0, 255))
    pixels[:, 160:] = 255
    white = {"reference": [100, 0, 0]}
    assert (
        step("measure.color", {**white, "rect_px": [200, 0, 50, 50]}, image=frame(pixels))["quantity"].value
        < 0.1
    )
    mask = np.zeros((240, 320), np.uint8)
    mask[:, 300:] = 255
    found = step("measure.color", white, image=frame(pixels), mask=Located(mask, np.eye(3)))
    assert found["quantity"].value < 0.1
    empty = Located(mask * 0, np.eye(3))
    refused("nothing-to-measure", "measure.color", white, image=frame(pixels), mask=empty)
    refused("no-colour", "measure.color", white, image=frame(pixels[..., 0].copy()))


def test_the_golden_sample_itself_does_not_differ() -> None:
    found = step("diff.template", DIFF, bench(assets={GOLDEN: textured()}), image=frame(textured()))
    assert found["score"] == 0
    assert found["mask"].value.max() == 0


@pytest.mark.parametrize(("align", "shift"), [("none", 0), ("translation", 6), ("euclidean", 6)])
def test_a_stain_is_found_where_it_is_also_on_a_shifted_part(align: str, shift: int) -> None:
    golden = textured()
    stained = golden.copy()
    cv2.circle(stained, (200, 100), 10, (0, 0, 0), -1)
    image = np.roll(stained, (shift, shift), axis=(0, 1))
    found = step(
        "diff.template", {**DIFF, "align": align}, bench(assets={GOLDEN: golden}), image=frame(image)
    )
    ys, xs = np.nonzero(found["mask"].value)
    assert 0.001 < found["score"] < 0.006
    assert (xs.mean(), ys.mean()) == pytest.approx((200, 100), abs=2)
    assert found["mask"].to_original[:2, 2] == pytest.approx([shift, shift], abs=0.2)
    assert found["heatmap"].value.dtype == np.float32
    assert 0 <= found["heatmap"].value.min() <= found["heatmap"].value.max() <= 1


def test_specks_smaller_than_the_limit_do_not_count() -> None:
    speckled = textured()
    speckled[50:52, 50:52] = 255 - speckled[50:52, 50:52]
    env = bench(assets={GOLDEN: textured()})
    settings = {**DIFF, "blur_px": 0, "threshold": 10}
    assert step("diff.template", {**settings, "min_area_px": 0}, env, image=frame(speckled))["score"] > 0
    assert step("diff.template", {**settings, "min_area_px": 9}, env, image=frame(speckled))["score"] == 0


def test_a_part_half_out_of_the_picture_is_not_compared() -> None:
    golden = textured()
    image = frame(np.ascontiguousarray(golden[:, 60:]))
    settings = {**DIFF, "search_px": 80}
    refused("not-visible", "diff.template", settings, env=bench(assets={GOLDEN: golden}), image=image)


def test_another_part_or_another_size_is_not_compared() -> None:
    env = bench(assets={GOLDEN: textured()})
    refused("not-aligned", "diff.template", DIFF, env=env, image=frame(textured(seed=5)))
    small = frame(textured(160, 120))
    refused("wrong-size", "diff.template", {**DIFF, "align": "none"}, env=env, image=small)
