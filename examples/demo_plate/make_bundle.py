"""Writes the demo's masters and sample photographs around the model package that `train.py` made.

    .venv/bin/python -m examples.demo_plate.make_bundle     # from the repository's root

Rules of this file:
- Everything but the model follows from the tables below: run twice, the same bytes.
- The passwords are public on purpose: these users exist in the demo only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from argon2 import PasswordHasher

from edge_agent.demo import DEMO
from examples.demo_plate import draw
from examples.demo_plate.draw import Plate

SEED = 26
PASSWORD = "demo"
FILE_PATTERN = r"(?P<serial>[A-Z0-9]{1,32})_(?P<lot>[A-Z0-9]{1,32})_(?P<item>[A-Z]{1,16})\.jpg"
ITEMS = ("SURFACE", "HOLE", "LOT")
USERS = (("inspector", "検査員（デモ）"), ("technician", "保全担当（デモ）"), ("admin", "管理者（デモ）"))

# What was photographed: the plate, and per photograph the item and what the AI must say of it.
SAMPLES: tuple[tuple[Plate, dict[str, str]], ...] = (
    (Plate("P0001", "L2611A07", hole_mm=12.02), {"SURFACE": "OK", "HOLE": "OK", "LOT": "OK"}),
    (Plate("P0002", "L2611A07", hole_mm=11.94), {"SURFACE": "OK", "HOLE": "OK", "LOT": "OK"}),
    (Plate("P0003", "L2611K12", "scratch"), {"SURFACE": "NG", "HOLE": "OK", "LOT": "OK"}),
    (Plate("P0004", "L2611K12", "dent"), {"SURFACE": "NG"}),
    (Plate("P0005", "L2611K12", "stain"), {"SURFACE": "NG"}),
    (Plate("P0006", "L2611K12", "missing_hole"), {"SURFACE": "NG"}),
    (Plate("P0007", "L2611R03", hole_mm=12.31), {"HOLE": "NG"}),
    (Plate("P0008", "L2611R03", hole_mm=12.13), {"HOLE": "REVIEW"}),
    (Plate("P0009", "L2611R03", printed_lot="L2610R03"), {"LOT": "NG"}),
    (Plate("P0010", "L2611B04", printed_lot="L2611804"), {"LOT": "REVIEW"}),
)


def samples() -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each sample's entry in expected.json and its JPEG."""
    for number, (plate, verdicts) in enumerate(SAMPLES):
        for item, expected in verdicts.items():
            rng = np.random.default_rng([SEED, number, ITEMS.index(item)])
            yield _entry(plate, item, expected), draw.jpeg(draw.photograph(plate, rng))


def _entry(plate: Plate, item: str, expected: str) -> dict[str, Any]:
    return {
        "file": f"{plate.serial}_{plate.lot}_{item}.jpg",
        "product_code": draw.PRODUCT_CODE,
        "item_code": item,
        "serial": plate.serial,
        "lot": plate.lot,
        "expected": expected,
        "truth": {
            "defect": plate.defect,
            "hole_mm": plate.hole_mm,
            "printed_lot": plate.printed_lot or plate.lot,
        },
    }


def products() -> list[dict[str, Any]]:
    return [
        {
            "product_code": draw.PRODUCT_CODE,
            "product_name": "デモ用プレート / Demo plate",
            "version": "1.0.0",
            "description": "描画で作った金属プレート。実在の製品ではありません。"
            " A plate drawn by a program; not a real product.",
        }
    ]


def items() -> list[dict[str, Any]]:
    """One item per inspection type, in the order an inspector takes them."""
    surface = {"type": "VISUAL", "rule": "class", "accept": ["OK"], "conf_min": 0.8}
    hole = {
        "type": "DIMENSION", "rule": "range", "unit": "mm", "nominal": draw.HOLE_MM, "tol": [-0.15, 0.15],
        "guard": 0.04, "calibration": "demo-camera",
    }  # fmt: skip
    lot = {
        "type": "TEXT", "rule": "match", "expect": {"from": "scan.lot"},
        "normalize": ["NFKC", "upper", "nospace"], "confusables": ["0O", "1I", "8B"], "conf_min": 0.9,
    }  # fmt: skip
    checks = [{"key": "led", "label": "LED点灯 / LED lit", "expect": True}]
    led = {"type": "FUNCTION", "rule": "checklist", "checks": checks}
    return [
        _item(1, "SURFACE", "表面 / Surface", surface, "plate-surface"),
        _item(2, "HOLE", "穴径 / Hole diameter", hole, "plate-hole"),
        _item(3, "LOT", "ロット番号 / Lot number", lot, "plate-lot"),
        _item(4, "LED", "表示灯 / Status LED", led, None),
    ]


