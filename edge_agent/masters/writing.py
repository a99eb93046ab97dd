"""A bundle written: its documents from records, its head, then a folder or zip that verifies.

Rules of this file:
- Knows no store: what is written comes in as records and files.
- The same masters give the same bytes, zip included.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_agent.archive import pack
from edge_agent.inference.definition import pin
from edge_agent.masters.bundle import HEAD_NAME
from edge_agent.models import Item, ModelPackage, Pipeline, Product


def json_text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, sort_keys=True)


def bundle_documents(
    products: Iterable[Product],
    items: Iterable[Item],
    pipelines: Sequence[Pipeline],
    calibrations: Iterable[dict[str, Any]],
    users: Iterable[dict[str, Any]],
) -> Iterator[tuple[str, Any]]:
    """(file name, document) of everything but models, assets and the head; `users` who may log in."""
    codes = {pipeline.id: pipeline.code for pipeline in pipelines}
    known = {product.id: product for product in products}
    yield "products.json", [product_document(product) for product in known.values()]
    yield "items.json", [item_document(item, known[item.target_id], codes) for item in items]
    for pipeline in pipelines:
        yield f"pipelines/{pipeline.code}.json", pipeline.definition
    if scales := [calibration_document(row) for row in calibrations]:
        yield "calibrations.json", scales
    if people := [user_document(row) for row in users if row["password_hash"]]:
        yield "users.json", people


def product_document(product: Product) -> dict[str, Any]:
    return _without_none(
        product_code=product.product_code,
        product_name=product.product_name,
        version=product.version,
        description=product.description,
        id=product.id,
    )


def item_document(item: Item, product: Product, codes: dict[str, str]) -> dict[str, Any]:
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


def user_document(row: dict[str, Any]) -> dict[str, Any]:
    names = ("username", "full_name", "role", "password_hash", "email", "server_id")
    return _without_none(**{name: row[name] for name in names}, is_active=bool(row["is_active"]))


def calibration_document(row: dict[str, Any]) -> dict[str, Any]:
    return _without_none(
        name=row["name"],
        um_per_px=row["um_per_px"],
        valid_until=row["valid_until"],
        method=row["method"],
        camera=row["detail"].get("camera"),
    )


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def wanted_packages(pipelines: Iterable[Pipeline], packages: Iterable[ModelPackage]) -> list[ModelPackage]:
    """The active versions and those that pipelines name."""
    named = {key for pipeline in pipelines for key in _models_of(pipeline.definition)}
    return [package for package in packages if package.is_active or (package.name, package.version) in named]


def _models_of(definition: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    for step in pin(definition, {}).get("steps", ()):
        used = step.get("with", {})
        if "model" in used:
            yield used["model"], used.get("version")


def assets_of(document: Any) -> Iterator[str]:
    """Every sha256 named as `sha256:…` anywhere in a definition."""
    if isinstance(document, str) and document.startswith("sha256:"):
        yield document.removeprefix("sha256:")
    for part in (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    ):
        yield from assets_of(part)


def write_document(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def finish(
    scratch: Path, target: Path, packages: Iterable[ModelPackage], name_version: tuple[str, str]
) -> list[str]:
    """Completes the bundle in `scratch` with its head and moves it to `target`, a zip if that ends so.

    The names of its files. Raises OSError.
    """
    write_document(scratch / HEAD_NAME, _head(scratch, packages, *name_version))
    names = _names(scratch)
    _deliver(scratch, target, names)
    return names


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


def _deliver(scratch: Path, target: Path, names: list[str]) -> None:
    part = target.with_name(f".{target.name}.part")
    if target.suffix.lower() == ".zip":
        pack(scratch, names, part)
    else:
        shutil.copytree(scratch, part)
    os.replace(part, target)
