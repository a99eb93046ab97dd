"""A folder or zip from outside becomes a private copy: bounded, plain files only, every byte hashed.

Rules of this file:
- What is verified later is the copy, so nobody can change a file between its check and its use.
- Sizes and counts are checked before a byte is unpacked; a zip's directory before it is read.
- Links, devices, encrypted entries and names that leave the folder are never opened.
- Everything wrong is a `Problem`; only what makes going on pointless is raised.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from edge_agent.disk import disk_errors
from edge_agent.errors import BadDefinition, BadInput, NotFound, Problem
from edge_agent.file_names import collisions, fault_of

CHUNK_BYTES = 1 << 20
EPOCH = (1980, 1, 1, 0, 0, 0)
UNICODE_FLAG, ENCRYPTED_FLAG = 0x800, 0x1
END_OF_ZIP = b"PK\x05\x06"
ZIP64_LOCATOR = b"PK\x06\x07"
UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`; an exception it raises stops the work, and nothing was changed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`ratio`: unpacked bytes per packed byte of one file, from 1 MiB on."""

    packed_bytes: int = 512 << 20
    unpacked_bytes: int = 1 << 30
    files: int = 10_000
    directory_bytes: int = 8 << 20
    ratio: int = 200


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class FileFacts:
    sha256: str
    size_bytes: int


@dataclass(slots=True)
class Unpacked:
    """The private copy in `folder`: its files by name, and what could not be copied and why.

    `title` is what the source calls itself: its one outer folder, else its own name without `.zip`.
    """

    folder: Path
    title: str
    files: dict[str, FileFacts] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    size_bytes: int
    open: Callable[[], IO[bytes]]
    fault: tuple[str, str] | None = None


def unpack(source: Path, target: Path, progress: Progress, limits: Limits = LIMITS) -> Unpacked:
    """Copies the folder or zip `source` into `target`, which must not exist yet.

    A zip may hold one folder around everything. Raises NotFound, BadInput (`not-a-bundle`), BadDefinition
    (beyond the limits, no zip at all), Unavailable (disk).
    """
    if source.is_dir():
        entries = _bounded(list(_folder_entries(source, limits)), limits)
        return _copy(entries, Unpacked(target, source.resolve().name), progress)
    if not source.exists():
        raise NotFound(f"There is no {source}.", code="unknown-path")
    if not source.is_file():
        raise BadInput(f"{source} is neither a folder nor a zip file.", code="not-a-bundle")
    try:
        with source.open("rb") as stream:
            _check_directory(stream, limits)
            with zipfile.ZipFile(stream) as archive:
                entries = _bounded(list(_zip_entries(archive, limits)), limits)
                outer = _outer_folder(entries)
                skipped = len(outer) + 1 if outer else 0
                inner = [replace(entry, name=entry.name[skipped:]) for entry in entries]
                return _copy(inner, Unpacked(target, outer or source.stem), progress)
    except (zipfile.BadZipFile, UnicodeError, NotImplementedError, struct.error) as error:
        raise refused("bad-zip", f"{source.name} is not a readable zip file: {error}") from None


def refused(code: str, message: str, file: str = "") -> BadDefinition:
    return BadDefinition(message, [Problem(file, "", code, message)])


def _bounded(entries: list[_Entry], limits: Limits) -> list[_Entry]:
    if len(entries) > limits.files:
        raise refused("too-many-files", f"more than {limits.files} files")
    total = sum(entry.size_bytes for entry in entries)
    if total > limits.unpacked_bytes:
        raise refused("too-large", f"{total} bytes unpacked; at most {limits.unpacked_bytes} are allowed")
    return entries


def _copy(entries: list[_Entry], result: Unpacked, progress: Progress) -> Unpacked:
    with disk_errors():
        result.folder.mkdir(parents=True, mode=0o700)
    colliding = dict(collisions(entry.name for entry in entries if not fault_of(entry.name)))
    for done, entry in enumerate(entries):
        progress("unpack", done, len(entries))
        fault = _fault(entry, colliding)
        if fault is None:
            path = result.folder / PurePosixPath(entry.name)
            try:
                with entry.open() as source:
                    result.files[entry.name] = _copy_one(source, path, entry.size_bytes)
            except UNREADABLE as error:
                fault = ("damaged-file", f"cannot be read: {error}")
        if fault is not None:
            result.problems.append(Problem(_printable(entry.name), "", *fault))
    return result


def _fault(entry: _Entry, colliding: dict[str, str]) -> tuple[str, str] | None:
    if fault := fault_of(entry.name):
        return "bad-name", f"the name {fault}"
    if entry.name in colliding:
        return "name-collision", f"the name {colliding[entry.name]}"
    return entry.fault