def _item(order: int, code: str, name: str, criteria: dict[str, Any], pipeline: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "product_code": draw.PRODUCT_CODE,
        "item_code": code,
        "item_name": name,
        "inspection_type": criteria["type"],
        "ai_enabled": pipeline is not None,
        "criteria": criteria,
        "order_sequence": order,
        "required": True,
    }
    return row if pipeline is None else {**row, "pipeline": pipeline}


def pipelines() -> list[dict[str, Any]]:
    return [_surface(), _hole(), _lot()]


def _surface() -> dict[str, Any]:
    classify = _step("cls", "model.classify", {"image": "$in.image"}, model="plate-defects", version="1.0.0")
    return _pipeline("plate-surface", [classify], {"classes": "$cls.classes"}, {})


def _hole() -> dict[str, Any]:
    side = 180
    x, y = (centre - side // 2 for centre in draw.HOLE_CENTRE)
    crop = _step("roi", "image.crop", {"image": "$in.image"}, rect_px=[x, y, side, side])
    size = _step(
        "size", "measure.distance", {"image": "$roi.image"},
        method="circle", center_px=[side / 2, side / 2], radius_px=[48, 72], edge="dark-inside", unit="mm",
    )  # fmt: skip
    return _pipeline("plate-hole", [crop, size], {"quantity": "$size.quantity"}, {"objects": "$size.objects"})


def _lot() -> dict[str, Any]:
    x, y, width, height = draw.LOT_BOX
    crop = _step("roi", "image.crop", {"image": "$in.image"}, rect_px=[x + 2, y + 4, width - 4, height - 8])
    read = _step("read", "text.read", {"image": "$roi.image"}, find_lines=False)
    return _pipeline("plate-lot", [crop, read], {"text": "$read.text"}, {})


def _pipeline(
    code: str, steps: list[dict[str, Any]], evidence: dict[str, str], drawn: dict[str, str]
) -> dict[str, Any]:
    judge = _step("judge", "judge", evidence)
    view = _step("view", "draw.overlay", {"image": "$in.image", "verdict": "$judge.verdict", **drawn})
    return {
        "schema": "pipeline/1",
        "code": code,
        "version": "1.0.0",
        "inputs": {"image": "image"},
        "steps": [*steps, judge, view],
        "outputs": {"verdict": "$judge.verdict", "overlay": "$view.image"},
    }


def _step(id_: str, type_: str, inputs: dict[str, str], **parameters: Any) -> dict[str, Any]:
    return {"id": id_, "type": type_, "in": inputs, "with": parameters}


def users() -> list[dict[str, Any]]:
    """One per role the demo shows; fixed salts, so that the file is the same each time."""
    hasher = PasswordHasher()
    return [
        {
            "username": name,
            "full_name": full_name,
            "role": name,
            "password_hash": hasher.hash(PASSWORD, salt=hashlib.sha256(name.encode()).digest()[:16]),
        }
        for name, full_name in USERS
    ]


def calibrations() -> list[dict[str, Any]]:
    return [
        {
            "name": "demo-camera",
            "um_per_px": draw.UM_PER_PX,
            "valid_until": "2099-12-31T00:00:00.000Z",
            "method": "drawn to scale",
        }
    ]


def write(demo: Path) -> None:
    """`demo/images` and, around the model package already in it, `demo/bundle`."""
    bundle, images = demo / "bundle", demo / "images"
    (bundle / "pipelines").mkdir(parents=True, exist_ok=True)
    images.mkdir(exist_ok=True)
    documents = (
        ("products", products()),
        ("items", items()),
        ("users", users()),
        ("calibrations", calibrations()),
    )
    for name, document in documents:
        _write_json(bundle / f"{name}.json", document)
    for pipeline in pipelines():
        _write_json(bundle / "pipelines" / f"{pipeline['code']}.json", pipeline)
    _write_json(bundle / "bundle.json", _head(bundle))
    entries = []
    for entry, encoded in samples():
        (images / entry["file"]).write_bytes(encoded)
        entries.append(entry)
    _write_json(images / "expected.json", {"pattern": FILE_PATTERN, "images": entries})


def _head(bundle: Path) -> dict[str, Any]:
    files = {
        path.relative_to(bundle).as_posix(): path.read_bytes()
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path.name != "bundle.json"
    }
    listed = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        for name, data in files.items()
    }
    return {"schema": "bundle/1", "name": "demo-plate", "version": "1.0.0", "files": listed}


def _write_json(path: Path, document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    path.write_bytes(text.encode("utf-8"))


if __name__ == "__main__":
    write(DEMO)
