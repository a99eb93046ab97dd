"""From the store back to a bundle: the same format, ready to be imported elsewhere.

Rules of this file:
- Reads one snapshot; writes a private folder and moves it into place whole.
- A bundle that leaves this device verifies: a model or asset that is not whole stops the export.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from edge_agent.disk import disk_errors
from edge_agent.errors import Conflict, Damaged
from edge_agent.masters.loading import asset_files
from edge_agent.masters.packages import file_sha256, is_whole, model_folder
from edge_agent.masters.writing import (
    assets_of,
    bundle_documents,
    finish,
    wanted_packages,
    write_document,
)
from edge_agent.models import ModelPackage, Pipeline
from edge_agent.store import masters


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
    pipelines, products = masters.list_pipelines(reader), masters.list_products(reader)
    packages = wanted_packages(pipelines, masters.list_models(reader))
    documents = bundle_documents(
        products,
        [item for product in products for item in masters.list_items(reader, product.id)],
        pipelines,
        masters.list_calibrations(reader),
        masters.rows(reader, "users") if with_users else [],
    )
    with disk_errors():
        scratch.mkdir(parents=True, mode=0o700)
        for name, document in documents:
            write_document(scratch / name, document)
        _copy_files(data_dir, scratch, pipelines, packages)
        return finish(scratch, target, packages, name_version)


def _copy_files(
    data_dir: Path, scratch: Path, pipelines: Iterable[Pipeline], packages: Iterable[ModelPackage]
) -> None:
    for package in packages:
        if not is_whole(data_dir, package):
            raise _not_whole(f"The network of {package.name} {package.version}")
        source = model_folder(data_dir, package.name, package.version)
        shutil.copytree(source, scratch / "models" / source.name)
    files = asset_files(data_dir)
    for sha256 in sorted({asset for pipeline in pipelines for asset in assets_of(pipeline.definition)}):
        if sha256 not in files or file_sha256(files[sha256]) != sha256:
            raise _not_whole(f"The asset {sha256}")
        (scratch / "assets").mkdir(exist_ok=True)
        shutil.copyfile(files[sha256], scratch / "assets" / sha256)


def _not_whole(what: str) -> Damaged:
    return Damaged(
        f"{what} is missing or no longer what was verified; nothing was exported.",
        code="model-damaged",
        hint="Import the bundle again, then export.",
    )