def _copy_one(source: IO[bytes], path: Path, size_bytes: int) -> FileFacts:
    """Copies at most the announced bytes. Raises Unavailable (our disk), what reading `source` raises."""
    digest, left = hashlib.sha256(), size_bytes
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy = path.open("xb")
    try:
        while left > 0 and (chunk := source.read(min(left, CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
            with disk_errors():
                copy.write(chunk)
    finally:
        with disk_errors():  # the last bytes are written only now
            copy.close()
    return FileFacts(digest.hexdigest(), size_bytes - left)


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


# ── folders ────────────────────────────────────────────────────────────────────────────────────────────


def _folder_entries(source: Path, limits: Limits) -> Iterator[_Entry]:
    """Every file below `source`, links and devices with their fault; stops one past the limit."""
    found = 0
    for folder, subfolders, names in os.walk(source, onerror=_raise):
        linked = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
        subfolders.sort()
        for name in sorted([*names, *linked]):
            path = Path(folder) / name
            facts = path.lstat()
            fault = None if stat.S_ISREG(facts.st_mode) else ("not-a-file", "is a link or device, not a file")
            yield _Entry(path.relative_to(source).as_posix(), facts.st_size, _opener(path), fault)
            found += 1
            if found > limits.files:
                return


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return lambda: os.fdopen(os.open(path, flags), "rb")


def _raise(error: OSError) -> None:
    raise BadInput(f"{error.filename} cannot be read ({error.strerror}).", code="unreadable")


# ── zips ───────────────────────────────────────────────────────────────────────────────────────────────


def _check_directory(stream: IO[bytes], limits: Limits) -> None:
    """The zip's own end record, before `zipfile` reads as much as it says. Raises BadDefinition."""
    size = stream.seek(0, os.SEEK_END)
    if size > limits.packed_bytes:
        raise refused("too-large", f"{size} bytes packed; at most {limits.packed_bytes} are allowed")
    stream.seek(max(0, size - (1 << 16) - 42))
    tail = stream.read()
    at = len(tail) - 22 if tail[-22:-18] == END_OF_ZIP and tail[-2:] == b"\0\0" else tail.rfind(END_OF_ZIP)
    if at < 0 or len(tail) - at < 22:
        raise refused("bad-zip", "neither a folder nor a zip file")
    count, directory_bytes = struct.unpack_from("<HL", tail, at + 10)
    if tail[max(0, at - 20) : max(0, at - 16)] == ZIP64_LOCATOR or count > limits.files:
        raise refused("too-many-files", f"more than {limits.files} files, or a zip64 archive")
    if directory_bytes > limits.directory_bytes:
        raise refused("too-large", f"the zip's directory is larger than {limits.directory_bytes} bytes")


def _zip_entries(archive: zipfile.ZipFile, limits: Limits) -> Iterator[_Entry]:
    for info in archive.infolist():
        name = info.orig_filename
        if not (info.is_dir() and name.endswith("/") and not fault_of(name[:-1])):
            fault = _zip_fault(info, limits)
            yield _Entry(name, info.file_size, _member_opener(archive, info), fault)


def _member_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)


def _zip_fault(info: zipfile.ZipInfo, limits: Limits) -> tuple[str, str] | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "not-a-file", "is a link, folder or device, not a file"
    if not (info.orig_filename.isascii() or info.flag_bits & UNICODE_FLAG):
        return "bad-name", "the name is not marked as UTF-8"
    if info.flag_bits & ENCRYPTED_FLAG:
        return "encrypted", "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "bad-compression", "is compressed by a method other than deflate"
    if info.file_size > 1 << 20 and info.file_size > limits.ratio * info.compress_size:
        return "zip-ratio", f"unpacks to more than {limits.ratio} times its size"
    return None


def _outer_folder(entries: list[_Entry]) -> str:
    """The one folder that people's zip programs put around everything, or ""."""
    tops = {entry.name.split("/", 1)[0] for entry in entries}
    if len(tops) != 1 or any("/" not in entry.name for entry in entries):
        return ""
    top = tops.pop()
    return "" if fault_of(top) else top


def pack(folder: Path, names: Iterable[str], target: Path) -> None:
    """Writes the files `names` of `folder` into the zip `target`; the same files give the same bytes.

    Raises OSError.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            with (
                (folder / name).open("rb") as source,
                archive.open(zipfile.ZipInfo(name, EPOCH), "w") as entry,
            ):
                shutil.copyfileobj(source, entry, CHUNK_BYTES)


def no_progress(stage: str, done: int, total: int) -> None:
    """For callers that show none."""
