"""Unpacks a zip or copies a folder, within bounds and without leaving the target.

Rules of this file:
- Standard library only. Names and sizes are checked before the first byte is written, and sizes
  again while writing: a zip's directory may lie.
- No links, no absolute or `..` paths, nothing encrypted, no two names that differ only in case.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.manifest import inner_path

MAX_PACKED_BYTES = 512 << 20
MAX_UNPACKED_BYTES = 1 << 30
MAX_FILES = 10_000
CHUNK_BYTES = 1 << 20


def unpack(source: Path, target: Path) -> None:
    """Fills the existing, empty folder `target` from the zip or folder `source`, every file fsynced.

    A zip whose files all lie in one top folder is unpacked without it. Raises BadDefinition listing
    every name at fault.
    """
    if source.is_dir():
        _copy_folder(source, target)
        return
    try:
        _unpack_zip(source, target)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
        raise _refused([_problem(source.name, "bad-zip", f"not a readable zip: {error}")]) from error


def _unpack_zip(source: Path, target: Path) -> None:
    if source.stat().st_size > MAX_PACKED_BYTES:
        raise _refused([_problem(source.name, "too-large", f"packed, more than {MAX_PACKED_BYTES} bytes")])
    with zipfile.ZipFile(source) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        problems = [problem for entry in entries if (problem := _entry_problem(entry))]
        problems += check_names([entry.filename for entry in entries])
        problems += _size_problems(sum(entry.file_size for entry in entries), len(entries))
        if problems:
            raise _refused(problems)
        prefix = _common_folder([entry.filename for entry in entries])
        left = MAX_UNPACKED_BYTES
        for entry in entries:
            with archive.open(entry) as stream:
                left -= _write(stream, target / entry.filename[len(prefix) :], left)


def _copy_folder(source: Path, target: Path) -> None:
    paths = [path for path in sorted(source.rglob("*")) if path.is_symlink() or not path.is_dir()]
    names = [path.relative_to(source).as_posix() for path in paths[: MAX_FILES + 1]]
    problems = check_names(names)
    problems += [
        _problem(name, "not-a-file", "is a link or a device, not a plain file")
        for name, path in zip(names, paths, strict=False)
        if path.is_symlink() or not path.is_file()
    ]
    if not problems:
        problems = _size_problems(sum(path.stat().st_size for path in paths), len(paths))
    if problems:
        raise _refused(problems)
    left = MAX_UNPACKED_BYTES
    for name, path in zip(names, paths, strict=True):
        with path.open("rb") as stream:
            left -= _write(stream, target / name, left)


def check_names(names: Iterable[str]) -> list[Problem]:
    """What is wrong with the file names of a package or bundle."""
    problems, seen = [], set()
    for name in names:
        try:
            inner_path(name)
        except ValueError as error:
            problems.append(_problem(name[:200], "bad-path", str(error)))
        if name.casefold() in seen:
            problems.append(_problem(name, "duplicate-name", "there is another file of this name"))
        seen.add(name.casefold())
    return problems


def _entry_problem(entry: zipfile.ZipInfo) -> Problem | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return _problem(entry.filename, "not-a-file", "is a link or a device, not a plain file")
    if entry.flag_bits & 1:
        return _problem(entry.filename, "encrypted", "is encrypted")
    return None


def _size_problems(size_bytes: int, files: int) -> list[Problem]:
    found = []
    if size_bytes > MAX_UNPACKED_BYTES:
        found.append(
            _problem("", "too-large", f"{size_bytes} bytes unpacked, more than {MAX_UNPACKED_BYTES}")
        )
    if files > MAX_FILES:
        found.append(_problem("", "too-many-files", f"more than {MAX_FILES} files"))
    return found


def _common_folder(names: list[str]) -> str:
    tops = {name.split("/", 1)[0] for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""


def _write(stream: IO[bytes], path: Path, limit: int) -> int:
    """Copies at most `limit` bytes, durably; the number written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            written += len(chunk)
            if written > limit:
                raise _refused([_problem(path.name, "too-large", "unpacks to more than it declares")])
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return written


def _problem(file: str, code: str, message: str) -> Problem:
    return Problem(file, "", code, message)


def _refused(problems: list[Problem]) -> BadDefinition:
    return BadDefinition(f"the package has {len(problems)} problem(s)", problems)
