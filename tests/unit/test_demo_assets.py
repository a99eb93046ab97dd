"""The shipped demo is whole, small, true to its own drawings, and judged as it says, by the real parts."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
import pytest
import zxingcpp
from argon2 import PasswordHasher

from edge_agent.archive import no_progress, unpack
from edge_agent.capture.binding import Binding, FolderConfig, bind
from edge_agent.demo import BUNDLE, DEMO, EXPECTED, IMAGES
from edge_agent.images import decode, probe
from edge_agent.inference.criteria import parse_criteria
from edge_agent.inference.definition import compile_pipeline
from edge_agent.inference.install import verify_package
from edge_agent.inference.package import Package, read_package
from edge_agent.inference.plan import Plan
from edge_agent.inference.run import run
from edge_agent.inference.runtime import OnnxModel, load_model
from edge_agent.inference.steps.base import TextReader
from edge_agent.inference.steps.reading import load_text_reader
from edge_agent.inference.values import Calibration, Pixels, RunContext, RunResult
from edge_agent.inspection.scan import parse_scan
from edge_agent.masters.bundle import read_bundle
from edge_agent.models import InspectionType
from examples.demo_plate import draw, make_bundle

MODEL = ("plate-defects", "1.0.0")
PACKAGE = BUNDLE / "models" / "-".join(MODEL)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


ENTRIES: list[dict[str, Any]] = read(EXPECTED)["images"]
ITEMS: dict[str, dict[str, Any]] = {item["item_code"]: item for item in read(BUNDLE / "items.json")}
each_image = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])


@pytest.fixture(scope="module")
def package() -> Package:
    return read_package(PACKAGE)


@pytest.fixture(scope="module")
def model(package: Package) -> OnnxModel:
    return load_model(PACKAGE, package.manifest)


@pytest.fixture(scope="module")
def text_reader() -> Callable[[], TextReader]:
    return cache(load_text_reader)


def plan_of(item: dict[str, Any], model: OnnxModel) -> Plan:
    path = BUNDLE / "pipelines" / f"{item['pipeline']}.json"
    return compile_pipeline(path.read_bytes(), {MODEL: model}, (), path.name)


def photograph(entry: dict[str, Any]) -> Pixels:
    data = (IMAGES / entry["file"]).read_bytes()
    return decode(data, probe(data))


def inspect(entry: dict[str, Any], model: OnnxModel, text_reader: Callable[[], TextReader]) -> RunResult:
    item, calibration = ITEMS[entry["item_code"]], read(BUNDLE / "calibrations.json")[0]
    context = RunContext(
        criteria=item["criteria"],
        scan={key: entry[key] for key in ("product_code", "lot", "serial")},
        calibration=Calibration(calibration["name"], calibration["um_per_px"], calibration["valid_until"]),
        now="2026-11-23T00:00:00.000Z",
    )
    return run(
        plan_of(item, model),
        photograph(entry),
        context,
        models={MODEL: model},
        assets=lambda sha256: pytest.fail(f"no pipeline of the demo uses an asset, asked for {sha256}"),
        monotonic=monotonic,
        text_reader=text_reader,
    )


def test_the_bundle_lists_every_file_with_its_size_and_sha256() -> None:
    listed = read(BUNDLE / "bundle.json")["files"]
    there = {path.relative_to(BUNDLE).as_posix(): path for path in BUNDLE.rglob("*") if path.is_file()}
    del there["bundle.json"]
    assert listed.keys() == there.keys()
    for name, path in there.items():
        data = path.read_bytes()
        assert listed[name] == {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def test_the_importer_reads_the_bundle_without_a_problem(tmp_path: Path) -> None:
    bundle = read_bundle(unpack(BUNDLE, tmp_path / "copy", no_progress))
    assert bundle.problems == []
    assert (len(bundle.items), len(bundle.users), len(bundle.pipelines)) == (4, 3, 3)


def test_everything_shipped_stays_small() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.suffix != ".pyc") < 1_500_000
    assert (PACKAGE / "model.onnx").stat().st_size < 1_000_000


def test_running_the_script_again_gives_the_shipped_documents(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE / "models", tmp_path / "bundle" / "models")
    make_bundle.write(tmp_path)
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    shipped = [path for folder in (BUNDLE, IMAGES) for path in folder.rglob("*") if path.is_file()]
    assert made == sorted(path.relative_to(DEMO).as_posix() for path in shipped)
    for name in made:
        if name.endswith(".json"):
            assert (tmp_path / name).read_bytes() == (DEMO / name).read_bytes(), name


def test_items_cover_every_inspection_type_with_sound_criteria() -> None:
    assert {item["inspection_type"] for item in ITEMS.values()} == {kind.value for kind in InspectionType}
    for item in ITEMS.values():
        assert parse_criteria(item["criteria"]).type == item["inspection_type"]
        assert item["product_code"] == read(BUNDLE / "products.json")[0]["product_code"]
        assert item["ai_enabled"] == ("pipeline" in item)


def test_the_demo_users_log_in_with_the_published_password() -> None:
    users = read(BUNDLE / "users.json")
    assert {user["username"] for user in users} == {"inspector", "technician", "admin"}
    for user in users:
        assert PasswordHasher().verify(user["password_hash"], make_bundle.PASSWORD)


def test_a_hot_folder_reads_from_every_file_name_what_expected_json_says() -> None:
    pattern = read(EXPECTED)["pattern"]
    folder = FolderConfig(name="demo", path=IMAGES, product=draw.PRODUCT_CODE, pattern=pattern)
    assert {entry["file"] for entry in ENTRIES} == {path.name for path in IMAGES.glob("*.jpg")}
    for entry in ENTRIES:
        keys = ("product_code", "item_code", "serial", "lot")
        assert bind(entry["file"], None, folder) == Binding(*(entry[key] for key in keys))


def test_the_samples_cover_every_defect_and_every_verdict() -> None:
    surfaces = {entry["truth"]["defect"] for entry in ENTRIES if entry["item_code"] == "SURFACE"}
    assert surfaces == set(draw.CLASSES)
    verdicts = {(entry["item_code"], entry["expected"]) for entry in ENTRIES}
    assert {("SURFACE", "OK"), ("SURFACE", "NG")} < verdicts
    for item in ("HOLE", "LOT"):
        assert {(item, "OK"), (item, "NG"), (item, "REVIEW")} < verdicts


def test_the_model_package_agrees_with_its_golden_samples(package: Package) -> None:
    verified = verify_package(PACKAGE)
    assert len(verified.golden) == len(draw.CLASSES)
    assert list(package.warnings) == []


@each_image
def test_each_sample_gets_its_expected_verdict(
    entry: dict[str, Any], model: OnnxModel, text_reader: Callable[[], TextReader]
) -> None:
    result = inspect(entry, model, text_reader)
    assert result.overall_result == entry["expected"], result.detailed_results
    details, truth = result.detailed_results, entry["truth"]
    if entry["item_code"] == "HOLE":
        assert details["measurements"][0]["unit"] == "mm"
        assert details["measurements"][0]["value"] == pytest.approx(truth["hole_mm"], abs=0.01)
    if entry["item_code"] == "LOT":
        assert details["texts"][0]["text"] == truth["printed_lot"]
    if entry["item_code"] == "SURFACE":
        assert details["classes"][0]["label"] == truth["defect"]
    overlay = result.pictures().overlay
    assert overlay is not None
    assert overlay.shape == (draw.HEIGHT_PX, draw.WIDTH_PX, 3)


@each_image
def test_the_label_of_each_sample_scans_as_its_target(entry: dict[str, Any]) -> None:
    codes = zxingcpp.read_barcodes(photograph(entry))
    assert len(codes) == 1
    scan = parse_scan(codes[0].text)
    assert (scan.product_code, scan.lot, scan.serial) == (draw.PRODUCT_CODE, entry["lot"], entry["serial"])


@each_image
def test_the_hole_has_the_area_of_its_diameter(entry: dict[str, Any]) -> None:
    """The simplest measure there is: dark pixels counted, thin scratches opened away."""
    x, y = draw.HOLE_CENTRE
    gray = cv2.cvtColor(photograph(entry), cv2.COLOR_BGR2GRAY)[y - 90 : y + 90, x - 90 : x + 90]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    dark = cv2.morphologyEx((gray < 100).astype(np.uint8), cv2.MORPH_OPEN, disc)
    diameter_px = 2 * np.sqrt(np.count_nonzero(dark) / np.pi)
    assert diameter_px * draw.UM_PER_PX / 1000 == pytest.approx(entry["truth"]["hole_mm"], abs=0.06)


def test_a_plate_and_a_seed_give_one_picture() -> None:
    plate = draw.random_plate(np.random.default_rng(5), "scratch")
    pictures = [draw.photograph(plate, np.random.default_rng(seed)) for seed in (7, 7, 8)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_the_large_frame_has_five_megapixels_and_a_readable_label() -> None:
    frame = decode(data := draw.plate_5mp(1), probe(data))
    assert frame.shape == (1944, 2592, 3)
    assert parse_scan(zxingcpp.read_barcodes(frame)[0].text).product_code == draw.PRODUCT_CODE
