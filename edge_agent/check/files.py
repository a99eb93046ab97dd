"""The files' part of the check: images, drawn pictures, staging, models, assets.

Rules of this file:
- Every file a row names is read whole and hashed; every file there is must be named by a row.
- Rows are looked up one by one: memory does not grow with the number of images.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from edge_agent.blobs import Blobs
from edge_agent.check.findings import finding
from edge_agent.check.records import named_assets
from edge_agent.clock import Clock
from edge_agent.models import Finding, ModelPackage
from edge_agent.store import masters, soundness
from edge_agent.store.soundness import StoredFile

STILL_ARRIVING_S = 600.0
ID_LENGTH = 36


class FileCheck:
    """`now_s`: Unix seconds while the daemon runs, None when it does not and every orphan counts."""

    def __init__(
        self,
        data_dir: Path,
        reader: sqlite3.Connection,
        now_s: float | None,
        report: Callable[[str, int, int | None], None],
    ) -> None:
        self._dir, self._reader, self._now_s, self._report = data_dir, reader, now_s, report
        self._blobs = Blobs(data_dir, Clock())

    def parts(self) -> list[tuple[str, Callable[[], Iterable[Finding]]]]:
        return [
            ("images", self.images),
            ("orphans", self.orphans),
            ("derived", self.derived),
            ("staging", self.staging),
            ("models", self.models),
            ("assets", self.assets),
        ]

    def images(self) -> Iterator[Finding]:
        total = soundness.count_images(self._reader)
        for done, stored in enumerate(soundness.image_files(self._reader)):
            self._report("images", done, total)
            yield from self._image(stored)

    def _image(self, stored: StoredFile) -> Iterator[Finding]:
        subject = f"image {stored.row_id}"
        try:
            path = self._blobs.path_of(stored.file_path)
        except ValueError as error:
            yield finding("path-outside", subject, str(error))
            return
        try:
            size, sha256 = digest(path)
        except FileNotFoundError:
            if not self._may_be_gone(stored):
                yield finding("image-missing", subject, f"{stored.file_path} is not there")
        except OSError as error:
            yield finding("image-unreadable", subject, f"{stored.file_path}: {error.strerror}")
        else:
            if (size, sha256) != (stored.size_bytes, stored.sha256):
                detail = f"{stored.file_path} has {size} bytes, expected {stored.size_bytes} and its sha256"
                yield finding("image-changed", subject, detail)

    def orphans(self) -> Iterator[Finding]:
        for path in self._files("images"):
            relative = path.relative_to(self._dir).as_posix()
            if soundness.image_path(self._reader, path.stem) != relative and not self._may_still_arrive(path):
                yield finding("image-orphan", relative, "no row names it")

    def derived(self) -> Iterator[Finding]:
        for path in self._files("derived"):
            relative = path.relative_to(self._dir).as_posix()
            if self._may_still_arrive(path):
                continue
            if soundness.image_path(self._reader, path.name[:ID_LENGTH]) is None:
                yield finding("derived-orphan", relative, "no row has its id")
            elif path.stat().st_size == 0:
                yield finding("derived-empty", relative, "it has no bytes")

    def staging(self) -> Iterator[Finding]:
        for path in self._files("staging"):
            if not self._may_still_arrive(path):
                yield finding(
                    "staging-leftover", path.relative_to(self._dir).as_posix(), "it was never finished"
                )

    def models(self) -> Iterator[Finding]:
        packages = masters.list_models(self._reader)
        for package in packages:
            yield from self._model(package)
        known = {f"{package.name}-{package.version}" for package in packages}
        for folder in sorted((self._dir / "models").glob("*")):
            if folder.name not in known and not self._may_still_arrive(folder):
                yield finding("model-orphan", f"models/{folder.name}", "no row names it")

    def _model(self, package: ModelPackage) -> Iterator[Finding]:
        file_path = f"models/{package.name}-{package.version}/{package.manifest.get('file', 'model.onnx')}"
        subject = f"model {package.name} {package.version}"
        try:
            if digest(self._blobs.path_of(file_path))[1] != package.model_sha256:
                yield finding("model-changed", subject, f"the sha256 of {file_path} does not match")
        except ValueError as error:
            yield finding("path-outside", subject, str(error))
        except OSError as error:
            yield finding("model-missing", subject, f"{file_path}: {error.strerror}")

    def assets(self) -> Iterator[Finding]:
        for path in self._files("assets"):
            if digest(path)[1] != path.name and not self._may_still_arrive(path):
                yield finding("asset-changed", f"assets/{path.name}", "its sha256 is not its name")
        for sha256, code in sorted(named_assets(self._reader).items()):
            if not (self._dir / "assets" / sha256).is_file():
                yield finding("asset-missing", f"assets/{sha256}", f"pipeline {code} names it")

    def _files(self, top: str) -> Iterator[Path]:
        """Every file below, a directory at a time, in order; links and odd things count as files."""
        for directory, folders, names in os.walk(self._dir / top):
            folders.sort()
            for name in sorted(names):
                yield Path(directory, name)

    def _may_be_gone(self, stored: StoredFile) -> bool:
        """Evicted, or perhaps since the row was read: what the centre has verified may go at any moment."""
        return stored.evicted_at is not None or (self._now_s is not None and stored.uploaded_at is not None)

    def _may_still_arrive(self, path: Path) -> bool:
        if self._now_s is None:
            return False
        try:
            return self._now_s - path.stat().st_mtime < STILL_ARRIVING_S
        except FileNotFoundError:  # finished while we looked
            return True


def digest(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256. Raises OSError."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256")
        return file.tell(), sha256.hexdigest()
