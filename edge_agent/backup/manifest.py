"""What a backup is: a folder with `manifest.json`, `edge.db` and the files the copied database names.

Rules of this file:
- The manifest lists every other file with size and sha256; a backup is good if all of it is exactly that.
- It is read as data from outside: paths that lead out of the folder make it Damaged, not followed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edge_agent.check.files import digest
from edge_agent.errors import Damaged, NotFound
from edge_agent.store.copies import examined

SCHEMA = "backup/1"
MANIFEST_FILE = "manifest.json"
DATABASE_FILE = "edge.db"

Progress = Callable[[str, int, int], None]
"""step (`database`, `files`, `verify`, …), done, of how many; may raise to stop."""


@dataclass(frozen=True, slots=True)
class Entry:
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """`files`: path below the backup → what it must be; `created_at` RFC 3339."""

    created_at: str
    app_version: str
    sqlite_version: str
    include_images: bool
    files: Mapping[str, Entry]

    def to_json(self) -> str:
        files = {path: asdict(entry) for path, entry in sorted(self.files.items())}
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "files"}
        return json.dumps({"schema": SCHEMA, **fields, "files": files}, indent=1, ensure_ascii=False)


def read_manifest(folder: Path) -> Manifest:
    """Raises NotFound (no backup there), Damaged (unreadable manifest)."""
    try:
        document = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
        return _parse(document)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{folder} is not a backup: it has no {MANIFEST_FILE}.", code="no-backup") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(f"its manifest cannot be read ({error!r})") from None


def _parse(document: Any) -> Manifest:
    if document["schema"] != SCHEMA:
        raise ValueError(f"unknown schema {document['schema']!r}")
    files = {check_path(path): Entry(**entry) for path, entry in document["files"].items()}
    if DATABASE_FILE not in files:
        raise ValueError("no database in it")
    fields = {name: document[name] for name in Manifest.__slots__ if name != "files"}
    return Manifest(**fields, files=files)


def check_path(path: str) -> str:
    """The path itself if it stays below its folder. Raises ValueError."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ":" in path or ".." in parts:
        raise ValueError(f"path {path!r} leads out of the backup")
    return path


def verify_backup(folder: Path, progress: Progress = lambda step, done, of: None) -> Manifest:
    """The manifest of a backup of which every file is whole and the database sound.

    Raises NotFound (`no-backup`), Damaged (`backup-damaged`, all faults in `context["faults"]`),
    Unavailable (`backup-newer`).
    """
    manifest = read_manifest(folder)
    faults: list[str] = []
    for done, (path, entry) in enumerate(manifest.files.items()):
        progress("verify", done, len(manifest.files))
        faults += file_faults(folder, path, entry)
    if faults:
        raise damaged(f"{len(faults)} of its files are not whole, first: {faults[0]}", faults=faults)
    with examined(folder / DATABASE_FILE):
        progress("verify", len(manifest.files), len(manifest.files))
    return manifest


def file_faults(folder: Path, path: str, entry: Entry) -> list[str]:
    try:
        size_bytes, sha256 = digest(folder / path)
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    return [] if (size_bytes, sha256) == (entry.size_bytes, entry.sha256) else [f"{path} was changed"]


def damaged(reason: str, **context: Any) -> Damaged:
    return Damaged(
        f"This backup cannot be used: {reason}.",
        code="backup-damaged",
        hint="Take an older backup; this one must not be relied on.",
        **context,
    )
