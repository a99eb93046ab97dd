"""The masters of this example: one product, one item, one pipeline, one model package.

Rules of this file:
- Writes what docs/formats.md describes and nothing else; the model and its golden samples are given.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.solar_cells.graph import CLASSES, MEAN, SIDE_PX, STD, Array

PRODUCT, ITEM, PIPELINE, MODEL = "SOLAR-CELL", "EL", "solar-cell-el", "solar-cells"
LICENCE = "CC-BY-NC-SA-4.0 (trained on elpv-dataset; non-commercial)"


def write_bundle(folder: Path, model: bytes, goldens: Sequence[tuple[Path, Array]], *, version: str) -> Path:
    """A bundle in `folder` (replaced if it is there). `goldens`: a picture's path, and the probabilities."""
    shutil.rmtree(folder, ignore_errors=True)
    package = folder / "models" / f"{MODEL}-{version}"
    (package / "golden").mkdir(parents=True)
    (folder / "pipelines").mkdir()
    (package / "model.onnx").write_bytes(model)
    for path, _ in goldens:
        shutil.copyfile(path, package / "golden" / path.name)
    _write(package / "model.json", manifest(model, goldens, version))
    _write(folder / "products.json", [product(version)])
    _write(folder / "items.json", [item()])
    _write(folder / "pipelines" / f"{PIPELINE}.json", pipeline(version))
    head = {"schema": "bundle/1", "name": "solar-cells", "version": version, "files": _sums(folder)}
    _write(folder / "bundle.json", head)
    return folder


def manifest(model: bytes, goldens: Sequence[tuple[Path, Array]], version: str) -> dict[str, Any]:
    return {
        "schema": "model/1",
        "name": MODEL,
        "version": version,
        "task": "classify",
        "file": "model.onnx",
        "sha256": hashlib.sha256(model).hexdigest(),
        "size_bytes": len(model),
        "licence": LICENCE,
        "input": {
            "name": "image", "layout": "NCHW", "dtype": "float32", "size_px": [SIDE_PX, SIDE_PX],
            "colour": "GRAY", "resize": "stretch", "interpolation": "area",
            "scale": 1.0, "mean": [MEAN], "std": [STD],
        },
        "output": {"decoder": "classify", "activation": "none", "classes": list(CLASSES)},
        "golden": [_golden(path, answer) for path, answer in goldens],
    }  # fmt: skip


def product(version: str) -> dict[str, Any]:
    name = "太陽電池セル（EL 画像） / Solar cell, electroluminescence"
    return {"product_code": PRODUCT, "product_name": name, "version": version}


def item() -> dict[str, Any]:
    """`conf_min` 0.5: with two classes every cell is OK or NG, none is left to REVIEW."""
    return {
        "product_code": PRODUCT,
        "item_code": ITEM,
        "item_name": "EL 外観 / Electroluminescence",
        "inspection_type": "VISUAL",
        "ai_enabled": True,
        "pipeline": PIPELINE,
        "criteria": {"type": "VISUAL", "rule": "class", "accept": [CLASSES[0]], "conf_min": 0.5},
        "order_sequence": 1,
        "required": True,
    }


def pipeline(version: str) -> dict[str, Any]:
    classify = {
        "id": "cls", "type": "model.classify", "in": {"image": "$in.image"},
        "with": {"model": MODEL, "version": version},
    }  # fmt: skip
    judge = {"id": "judge", "type": "judge", "in": {"classes": "$cls.classes"}}
    return {
        "schema": "pipeline/1",
        "code": PIPELINE,
        "version": version,
        "inputs": {"image": "image"},
        "steps": [classify, judge],
        "outputs": {"verdict": "$judge.verdict"},
    }


def _golden(path: Path, answer: Array) -> dict[str, Any]:
    best = int(answer.argmax())
    expect = {"class": CLASSES[best], "confidence": round(float(answer[best]), 4)}
    return {"image": f"golden/{path.name}", "expect": expect, "tolerance": 0.02}


def _sums(folder: Path) -> dict[str, Any]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _sum(path.read_bytes()) for path in files}


def _sum(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
