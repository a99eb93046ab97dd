"""A model package on disk: `read_package` says what it is, or everything that is wrong with it.

Rules of this file:
- Light: standard library and pydantic. The network itself is loaded by `runtime.py`, in the worker.
- `check_ports` is pure; the reading functions only read. Nothing outside the folder is ever opened:
  names are checked, links are refused.
- Any fault is a BadDefinition naming the file and the JSON pointer, all of them at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    inner_path,
    parse_manifest,
    read_document,
)
from edge_agent.inference.metadata import complete, read_hints
from edge_agent.inference.onnx_header import Header, Port, read_header

MAX_MODEL_BYTES = 1 << 30
FOLDER_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*?)-v?(\d[A-Za-z0-9.+_-]*)$")


@dataclass(frozen=True, slots=True)
class Package:
    """A model package as read: its manifest is complete, its bytes are those the manifest names.

    `warnings` are English sentences a technician should see (what was recognised rather than stated).
    """

    folder: Path
    manifest: Manifest
    header: Header
    warnings: tuple[str, ...]

    @property
    def model_path(self) -> Path:
        return self.folder / self.manifest.file

    def golden_path(self, image: str) -> Path:
        return self.folder / image


def read_package(folder: Path) -> Package:
    """Reads `folder` (`NAME-VERSION/` with `model.json`, or with nothing but one exported `.onnx`).

    Verifies size and sha256 of the network and that its inputs and outputs fit the manifest; does not
    load it. Raises BadDefinition with every problem found.
    """
    if not folder.is_dir() or folder.is_symlink():
        raise _refused("", "not-a-folder", f"{folder.name} is not a model package folder")
    document = _read_manifest(folder) if (folder / MANIFEST_NAME).exists() else draft_document(folder)
    file = document.get("file", "model.onnx")
    data = _read_model(folder, file)
    header = _header_of(data, str(file))
    hints = read_hints(header, document)
    manifest = parse_manifest(complete(document, hints.document))
    problems = [
        *_check_bytes(data, manifest),
        *check_ports(header, manifest),
        *_check_golden(folder, manifest),
    ]
    if problems:
        raise BadDefinition(f"{folder.name} has {len(problems)} problem(s)", problems)
    return Package(folder, manifest, header, hints.warnings)


def draft_document(folder: Path, name: str | None = None, version: str | None = None) -> dict[str, Any]:
    """The manifest of an export without `model.json`: name and version from the folder unless given."""
    networks = sorted(folder.glob("*.onnx"))
    if len(networks) != 1:
        message = f"there is no {MANIFEST_NAME}, and {len(networks)} .onnx files instead of one"
        raise _refused(MANIFEST_NAME, "missing", message)
    stated = FOLDER_NAME.match(folder.name)
    if not (name and version) and stated is None:
        message = "name the folder NAME-VERSION (such as pcb-1.0.0), or give a name and a version"
        raise _refused(MANIFEST_NAME, "missing", message)
    data = _read_model(folder, networks[0].name)
    return {
        "schema": "model/1",
        "name": name or (stated and stated[1]),
        "version": version or (stated and stated[2]),
        "file": networks[0].name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
    }


def check_ports(header: Header, manifest: Manifest) -> list[Problem]:
    """Every way in which the network's inputs and outputs contradict the manifest (pure)."""
    faults = [*_external_faults(header), *_input_faults(header, manifest), *_output_faults(header, manifest)]
    return [Problem(manifest.file, "", code, message) for code, message in faults]


Faults = Iterator[tuple[str, str]]


def _external_faults(header: Header) -> Faults:
    if header.external:
        yield (
            "external-data",
            f"{len(header.external)} tensor(s) are stored outside the file (first: {header.external[0]!r}); "
            "export again with all weights inside the .onnx file",
        )


def _input_faults(header: Header, manifest: Manifest) -> Faults:
    wanted = manifest.input
    ports = {port.name: port for port in header.inputs}
    if set(ports) != {wanted.name}:
        yield "input-name", f"the network's inputs are {sorted(ports)}, the manifest names {wanted.name!r}"
        return
    port = ports[wanted.name]
    if port.dtype != wanted.dtype:
        hint = "; export without half precision" if port.dtype == "float16" else ""
        yield "input-dtype", f"the network takes {port.dtype or 'no tensor'}, not {wanted.dtype}{hint}"
    width, height = wanted.size_px
    pixels = (wanted.channels, height, width) if wanted.layout == "NCHW" else (height, width, wanted.channels)
    expected: tuple[int | None, ...] = (1, *pixels)
    if port.shape is not None and len(port.shape) == 2:
        expected = (1, wanted.channels * height * width)
    if port.shape is not None and not _fits(port.shape, expected):
        yield "input-shape", f"the network takes {_show(port.shape)}, the manifest gives {_show(expected)}"


