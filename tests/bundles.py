"""Bundles for tests: a small good one, and ways to spoil it.

Rules of this file:
- `write_bundle` gives a folder that imports; a test changes one thing and calls `seal` if the change should
  not be caught by its checksum.
"""

from __future__ import annotations

import copy
import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests import onnx_models

LOOK: dict[str, Any] = {"type": "VISUAL", "rule": "class", "accept": ["bright"], "conf_min": 0.8}
LED = {
    "type": "FUNCTION",
    "rule": "checklist",
    "checks": [{"key": "led", "label": "LED点灯", "expect": True}],
}
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b6xiAdLEOV0Z3mkyNCMBBCG9gE"
PRODUCT: dict[str, Any] = {"product_code": "PLATE", "product_name": "金属板", "version": "1"}
ITEMS: list[dict[str, Any]] = [
    {
        "product_code": "PLATE",
        "item_code": "look",
        "item_name": "外観",
        "inspection_type": "VISUAL",
        "ai_enabled": True,
        "pipeline": "front",
        "criteria": LOOK,
        "order_sequence": 1,
        "required": True,
    },
    {
        "product_code": "PLATE",
        "item_code": "led",
        "item_name": "LED",
        "inspection_type": "FUNCTION",
        "ai_enabled": False,
        "criteria": LED,
        "order_sequence": 2,
        "required": True,
    },
]
USERS: list[dict[str, Any]] = [
    {"username": "sato", "full_name": "佐藤", "role": "inspector", "password_hash": HASH}
]
CALIBRATIONS: list[dict[str, Any]] = [
    {"name": "cam1", "um_per_px": 12.5, "valid_until": "2027-01-01T00:00:00Z", "camera": "cam1"}
]


def pipeline(code: str = "front", model: str = "bright", version: str | None = "1.0.0") -> dict[str, Any]:
    """A definition that aligns nothing and asks one classifier."""
    used = {"model": model} | ({"version": version} if version else {})
    return {
        "schema": "pipeline/1",
        "code": code,
        "version": "1.0.0",
        "inputs": {"image": "image"},
        "steps": [
            {"id": "cls", "type": "model.classify", "in": {"image": "$in.image"}, "with": used},
            {"id": "judge", "type": "judge", "in": {"classes": "$cls.classes"}},
        ],
        "outputs": {"verdict": "$judge.verdict"},
    }


def with_template(definition: dict[str, Any], sha256: str) -> dict[str, Any]:
    """The definition with an alignment to the asset before its classifier."""
    definition = copy.deepcopy(definition)
    fix = {"id": "fix", "type": "align.template", "in": {"image": "$in.image"}}
    definition["steps"].insert(0, fix | {"with": {"template": f"sha256:{sha256}"}})
    return definition


def write_model(models: Path, version: str = "1.0.0", *, name: str = "bright", **changes: Any) -> Path:
    """A package `NAME-VERSION/` that says bright or dark, with one golden sample."""
    folder = models / f"{name}-{version}"
    data = onnx_models.brightness_classifier()
    folder.mkdir(parents=True)
    (folder / "golden").mkdir()
    (folder / "model.onnx").write_bytes(data)
    cv2.imwrite(str(folder / "golden" / "white.png"), np.full((20, 20, 3), 255, np.uint8))
    document = {
        "schema": "model/1",
        "name": name,
        "version": version,
        "task": "classify",
        "file": "model.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "licence": "Apache-2.0",
        "input": {"name": "image", "size_px": [16, 16]},
        "output": {"decoder": "classify", "activation": "softmax", "classes": ["bright", "dark"]},
        "golden": [{"image": "golden/white.png", "expect": {"class": "bright"}, "tolerance": 0.01}],
    }
    put_json(folder / "model.json", document | changes)
    return folder


def write_bundle(
    folder: Path,
    documents: Mapping[str, Any] | None = None,
    *,
    models: tuple[str, ...] = ("1.0.0",),
    version: str = "1.0.0",
    **head: Any,
) -> Path:
    """The good bundle; `documents` replaces files by name (None removes one)."""
    folder.mkdir(parents=True)
    for model in models:
        write_model(folder / "models", model)
    template = cv2.imencode(".png", np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3))[1].tobytes()
    (folder / "assets").mkdir()
    (folder / "assets" / "template.png").write_bytes(template)
    good = {
        "products.json": [PRODUCT],
        "items.json": ITEMS,
        "users.json": USERS,
        "calibrations.json": CALIBRATIONS,
        "pipelines/front.json": with_template(pipeline(), hashlib.sha256(template).hexdigest()),
    }
    for name, document in {**good, **(documents or {})}.items():
        if document is not None:
            put_json(folder / name, document)
    return seal(folder, version=version, **head)


def put_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def seal(folder: Path, **head: Any) -> Path:
    """Writes bundle.json for what is there; `head` replaces its fields."""
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size_bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "bundle.json"
    }
    put_json(
        folder / "bundle.json",
        {"schema": "bundle/1", "name": "test", "version": "1.0.0", "files": files} | head,
    )
    return folder


def zipped(folder: Path, target: Path, outer: str = "") -> Path:
    """The folder as a zip, its files below `outer` if given."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"{outer}{path.relative_to(folder).as_posix()}")
    return target
