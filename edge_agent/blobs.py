"""Image and asset files: durable before any row names them.

Rules of this file:
- A file is written under a temporary name, fsynced, renamed, and its directory fsynced: a crash leaves either
  nothing or the whole file. An orphan file is garbage, an orphan row would be a lie.
- `stage` writes, `commit` makes durable; of `Staged.path` and `Staged.final` exactly one exists.
- An image file belongs to exactly one row (its name is the image's id), so refusing one image can never take
  another's bytes; assets are shared, named by their sha256, and never deleted. See docs/adr/0002.
- Paths handed out are relative to the data directory; a path from outside is never joined to it unchecked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.disk import disk_errors, sync_directory, sync_file
from edge_agent.errors import Damaged

EXTENSIONS = {"image/jpeg": ".jpg", "image/png": ".png", "image/tiff": ".tif", "image/bmp": ".bmp"}
DRAWN = (".thumbnail.jpg", ".overlay.jpg", ".heatmap.jpg")


@dataclass(frozen=True, slots=True)
class Staged:
    """Bytes on disk that a power cut may still take. `file_path` is `final` below the data directory."""

    path: Path
    final: Path
    file_path: str


class Blobs:
    """The files below one data directory: `images/DAY/ID.EXT`, `assets/SHA256`, `staging/`."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self.data_dir = data_dir
        self._root = data_dir.resolve()
        self._clock = clock
        self._staging = data_dir / "staging"
        self.fsyncs = 0

    def prepare(self) -> None:
        """Makes the directories and removes what a crash left half-written."""
        for name in ("images", "assets", "models", "derived", "quarantine", "staging"):
            (self.data_dir / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self._staging.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def stage(self, data: bytes, image_id: str, mime_type: str, day: str) -> Staged:
        """Writes an image of that local calendar day (YYYY-MM-DD); not yet durable.

        Raises Unavailable (`disk-full`, `data-dir-read-only`).
        """
        return self._stage(data, f"images/{day}/{image_id}{EXTENSIONS[mime_type]}")

    def put_asset(self, data: bytes) -> str:
        """A template or reference image, durable; returns its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not (self.data_dir / "assets" / sha256).exists():
            self.commit([self._stage(data, f"assets/{sha256}")])
        return sha256

    def commit(self, staged: Sequence[Staged], executor: Executor | None = None) -> None:
        """Makes them durable; a directory is synced once for all, `executor` overlaps the file syncs."""
        with disk_errors():
            list((executor.map if executor and len(staged) > 1 else map)(sync_file, [s.path for s in staged]))
            for one in staged:
                os.replace(one.path, one.final)
            directories = {one.final.parent for one in staged}
            for directory in directories:
                sync_directory(directory)
            self.fsyncs += len(staged) + len(directories)

    def discard(self, staged: Staged) -> None:
        """Removes bytes that turned out to be no picture, or for which there is no session."""
        staged.path.unlink(missing_ok=True)
        staged.final.unlink(missing_ok=True)

    def remove(self, file_paths: Sequence[str]) -> None:
        """Removes files that are safe elsewhere, durably; one that is gone already is no error."""
        paths = [self.path_of(file_path) for file_path in file_paths]
        with disk_errors():
            for path in paths:
                path.unlink(missing_ok=True)
            for directory in {path.parent for path in paths if path.parent.is_dir()}:
                sync_directory(directory)

    def discard_drawn(self, image_id: str) -> None:
        """Removes the pictures drawn of an image that was not kept."""
        for ending in DRAWN:
            (self.data_dir / "derived" / f"{image_id}{ending}").unlink(missing_ok=True)

    def read(self, file_path: str) -> bytes:
        """The bytes a row names. Raises Damaged when they are gone."""
        try:
            return self.path_of(file_path).read_bytes()
        except OSError as error:
            raise Damaged(
                f"The file {file_path} cannot be read ({error.strerror}).",
                code="blob-missing",
                hint="Run `edge-agent check`; restore the file from the backup or the central server.",
            ) from None

    def path_of(self, file_path: str) -> Path:
        """Where `file_path` is; raises ValueError if it leads out of the data directory."""
        path = (self._root / file_path).resolve()
        if not path.is_relative_to(self._root):
            raise ValueError(f"{file_path!r} leads out of the data directory")
        return path

    def all_files(self) -> Iterator[str]:
        """Every image and asset file there is, relative to the data directory."""
        for top in ("images", "assets"):
            for path in sorted((self.data_dir / top).rglob("*")):
                if path.is_file():
                    yield path.relative_to(self.data_dir).as_posix()

    def _stage(self, data: bytes, file_path: str) -> Staged:
        final = self.data_dir / file_path
        path = self._staging / f"{self._clock.new_id()}.part"
        with disk_errors():
            if not final.parent.is_dir():
                final.parent.mkdir(mode=0o700)
                sync_directory(final.parent.parent)
            descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
            )
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
            except OSError:
                path.unlink(missing_ok=True)
                raise
        return Staged(path, final, file_path)
