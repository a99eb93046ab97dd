"""What is sent as a bundle or model package: a zip as it is, a folder zipped into a temporary file.

Rules of this file:
- Nothing is judged here: a link inside a folder is sent as a link, and the agent says what is wrong with it.
"""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge_agent.cli.options import file_error
from edge_agent.errors import BadInput

ZIP_TYPE = "application/zip"
ONNX_TYPE = "application/onnx"


@dataclass(frozen=True, slots=True)
class Package:
    """Bytes to send, from a file, and their Content-Type."""

    content: IO[bytes]
    content_type: str


@contextmanager
def as_package(path: Path) -> Iterator[Package]:
    """`path` (folder, zip or .onnx) ready to be sent. Raises BadInput (`file-unreadable`)."""
    is_onnx = path.suffix.lower() == ".onnx" and not path.is_dir()
    with _opened(path) as file:
        yield Package(file, ONNX_TYPE if is_onnx else ZIP_TYPE)


def _opened(path: Path) -> IO[bytes]:
    try:
        if not path.is_dir():
            return path.open("rb")
        return _zipped(path)
    except OSError as error:
        raise file_error(Path(error.filename or path), error) from None


def _zipped(folder: Path) -> IO[bytes]:
    with ExitStack() as unless_given_away:
        file = unless_given_away.enter_context(tempfile.TemporaryFile())
        zip_folder(folder, file)
        file.seek(0)
        unless_given_away.pop_all()
        return file


def zip_folder(folder: Path, file: IO[bytes]) -> None:
    """Every file below `folder` as a zip. Raises OSError, BadInput (`file-unreadable`)."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for directory, folders, names in os.walk(folder):
            links = [name for name in folders if Path(directory, name).is_symlink()]
            for name in sorted([*names, *links]):
                _add(archive, Path(directory, name), folder)


def _add(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    mode, name = path.lstat().st_mode, _printable(path.relative_to(folder).as_posix())
    if stat.S_ISLNK(mode):
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, os.readlink(path))
    elif stat.S_ISREG(mode):
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
    else:
        raise BadInput(f"{path} is no regular file.", code="file-unreadable")


def _printable(name: str) -> str:
    """A name a zip can hold; one that is not UTF-8 will be refused by the agent, with this name."""
    return name.encode("utf-8", "replace").decode("utf-8")
