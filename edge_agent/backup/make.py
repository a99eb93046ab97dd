"""Making a backup while the agent runs: the database as of one commit, then the files that commit names.

Rules of this file:
- Nothing is called a backup before every byte of it was read back: it grows under a temporary name and is
  renamed when it has verified. Whatever interrupts it leaves no half backup, and the next one sweeps up.
- On the same disk image files are hard-linked: they never change once written, so a daily backup costs the
  database and the new pictures only. A link is no second copy: a dying disk takes both. For that, back up to
  another disk, where files are copied. Everything else is always copied.
- An image that is missing or was changed does not stop the backup of all the others: it is reported.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.backup.manifest import (
    DATABASE_FILE,
    MANIFEST_FILE,
    Entry,
    Manifest,
    Progress,
    file_faults,
    verify_backup,
)
from edge_agent.backup.rotation import made_at
from edge_agent.blobs import Blobs
from edge_agent.check.files import digest
from edge_agent.check.findings import finding
from edge_agent.check.records import named_assets
from edge_agent.clock import Clock
from edge_agent.disk import disk_errors, sync_directory, sync_file
from edge_agent.errors import Conflict
from edge_agent.models import Finding, ModelPackage
from edge_agent.store import masters, soundness
from edge_agent.store.copies import copy_database, examined
from edge_agent.store.database import Database, library_version

PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """`findings`: files the database names that could not be taken along; the rest is verified."""

    path: Path
    manifest: Manifest
    size_bytes: int
    linked_files: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to take along; `expected` None where only the file itself says what it is."""

    path: str
    expected: Entry | None
    subject: str
    may_link: bool
    may_be_gone: bool = False


def backup(
    database: Database,
    data_dir: Path,
    destination: Path,
    *,
    app_version: str,
    include_images: bool = True,
    progress: Progress = lambda step, done, of: None,
) -> BackupReport:
    """A verified backup in the new folder `destination`; the agent goes on working meanwhile.

    `progress` may raise to stop; then nothing is left. Raises Conflict (`backup-exists`), Damaged,
    Unavailable (`disk-full`, …).
    """
    if destination.exists():
        raise Conflict(f"{destination} already exists.", code="backup-exists", hint="Name a new folder.")
    with disk_errors():
        destination.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(destination.parent)
        partial = destination.with_name(f".{destination.name}{PARTIAL}")
        partial.mkdir(mode=0o700)
        try:
            report = _fill(partial, database, data_dir, app_version, include_images, progress)
            os.replace(partial, destination)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync_directory(destination.parent)
    size = sum(entry.size_bytes for entry in report.manifest.files.values())
    return BackupReport(destination, report.manifest, size, report.linked, tuple(report.findings))


def sweep(folder: Path) -> None:
    """Removes what interrupted backups and restores left (only one runs at a time), and nothing else: the
    folder may be a disk with other people's files."""
    for left in folder.glob(f".*{PARTIAL}"):
        name = left.name.removeprefix(".").removesuffix(PARTIAL)
        if name == "restore" or made_at(name) is not None:
            shutil.rmtree(left)


@dataclass(slots=True)
class _Filled:
    manifest: Manifest
    linked: int
    findings: list[Finding]


def _fill(
    folder: Path,
    database: Database,
    data_dir: Path,
    app_version: str,
    include_images: bool,
    progress: Progress,
) -> _Filled:
    clock = database.clock
    created_at = clock.now()
    copy_database(database.path, folder / DATABASE_FILE, lambda done, of: progress("database", done, of))
    sync_file(folder / DATABASE_FILE)
    files = {DATABASE_FILE: Entry(*digest(folder / DATABASE_FILE))}
    findings: list[Finding] = []
    linked = 0
    with examined(folder / DATABASE_FILE) as copy:
        sqlite_version = ".".join(map(str, library_version()))
        blobs, total = Blobs(data_dir, Clock()), soundness.count_images(copy) if include_images else 0
        for done, wanted in enumerate(wanted_files(copy, data_dir, include_images=include_images)):
            progress("files", min(done, total), total)
            taken = _take(wanted, blobs, folder)
            if isinstance(taken, Finding):
                findings.append(taken)
            elif taken is not None:
                files[wanted.path], is_linked = taken
                linked += is_linked
    for directory in {(folder / path).parent for path in files}:
        sync_directory(directory)
    manifest = Manifest(created_at, app_version, sqlite_version, include_images, files)
    (folder / MANIFEST_FILE).write_text(manifest.to_json(), "utf-8")
    sync_file(folder / MANIFEST_FILE)
    return _Filled(verify_backup(folder, progress), linked, findings)


def wanted_files(copy: sqlite3.Connection, data_dir: Path, *, include_images: bool) -> Iterator[Wanted]:
    """Every file the copied database names, and the settings file."""
    if (data_dir / "config.toml").is_file():
        yield Wanted("config.toml", None, "config.toml", may_link=False)
    for package in masters.list_models(copy):
        yield from _model_files(package, data_dir)
    for sha256, code in sorted(named_assets(copy).items()):
        expected = Entry(_size(data_dir / "assets" / sha256), sha256)
        yield Wanted(f"assets/{sha256}", expected, f"pipeline {code}", may_link=False)
    if include_images:
        for stored in soundness.image_files(copy):
            expected = Entry(stored.size_bytes, stored.sha256)
            gone = stored.uploaded_at is not None
            yield Wanted(
                stored.file_path, expected, f"image {stored.row_id}", may_link=True, may_be_gone=gone
            )


def _model_files(package: ModelPackage, data_dir: Path) -> Iterator[Wanted]:
    """The network as it was verified, and whatever lies beside it."""
    folder = data_dir / "models" / f"{package.name}-{package.version}"
    subject = f"model {package.name} {package.version}"
    network = folder / str(package.manifest.get("file", "model.onnx"))
    expected = Entry(_size(network), package.model_sha256)
    yield Wanted(network.relative_to(data_dir).as_posix(), expected, subject, may_link=False)
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != network):
        yield Wanted(path.relative_to(data_dir).as_posix(), None, subject, may_link=False)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _take(wanted: Wanted, blobs: Blobs, folder: Path) -> tuple[Entry, bool] | Finding | None:
    """Brings one file into the backup: what it is and whether it is a link; or why it is not there."""
    kind = wanted.subject.split()[0].replace("pipeline", "asset").replace("config.toml", "image")
    target = folder / wanted.path
    try:
        source = blobs.path_of(wanted.path)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_linked = wanted.may_link and _link(source, target)
        if not is_linked:
            shutil.copyfile(source, target)
            sync_file(target)
    except ValueError as error:
        return finding("path-outside", wanted.subject, str(error))
    except FileNotFoundError:
        return None if wanted.may_be_gone else finding(f"{kind}-missing", wanted.subject, wanted.path)
    entry = wanted.expected or Entry(*digest(target))
    if file_faults(folder, wanted.path, entry):
        target.unlink()
        return finding(f"{kind}-changed", wanted.subject, wanted.path)
    return entry, is_linked


def _link(source: Path, target: Path) -> bool:
    """Whether a hard link could be made: not across disks, not on every file system."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True
