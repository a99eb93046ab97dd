"""Model packages on their way in: read, tried on this machine, put in place.

Rules of this file:
- A network from outside is loaded and run by the inference process only, never by the daemon.
- `models/NAME-VERSION/` appears whole or not at all: files and folders synced, then one rename, then a row.
- A folder without a row is what a crash left behind: it may be replaced. One with a row never is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent.blobs import disk_errors
from edge_agent.errors import BadDefinition, InferenceFailed, Problem, Unavailable
from edge_agent.inference.package import Package, read_package
from edge_agent.inference.worker import InferencePool
from edge_agent.models import ModelPackage

VERIFY_DEADLINE_S = 120.0
HASH_CHUNK_BYTES = 1 << 20


def model_folder(data_dir: Path, name: str, version: str) -> Path:
    return data_dir / "models" / f"{name}-{version}"


def record_of(package: Package, now: str) -> ModelPackage:
    """The package as the store knows it, before its golden samples have run here."""
    manifest = package.manifest
    return ModelPackage(
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        model_sha256=manifest.sha256,
        manifest=manifest.document(),
        golden_results=[],
        installed_at=now,
        activated_at=None,
        is_active=False,
    )


def read_packages(folder: Path, names: Iterable[str]) -> tuple[dict[str, Package], list[Problem]]:
    """The packages `models/NAME/` below `folder` by that name, and what is wrong with the others."""
    packages: dict[str, Package] = {}
    problems: list[Problem] = []
    for name in names:
        place = f"models/{name}"
        try:
            package = read_package(folder / "models" / name)
        except BadDefinition as error:
            problems += [replace(p, file=f"{place}/{p.file}" if p.file else place) for p in error.problems]
            continue
        expected = f"{package.manifest.name}-{package.manifest.version}"
        if name != expected:
            message = f"the folder of this package must be called {expected}"
            problems.append(Problem(place, "", "name-mismatch", message))
        else:
            packages[name] = package
    return packages, problems


def file_sha256(path: Path) -> str | None:
    """Hex sha256 of a file, None when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def is_whole(data_dir: Path, package: ModelPackage) -> bool:
    """Whether the network on disk is still the one that was verified."""
    folder = model_folder(data_dir, package.name, package.version)
    return file_sha256(folder / str(package.manifest["file"])) == package.model_sha256


def place(source: Path, target: Path, attic: Path) -> None:
    """Moves a verified folder to where it stays, durable; what a crash left there goes to `attic`.

    Raises Unavailable (disk).
    """
    with disk_errors():
        sync_tree(source)
        if target.exists():
            attic.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.rename(target, attic)
        os.rename(source, target)
        sync_path(target.parent)


def sync_tree(folder: Path) -> None:
    """Makes every file and folder below `folder`, and itself, durable. Raises OSError."""
    for place_, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_path(Path(place_) / name)
        sync_path(Path(place_))


def sync_path(path: Path) -> None:
    """Makes a file, or the names in a folder, durable. Raises OSError."""
    if os.name == "nt" and path.is_dir():  # Windows has no folder handles; NTFS journals renames
        return
    flags = os.O_RDWR if os.name == "nt" else os.O_RDONLY
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
