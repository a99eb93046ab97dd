"""Installs a model package: unpack, verify, load, warm up, compare with the golden samples, put in place.

Rules of this file:
- Runs in an inference process: what a foreign network does to it harms nothing else.
- Knows no database: activating what was installed is its caller's transaction.
- Until the last rename nothing is visible; a failure at any step leaves the root as it was.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.archive import no_progress, unpack
from edge_agent.disk import sync_directory, sync_tree
from edge_agent.errors import BadDefinition, Conflict, Problem
from edge_agent.inference.golden import GoldenResult, verify_golden
from edge_agent.inference.manifest import MANIFEST_NAME
from edge_agent.inference.package import Package, draft_document, read_package
from edge_agent.inference.runtime import PROVIDER, load_model


@dataclass(frozen=True, slots=True)
class Verified:
    """A package that loads on this machine and agrees with its golden samples."""

    package: Package
    golden: tuple[GoldenResult, ...]

    def document(self) -> dict[str, Any]:
        """As it travels to the daemon: manifest, folder, golden images compared, warnings, provider."""
        return {
            "folder": str(self.package.folder),
            "manifest": self.package.manifest.document(),
            "golden": [result.image for result in self.golden],
            "warnings": list(self.package.warnings),
            "provider": PROVIDER,
        }


def verify_package(folder: Path, threads: int = 1, cache_dir: Path | None = None) -> Verified:
    """Reads, loads and warms up the package and runs its golden samples; BadDefinition when any fails."""
    package = read_package(folder)
    model = load_model(folder, package.manifest, threads, cache_dir)
    results = verify_golden(model, package)
    problems = [
        Problem(MANIFEST_NAME, f"/golden/{index}", "golden-differs", f"{result.image}: {difference}")
        for index, result in enumerate(results)
        for difference in result.differences
    ]
    if problems:
        name = f"{package.manifest.name} {package.manifest.version}"
        raise BadDefinition(f"{name} does not agree with its golden samples on this machine", problems)
    return Verified(package, tuple(results))


def install_package(
    source: Path,
    root: Path,
    *,
    name: str | None = None,
    version: str | None = None,
    threads: int = 1,
    cache_dir: Path | None = None,
) -> Verified:
    """Puts the verified package into `root/NAME-VERSION/`, with a complete `model.json`.

    `source` is a folder, a zip, or a single exported `.onnx` file (then `name` and `version` are
    needed unless its file name is NAME-VERSION.onnx). The same package again is no change.
    Raises BadDefinition, or Conflict when that version is there with other content.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".incoming-") as scratch:
        staged = Path(scratch) / _folder_name(source, name, version)
        _stage(source, staged)
        _write_manifest(staged, name, version)
        verified = verify_package(staged, threads, cache_dir)
        manifest = verified.package.manifest
        final = root / f"{manifest.name}-{manifest.version}"
        if final.exists():
            _check_same(final, verified)
        else:
            sync_tree(staged)
            staged.rename(final)
            sync_directory(root)
    return Verified(read_package(final), verified.golden)


def _folder_name(source: Path, name: str | None, version: str | None) -> str:
    if name and version:
        return f"{name}-{version}"
    return source.name if source.is_dir() else source.stem


def _stage(source: Path, staged: Path) -> None:
    if source.suffix.lower() == ".onnx" and source.is_file():
        staged.mkdir()
        shutil.copyfile(source, staged / "model.onnx")
    elif source.exists():
        problems = unpack(source, staged, no_progress).problems
        if problems:
            raise BadDefinition(f"the package has {len(problems)} problem(s)", problems)
    else:
        message = f"{source} does not exist"
        raise BadDefinition(message, [Problem(source.name, "", "missing", message)])


def _write_manifest(staged: Path, name: str | None, version: str | None) -> None:
    """Completes the manifest on disk, so that what was recognised once is never recognised differently."""
    if not (staged / MANIFEST_NAME).exists():
        _store(staged / MANIFEST_NAME, draft_document(staged, name, version))
    _store(staged / MANIFEST_NAME, read_package(staged).manifest.document())


def _store(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_same(final: Path, verified: Verified) -> None:
    present = read_package(final).manifest
    if present != verified.package.manifest:
        raise Conflict(
            f"{present.name} {present.version} is installed with other content",
            code="version-exists",
            hint="A version never changes: give the new package a new version.",
        )
