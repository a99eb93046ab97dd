"""From the store back to a bundle: the same format, ready to be imported elsewhere.

Rules of this file:
- Reads one snapshot; writes a private folder and moves it into place whole.
- A bundle that leaves this device verifies: a model or asset that is not whole stops the export.
- The same masters give the same bytes, zip included.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edge_agent.disk import disk_errors
from edge_agent.errors import Conflict, Damaged
from edge_agent.inference.definition import pin
from edge_agent.masters.bundle import HEAD_NAME
from edge_agent.masters.loading import asset_files
from edge_agent.masters.packages import file_sha256, is_whole, model_folder
from edge_agent.models import Item, ModelPackage, Pipeline, Product
from edge_agent.store import masters

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def export(
    reader: sqlite3.Connection,
    data_dir: Path,
    scratch: Path,
    target: Path,
    name_version: tuple[str, str],
    with_users: bool,
) -> list[str]:
    """Writes the bundle to `target` through the private folder `scratch`; the names of its files.

    Raises Conflict (`exists`), Damaged, Unavailable.
    """
    if target.exists():
        raise Conflict(f"{target} is already there.", code="exists", hint="Name a place that is free.")
    pipelines = masters.list_pipelines(reader)
    packages = _packages(pipelines, masters.list_models(reader))
    with disk_errors():
        scratch.mkdir(parents=True, mode=0o700)
        for name, document in _documents(reader, pipelines, with_users):
            _write(scratch / name, document)
        _copy_files(data_dir, scratch, pipelines, packages)
        _write(scratch / HEAD_NAME, _head(scratch, packages, *name_version))
        names = _names(scratch)
        _deliver(scratch, target, names)
    return names


def json_text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, sort_keys=True)


def _documents(
    reader: sqlite3.Connection, pipelines: list[Pipeline], with_users: bool
) -> Iterator[tuple[str, Any]]:
    products = masters.list_products(reader)
    codes = {pipeline.id: pipeline.code for pipeline in pipelines}
    yield "products.json", [_product(product) for product in products]
    yield (
        "items.json",
        [_item(item, p, codes) for p in products for item in masters.list_items(reader, p.id)],
    )
    for pipeline in pipelines:
        yield f"pipelines/{pipeline.code}.json", pipeline.definition
    calibrations = [_calibration(row) for row in masters.list_calibrations(reader)]
    if calibrations:
        yield "calibrations.json", calibrations
    if with_users:
        yield "users.json", [_user(row) for row in masters.rows(reader, "users") if row["password_hash"]]


def _product(product: Product) -> dict[str, Any]:
    return _without_none(
        product_code=product.product_code,
        product_name=product.product_name,
        version=product.version,
        description=product.description,
        id=product.id,
    )


def _item(item: Item, product: Product, codes: dict[str, str]) -> dict[str, Any]:
    return _without_none(
        product_code=product.product_code,
        item_code=item.item_code,
        item_name=item.item_name,
        inspection_type=item.inspection_type.value,
        ai_enabled=item.ai_enabled,
        pipeline=codes.get(item.pipeline_id or ""),
        criteria=item.criteria,
        order_sequence=item.order_sequence,
        required=item.required,
        id=item.id,
    )


def _user(row: dict[str, Any]) -> dict[str, Any]:
    names = ("username", "full_name", "role", "password_hash", "email", "server_id")
    return _without_none(**{name: row[name] for name in names}, is_active=bool(row["is_active"]))


def _calibration(row: dict[str, Any]) -> dict[str, Any]:
    return _without_none(
        name=row["name"],
        um_per_px=row["um_per_px"],
        valid_until=row["valid_until"],
        method=row["method"],
        camera=row["detail"].get("camera"),
    )


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _packages(pipelines: Iterable[Pipeline], packages: Iterable[ModelPackage]) -> list[ModelPackage]:
    """The active versions and those that pipelines name."""
    named = {key for pipeline in pipelines for key in _models_of(pipeline.definition)}
    return [package for package in packages if package.is_active or (package.name, package.version) in named]


def _models_of(definition: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    for step in pin(definition, {}).get("steps", ()):
        used = step.get("with", {})
        if "model" in used:
            yield used["model"], used.get("version")


def _assets_of(document: Any) -> Iterator[str]:
    """Every sha256 named as `sha256:…` anywhere in a definition."""
    if isinstance(document, str) and document.startswith("sha256:"):
        yield document.removeprefix("sha256:")
    for part in (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    ):
        yield from _assets_of(part)


def _copy_files(
    data_dir: Path, scratch: Path, pipelines: Iterable[Pipeline], packages: Iterable[ModelPackage]
) -> None:
    for package in packages:
        if not is_whole(data_dir, package):
            raise _not_whole(f"The network of {package.name} {package.version}")
        source = model_folder(data_dir, package.name, package.version)
        shutil.copytree(source, scratch / "models" / source.name)
    files = asset_files(data_dir)
    for sha256 in sorted({asset for pipeline in pipelines for asset in _assets_of(pipeline.definition)}):
        if sha256 not in files or file_sha256(files[sha256]) != sha256:
            raise _not_whole(f"The asset {sha256}")
        (scratch / "assets").mkdir(exist_ok=True)
        shutil.copyfile(files[sha256], scratch / "assets" / sha256)


def _head(scratch: Path, packages: Iterable[ModelPackage], name: str, version: str) -> dict[str, Any]:
    files = {
        file: {
            "sha256": hashlib.sha256((scratch / file).read_bytes()).hexdigest(),
            "size_bytes": (scratch / file).stat().st_size,
        }
        for file in _names(scratch)
    }
    active = {package.name: package.version for package in packages if package.is_active}
    return {"schema": "bundle/1", "name": name, "version": version, "files": files, "active": active}


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _deliver(scratch: Path, target: Path, names: list[str]) -> None:
    part = target.with_name(f".{target.name}.part")
    if target.suffix.lower() == ".zip":
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), (scratch / name).read_bytes())
    else:
        shutil.copytree(scratch, part)
    os.replace(part, target)


def _not_whole(what: str) -> Damaged:
    return Damaged(
        f"{what} is missing or no longer what was verified; nothing was exported.",
        code="model-damaged",
        hint="Import the bundle again, then export.",
    )
