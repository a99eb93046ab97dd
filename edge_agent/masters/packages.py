"""Model packages on their way in: read, tried on this machine, put in place.

Rules of this file:
- A network from outside is loaded and run by the inference process only, never by the daemon.
- `models/NAME-VERSION/` appears whole or not at all: files and folders synced, then one rename, then a row.
- A folder without a row is what a crash left behind, and may be replaced; one with a row only when it is
  no longer what was verified.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent.disk import disk_error, disk_errors, sync_directory, sync_tree
from edge_agent.errors import BadDefinition, InferenceFailed, Problem
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
            problems += in_folder(error.problems, place)
            continue
        expected = f"{package.manifest.name}-{package.manifest.version}"
        if name != expected:
            message = f"the folder of this package must be called {expected}"
            problems.append(Problem(place, "", "name-mismatch", message))
        else:
            packages[name] = package
    return packages, problems


def install_apart(
    pool: InferencePool, source: Path, root: Path, name: str | None = None, version: str | None = None
) -> tuple[ModelPackage, tuple[str, ...]]:
    """Loads, tries and completes the package at `source` in a process of its own; it is in `root` then.

    Returns its record (times empty) and warnings. Raises BadDefinition (also when the network kills or
    hangs the process), InferenceFailed when there is no process to be had.
    """
    arguments: dict[str, Any] = {"source": str(source), "root": str(root)}
    arguments |= {"name": name, "version": version} if name and version else {}
    answer = _ask_apart(pool, "install", source.name, arguments)
    manifest = answer["manifest"]
    record = ModelPackage(
        name=manifest["name"],
        version=manifest["version"],
        task=manifest["task"],
        model_sha256=manifest["sha256"],
        manifest=manifest,
        golden_results=golden_results(answer),
        installed_at="",
        activated_at=None,
        is_active=False,
    )
    return record, tuple(answer["warnings"])


def verify_apart(pool: InferencePool, folder: Path) -> Mapping[str, Any]:
    """Loads the installed package and runs its golden samples in a process of its own: `manifest`, `golden`.

    Raises as `install_apart` does; a sample that disagrees is a problem `golden-differs`.
    """
    return _ask_apart(pool, "verify", folder.name, {"folder": str(folder)})


def golden_results(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the golden samples gave here, as it is kept: every one agreed, or there was no answer."""
    return [{"image": image, "agrees": True} for image in answer["golden"]]


def _ask_apart(pool: InferencePool, kind: str, subject: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
    try:
        return pool.request(kind, VERIFY_DEADLINE_S, **arguments).result()
    except InferenceFailed as error:
        if number := error.context.get("errno"):  # the process met our disk, not a fault of the network
            raise disk_error(OSError(number, os.strerror(number))) from error
        if error.code_ not in ("inference-crash", "inference-timeout"):
            raise
        message = f"the network cannot run here: {error.detail}"
        raise BadDefinition(f"{subject}: {message}", [Problem("", "", "model-crash", message)]) from error


def in_folder(problems: Iterable[Problem], place: str) -> list[Problem]:
    """Problems of a package as problems of what holds it."""
    return [replace(problem, file=f"{place}/{problem.file}".rstrip("/")) for problem in problems]


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


def is_same(one: ModelPackage, other: ModelPackage) -> bool:
    """Whether both judge alike: the same network, fed and read in the same way."""
    return (one.model_sha256, one.manifest) == (other.model_sha256, other.manifest)


def is_whole(data_dir: Path, package: ModelPackage) -> bool:
    """Whether network and manifest on disk are still those that were verified."""
    try:
        found = read_package(model_folder(data_dir, package.name, package.version))
    except (BadDefinition, OSError):
        return False
    return is_same(record_of(found, ""), package)


@contextmanager
def workspace(data_dir: Path, name: str) -> Iterator[Path]:
    """A private folder (not made yet) that is gone afterwards, whatever happens."""
    folder = imports_folder(data_dir) / name
    try:
        yield folder
    finally:
        remove_tree(folder)


def imports_folder(data_dir: Path) -> Path:
    """Where private copies lie; whatever is there at start was left by a crash."""
    return data_dir / "imports"


def remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def placed(
    data_dir: Path, work: Path, packages: Iterable[ModelPackage], is_known: Callable[[ModelPackage], bool]
) -> Iterator[None]:
    """The packages from `work/ready` where they stay, durable; gone again if the body fails.

    What lay there (left by a crash, or damaged) goes to `work/attic`; a package that `is_known` to the store
    stays even then: the verified files replaced damaged ones. Raises Unavailable (disk).
    """
    undo = []
    try:
        for package in packages:
            target = model_folder(data_dir, package.name, package.version)
            undo += [] if is_known(package) else [(package, target)]
            place(work / "ready" / target.name, target, work / "attic" / target.name)
        yield
    except BaseException:
        for package, target in undo:
            if not is_known(package):  # what failed may have come after the commit
                remove_tree(target)
        raise


def place(source: Path, target: Path, attic: Path) -> None:
    """Moves a verified folder to where it stays, durable; what is there goes to `attic`.

    Raises Unavailable (disk).
    """
    with disk_errors():
        sync_tree(source)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():
            attic.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.rename(target, attic)
        os.rename(source, target)
        sync_directory(target.parent)
