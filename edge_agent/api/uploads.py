"""Bodies that are not JSON: pictures into memory, packages onto the disk, both bounded.

Rules of this file:
- A picture is the raw body, or the first file of a multipart form; it is held once, never spooled to disk.
- A package goes straight to a temporary file and is gone when the request is over.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from edge_agent.api.auth import principal_of, services_of
from edge_agent.api.limits import MAX_PICTURE_BYTES
from edge_agent.api.problems import Refused
from edge_agent.disk import disk_errors
from edge_agent.inspection.scan import clean

ONNX_TYPE = "application/onnx"
PICTURE_TYPES = ("image/jpeg", "image/png", "image/tiff", "image/bmp", "application/octet-stream")


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes sent, and the name under which they were."""

    data: bytes
    name: str


async def read_picture(
    request: Request, name: Annotated[str, Query(max_length=200, description="The file's name.")] = ""
) -> Picture:
    """Raises Refused: `picture-missing` (422), `picture-type` (415), `bad-request` (400)."""
    principal_of(request)  # whoever may not enter does not get to send 25 MB
    content_type = media_type_of(request)
    if content_type == "multipart/form-data":
        return await _from_form(request, name)
    if content_type not in PICTURE_TYPES:
        raise Refused(
            f"A picture is sent as {', '.join(PICTURE_TYPES)} or as a form, not as {content_type[:80]!r}.",
            "picture-type",
            415,
        )
    data = await request.body()
    if not data:
        raise _missing()
    return Picture(data, clean(name))


def media_type_of(request: Request) -> str:
    """The Content-Type without its parameters, lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _from_form(request: Request, name: str) -> Picture:
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=8)
    parser.spool_max_size = MAX_PICTURE_BYTES  # never onto the disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise Refused(f"The form cannot be read: {error}", "bad-request", 400) from None
    try:
        file = next((part for _, part in form.multi_items() if isinstance(part, UploadFile)), None)
        data = file.file.read() if file else b""
        if not file or not data:
            raise _missing()
        return Picture(data, clean(name or (file.filename or "")[:200]))
    finally:
        await form.close()


def _missing() -> Refused:
    return Refused("No picture was sent.", "picture-missing", 422)


async def read_package(request: Request) -> AsyncIterator[Path]:
    """The body in a temporary file on the data directory's own disk; `.onnx` if sent as such, else `.zip`."""
    principal_of(request)
    name = "upload.onnx" if media_type_of(request) == ONNX_TYPE else "upload.zip"
    directory = services_of(request).config.data_dir / "staging"
    with disk_errors(), tempfile.TemporaryDirectory(prefix="upload-", dir=directory) as folder:
        path = Path(folder) / name
        with path.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
        if not path.stat().st_size:
            raise Refused("No package was sent.", "package-missing", 422)
        yield path


@contextmanager
def kept_file(data_dir: Path, data: bytes) -> Iterator[Path]:
    """The bytes as a file for the inference process, in a directory of their own that goes with them."""
    with disk_errors(), tempfile.TemporaryDirectory(prefix="look-", dir=data_dir / "staging") as folder:
        path = Path(folder) / "picture"
        path.write_bytes(data)
        yield path


async def read_ack(request: Request) -> bytes:
    """Raises Refused: `ack-missing` (422)."""
    principal_of(request)
    data = await request.body()
    if not data:
        raise Refused("No file was sent.", "ack-missing", 422)
    return data


APicture = Annotated[Picture, Depends(read_picture)]
APackage = Annotated[Path, Depends(read_package)]
AnAck = Annotated[bytes, Depends(read_ack)]

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(PICTURE_TYPES, _BINARY),
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
PACKAGE_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/zip": _BINARY}}}
ACK_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}
}
MODEL_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/zip": _BINARY, ONNX_TYPE: _BINARY}}
}