def _output_faults(header: Header, manifest: Manifest) -> Faults:
    names = {port.name for port in header.outputs}
    output = manifest.output
    if any(port.dtype in ("sequence", "map") for port in header.outputs):
        yield "output-kind", "an output is not a tensor; export scikit-learn classifiers with zipmap=False"
    if output.decoder == "anomalib" and "pred_score" not in names:
        yield "output-name", f"anomalib networks have an output pred_score; this one has {sorted(names)}"
    count = len(output.classes)
    shapes = {
        "yolov5": (1, None, 5 + count),
        "yolov8": (1, 4 + count, None),
        "yolo-end2end": (1, None, 6),
        "yolov8-seg": (1, 4 + count + _mask_coefficients(header.outputs), None),
    }
    expected = shapes.get(output.decoder)
    first = header.outputs[0].shape if header.outputs else None
    if expected and first is not None and not _fits(first, expected):
        yield (
            "output-shape",
            f"{output.decoder} with {count} class(es) gives {_show(expected)}, the network {_show(first)}",
        )


def _mask_coefficients(outputs: tuple[Port, ...]) -> int:
    prototypes = outputs[1].shape if len(outputs) > 1 else None
    return (prototypes[1] if prototypes and len(prototypes) == 4 else None) or 32


def _fits(shape: tuple[int | None, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        have is None or want is None or have == want for have, want in zip(shape, expected, strict=True)
    )


def _show(shape: tuple[int | None, ...]) -> str:
    return "[" + ",".join("?" if size is None else str(size) for size in shape) + "]"


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_NAME
    if path.is_symlink() or not path.is_file():
        raise _refused(MANIFEST_NAME, "not-a-file", f"{MANIFEST_NAME} must be a plain file")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise _refused(
            MANIFEST_NAME, "too-large", f"{MANIFEST_NAME} is larger than {MAX_MANIFEST_BYTES} bytes"
        )
    return read_document(path.read_bytes())


def _read_model(folder: Path, file: object) -> bytes:
    problem = _file_problem(folder, file, "/file")
    if problem:
        raise BadDefinition(f"{folder.name}: {problem.message}", [problem])
    path = folder / str(file)
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise _refused(str(file), "too-large", f"{file} is larger than {MAX_MODEL_BYTES} bytes")
    return path.read_bytes()


def _file_problem(folder: Path, file: object, place: str) -> Problem | None:
    try:
        path = folder / inner_path(file if isinstance(file, str) else "")
    except ValueError as error:
        return Problem(MANIFEST_NAME, place, "bad-path", str(error))
    links = [part for part in (path, *path.parents) if folder in part.parents and part.is_symlink()]
    if links or not path.is_file():
        what = "is a link, which packages may not hold" if links else "does not exist"
        return Problem(MANIFEST_NAME, place, "link" if links else "missing", f"{file} {what}")
    return None


def _header_of(data: bytes, file: str) -> Header:
    try:
        return read_header(data)
    except (ValueError, RecursionError) as error:
        raise _refused(file, "not-onnx", f"{file} is not a readable ONNX network: {error}") from None


def _check_bytes(data: bytes, manifest: Manifest) -> list[Problem]:
    if manifest.size_bytes not in (None, len(data)):
        message = f"{manifest.file} has {len(data)} bytes, the manifest says {manifest.size_bytes}"
        return [Problem(MANIFEST_NAME, "/size_bytes", "size-mismatch", message)]
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest.sha256:
        message = f"{manifest.file} has the sha256 {digest}, the manifest says {manifest.sha256}"
        return [Problem(MANIFEST_NAME, "/sha256", "sha256-mismatch", message)]
    return []


def _check_golden(folder: Path, manifest: Manifest) -> list[Problem]:
    found = [
        _file_problem(folder, golden.image, f"/golden/{index}/image")
        for index, golden in enumerate(manifest.golden)
    ]
    return [problem for problem in found if problem]


def _refused(file: str, code: str, message: str) -> BadDefinition:
    return BadDefinition(message, [Problem(file, "", code, message)])
