"""A body as a file: what is uploaded is never held in memory.

Rules of this file:
- The gate bounds the size (`api.gate`); the file goes with the request.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from central_server.api.auth import Has
from central_server.api.operators import Editor
from edge_agent.disk import disk_errors
from edge_agent.errors import BadInput

ONNX_TYPE = "application/x-onnx"
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
ZIP_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/zip": _BINARY}}}
PACKAGE_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/zip": _BINARY, ONNX_TYPE: _BINARY}}
}
FILE_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}
}


async def received_file(request: Request, _: Editor, has: Has) -> AsyncIterator[Path]:
    """The body in a private folder; called `upload.onnx` if sent as that type, else `upload.zip`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    name = "upload.onnx" if media_type == ONNX_TYPE else "upload.zip"
    with disk_errors(), tempfile.TemporaryDirectory(prefix="upload-", dir=has.office.scratch) as folder:
        path = Path(folder) / name
        with path.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
        if not path.stat().st_size:
            raise BadInput("Nothing was sent.", code="package-missing", hint="Send the file as the body.")
        yield path


Received = Annotated[Path, Depends(received_file)]
