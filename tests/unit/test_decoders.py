"""Decoders: every layout gives the boxes, masks and scores that were put into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.errors import InferenceFailed
from edge_agent.inference.decoders import decode
from edge_agent.inference.manifest import Manifest, parse_manifest
from edge_agent.inference.preprocess import Preprocessor, plan_fit
from edge_agent.inference.values import Prediction

NET = (64, 64)


def manifest(task: str, decoder: str, classes: list[str], **output: Any) -> Manifest:
    return parse_manifest(
        {
            "schema": "model/1",
            "name": "m",
            "version": "1",
            "task": task,
            "sha256": "0" * 64,
            "input": {"name": "x", "size_px": list(NET), "resize": output.pop("resize", "stretch")},
            "thresholds": {"score": output.pop("threshold", 0.5)},
            "output": {"decoder": decoder, "classes": classes, **output},
        }
    )


def run(outputs: dict[str, NDArray[Any]], described: Manifest, given: tuple[int, int] = NET) -> Prediction:
    return decode(outputs, plan_fit(described.input.resize, given, NET), described)


def yolov8(rows: list[list[float]], classes: int) -> NDArray[np.float32]:
    """Rows of cx, cy, w, h, scores… among empty candidates, as [1, 4+nc, N]."""
    table = np.zeros((50, 4 + classes), np.float32)
    table[10 : 10 + len(rows)] = np.reshape(rows, (len(rows), -1)) if rows else 0
    return table.T[None]


def yolov5(rows: list[list[float]], classes: int) -> NDArray[np.float32]:
    table = np.zeros((50, 5 + classes), np.float32)
    table[10 : 10 + len(rows)] = np.reshape(rows, (len(rows), -1)) if rows else 0
    return table[None]


def test_yolov8_boxes_come_back_in_the_pictures_pixels() -> None:
    described = manifest("detect", "yolov8", ["a", "b"])
    found = run({"o": yolov8([[32, 32, 16, 8, 0.1, 0.9]], 2)}, described, given=(128, 256)).objects
    assert found is not None
    assert [(thing.label, round(thing.confidence, 3)) for thing in found] == [("b", 0.9)]
    assert found[0].box_px == pytest.approx((48, 112, 32, 32))


def test_letterboxed_boxes_lose_the_border() -> None:
    described = manifest("detect", "yolov8", ["a"], resize="letterbox")
    # 128×64 fits 64×64 at half size with 16 px above and below
    found = run({"o": yolov8([[32, 32, 16, 8, 0.8]], 1)}, described, given=(128, 64)).objects
    assert found is not None
    assert found[0].box_px == pytest.approx((48, 24, 32, 16))


def test_boxes_are_clipped_to_the_picture() -> None:
    described = manifest("detect", "yolov8", ["a"])
    found = run({"o": yolov8([[0, 0, 40, 40, 0.8]], 1)}, described).objects
    assert found is not None
    assert found[0].box_px == pytest.approx((0, 0, 20, 20))


def test_overlapping_boxes_are_merged_within_a_class_only() -> None:
    described = manifest("detect", "yolov8", ["a", "b"])
    rows = [[20, 20, 10, 10, 0.6, 0], [21, 20, 10, 10, 0.9, 0], [20, 20, 10, 10, 0, 0.7]]
    found = run({"o": yolov8(rows, 2)}, described).objects
    assert found is not None
    assert [(thing.label, round(thing.confidence, 2)) for thing in found] == [("a", 0.9), ("b", 0.7)]


def test_yolov5_multiplies_objectness_and_class() -> None:
    described = manifest("detect", "yolov5", ["a", "b"])
    found = run(
        {"o": yolov5([[32, 32, 16, 8, 0.5, 0.2, 0.8], [5, 5, 4, 4, 0.2, 0.9, 0]], 2)}, described
    ).objects
    assert found is not None
    assert [(thing.label, round(thing.confidence, 3)) for thing in found] == [("b", 0.4)]


def test_end_to_end_rows_are_taken_as_they_are() -> None:
    described = manifest("detect", "yolo-end2end", ["a", "b"])
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = [10, 20, 30, 40, 0.3, 0]
    rows[0, 1] = [10, 20, 30, 40, 0.95, 1]
    found = run({"o": rows}, described).objects
    assert found is not None
    assert [thing.label for thing in found] == ["b", "a"]
    assert found[0].box_px == pytest.approx((10, 20, 20, 20))


def test_end_to_end_class_numbers_beyond_the_classes_fail() -> None:
    rows = np.array([[[10, 20, 30, 40, 0.9, 7]]], np.float32)
    with pytest.raises(InferenceFailed, match="class numbers 7"):
        run({"o": rows}, manifest("detect", "yolo-end2end", ["a"]))


def test_no_box_is_an_empty_answer() -> None:
    assert run({"o": yolov8([], 1)}, manifest("detect", "yolov8", ["a"])).objects == ()


def test_at_most_max_boxes_are_kept_the_best_ones() -> None:
    rows = [[4 * i + 2, 4, 3, 3, 0.3 + i / 100] for i in range(10)]
    found = run({"o": yolov8(rows, 1)}, manifest("detect", "yolov8", ["a"], nms={"max": 3})).objects
    assert found is not None
    assert [round(thing.confidence, 2) for thing in found] == [0.39, 0.38, 0.37]


def test_instance_masks_lie_inside_their_boxes() -> None:
    described = manifest("segment", "yolov8-seg", ["hole"])
    rows = np.zeros((50, 4 + 1 + 2), np.float32)
    rows[3] = [32, 16, 32, 16, 0.9, 1, 0]  # box 16..48 × 8..24, first prototype only
    prototypes = np.full((1, 2, 16, 16), -5, np.float32)
    prototypes[0, 0, :, :8] = 5  # left half of the picture
    answer = run({"o": rows.T[None], "p": prototypes}, described, given=(128, 128))
    assert answer.objects is not None
    assert answer.mask is not None
    mask = answer.objects[0].mask
    assert mask is not None
    assert mask.shape == (128, 128)
    ys, xs = np.nonzero(mask)
    assert (xs.min(), ys.min(), ys.max()) == (32, 16, 47)
    assert abs(int(xs.max()) - 63) <= 1
    assert np.array_equal(answer.mask, mask)


def test_a_class_map_becomes_one_object_per_region() -> None:
    described = manifest("segment", "semantic", ["background", "rust", "dirt"])
    scores = np.zeros((1, 3, 64, 64), np.float32)
    scores[0, 0] = 0.5
    scores[0, 1, 4:8, 4:12] = 0.9
    scores[0, 1, 40:44, 40:44] = 0.8
    scores[0, 2, 20:24, 20:24] = 0.7
    answer = run({"o": scores}, described, given=(128, 128))
    assert answer.objects is not None
    assert answer.mask is not None
    assert [(thing.label, round(thing.confidence, 2)) for thing in answer.objects] == [
        ("rust", 0.9),
        ("rust", 0.8),
        ("dirt", 0.7),
    ]
    assert answer.objects[0].box_px == (8, 8, 16, 8)
    assert np.count_nonzero(answer.mask) == 4 * (32 + 16 + 16)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_class_numbers_are_a_class_map_too(kind: type) -> None:
    labels: NDArray[Any] = np.zeros((1, 64, 64), kind)
    labels[0, 10:20, 10:20] = 1
    answer = run({"o": labels}, manifest("segment", "semantic", ["background", "rust"]))
    assert answer.objects is not None
    assert [(thing.label, thing.box_px) for thing in answer.objects] == [("rust", (10, 10, 10, 10))]


def test_a_single_channel_is_one_class_against_the_rest() -> None:
    scores = np.full((1, 1, 64, 64), -4, np.float32)
    scores[0, 0, 10:20, 10:20] = 4
    described = manifest("segment", "semantic", ["rust"], activation="sigmoid")
    answer = run({"o": scores}, described)
    assert answer.objects is not None
    assert [thing.label for thing in answer.objects] == ["rust"]
    assert answer.objects[0].confidence == pytest.approx(0.982, abs=1e-3)


def test_classes_come_best_first() -> None:
    described = manifest("classify", "classify", ["a", "b", "c"], activation="softmax")
    classes = run({"o": np.array([[0, 2, 1]], np.float32)}, described).classes
    assert classes is not None
    assert [entry.label for entry in classes] == ["b", "c", "a"]
    assert sum(entry.confidence for entry in classes) == pytest.approx(1)


def test_logits_taken_for_probabilities_fail_instead_of_judging() -> None:
    described = manifest("classify", "classify", ["a", "b"])
    with pytest.raises(InferenceFailed) as caught:
        run({"o": np.array([[4, -4]], np.float32)}, described)
    assert caught.value.code_ == "model-output-range"
    assert "activation" in caught.value.hint_


def test_an_anomaly_threshold_becomes_one_half() -> None:
    heat = np.zeros((1, 1, 64, 64), np.float32)
    heat[0, 0, 8:12, 8:12] = 3.0
    described = manifest("anomaly", "anomaly-map", [], threshold=3.0)
    answer = run({"o": heat}, described, given=(128, 64))
    assert answer.score == pytest.approx(0.5)
    assert answer.heatmap is not None
    assert answer.heatmap.shape == (64, 128)
    assert answer.heatmap.dtype == np.float32
    assert answer.heatmap.max() == pytest.approx(0.5)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_anomalib_scores_come_in_several_ranks(rank: int) -> None:
    outputs = {
        "pred_score": np.full((1,) * rank, 0.7, np.float32),
        "anomaly_map": np.full((1, 1, 32, 32), 0.6, np.float32),
        "pred_mask": np.ones((1, 1, 32, 32), bool),
    }
    answer = run(outputs, manifest("anomaly", "anomalib", []))
    assert answer.score == pytest.approx(0.7)
    assert answer.heatmap is not None
    assert answer.heatmap.shape == (64, 64)


def test_a_heatmap_is_zero_where_center_crop_did_not_look() -> None:
    described = manifest("anomaly", "anomaly-map", [], resize="center-crop")
    answer = run({"o": np.full((1, 1, 64, 64), 0.8, np.float32)}, described, given=(128, 64))
    assert answer.heatmap is not None
    assert answer.heatmap[:, :31].max() == 0
    assert answer.heatmap[:, 33:95].min() == pytest.approx(0.8)
    assert answer.heatmap[:, 97:].max() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("described", "outputs"),
    [
        (manifest("detect", "yolov8", ["a"]), {"o": yolov8([], 1)}),
        (manifest("detect", "yolov5", ["a"]), {"o": yolov5([], 1)}),
        (manifest("detect", "yolo-end2end", ["a"]), {"o": np.zeros((1, 3, 6), np.float32)}),
        (manifest("classify", "classify", ["a", "b"]), {"o": np.zeros((1, 2), np.float32)}),
        (manifest("anomaly", "anomaly-map", []), {"o": np.zeros((1, 1, 4, 4), np.float32)}),
        (manifest("segment", "semantic", ["b", "a"]), {"o": np.zeros((1, 2, 4, 4), np.float32)}),
    ],
)
def test_nan_and_infinity_are_never_no_defect(
    described: Manifest, outputs: dict[str, Any], bad: float
) -> None:
    poisoned = {name: values.copy() for name, values in outputs.items()}
    poisoned["o"].flat[-1] = bad
    with pytest.raises(InferenceFailed) as caught:
        run(poisoned, described)
    assert caught.value.code_ == "model-output-nan"


def test_huge_but_finite_values_are_not_taken_for_infinity() -> None:
    heat = np.full((1, 1, 8, 8), 3e38, np.float32)
    assert run({"o": heat}, manifest("anomaly", "anomaly-map", [])).score == 1


@pytest.mark.parametrize(
    ("described", "shape"),
    [
        (manifest("detect", "yolov8", ["a", "b"]), (1, 5, 50)),
        (manifest("detect", "yolov5", ["a", "b"]), (1, 50, 6)),
        (manifest("detect", "yolo-end2end", ["a"]), (1, 300, 7)),
        (manifest("classify", "classify", ["a", "b"]), (1, 3)),
        (manifest("segment", "semantic", ["a", "b"]), (1, 5, 8, 8)),
        (manifest("segment", "yolov8-seg", ["a"]), (1, 37, 8)),
        (manifest("anomaly", "anomaly-map", []), (2, 1, 8, 8)),
        (manifest("anomaly", "anomalib", []), (1, 1, 8, 8)),
    ],
)
def test_a_wrong_shape_fails_and_says_what_was_needed(described: Manifest, shape: tuple[int, ...]) -> None:
    with pytest.raises(InferenceFailed) as caught:
        run({"o": np.zeros(shape, np.float32)}, described)
    assert caught.value.code_ == "model-output-shape"
    assert str(list(shape)) in caught.value.detail


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR", "GRAY"])
def test_pixels_enter_as_the_manifest_says(layout: str, colour: str) -> None:
    spec = manifest("anomaly", "anomaly-map", []).input.model_copy(
        update={"layout": layout, "colour": colour, "scale": 0.5, "mean": (1.0,), "std": (2.0,)}
    )
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:] = (10, 20, 30)  # blue, green, red
    tensor, _ = Preprocessor(spec).tensor(pixels)
    wanted = {"RGB": (30, 20, 10), "BGR": (10, 20, 30), "GRAY": (22,)}[colour]
    assert tensor.shape == ((1, len(wanted), 64, 64) if layout == "NCHW" else (1, 64, 64, len(wanted)))
    seen = tensor[0, :, 5, 5] if layout == "NCHW" else tensor[0, 5, 5, :]
    assert seen == pytest.approx([(value * 0.5 - 1) / 2 for value in wanted])


def test_a_letterbox_is_padded_and_forgets_the_picture_before() -> None:
    spec = manifest("anomaly", "anomaly-map", [], resize="letterbox").input
    prepare = Preprocessor(spec.model_copy(update={"scale": 1.0}))
    prepare.tensor(np.full((64, 64, 3), 255, np.uint8))
    tensor, fit = prepare.tensor(np.full((32, 64, 3), 200, np.uint8))
    assert fit.inside == (0, 16, 64, 32)
    assert tensor[0, 0, :16].max() == 114
    assert tensor[0, 0, 16:48].min() == 200


def test_the_picture_given_is_not_written_to() -> None:
    pixels = np.full((32, 64, 3), 77, np.uint8)
    pixels.flags.writeable = False
    for resize in ("stretch", "letterbox", "center-crop"):
        spec = manifest("anomaly", "anomaly-map", [], resize=resize).input
        Preprocessor(spec).tensor(pixels)
