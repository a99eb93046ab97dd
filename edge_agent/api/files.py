"""Files as answers: with an ETag, so that a picture travels once.

Rules of this file:
- Only paths that a row or our own naming gave come here, never a path from a request.
- An original never changes under its id; what is drawn from it may, and is asked for again each time.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import Request
from fastapi.responses import FileResponse, Response

from edge_agent.errors import NotFound

FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"


def send_file(
    request: Request, path: Path, media_type: str, *, etag: str | None = None, cache: str = ASK_AGAIN
) -> Response:
    """The file, or 304 when the caller has it. Raises NotFound (`file-gone`)."""
    try:
        status = path.stat()
    except OSError:
        raise NotFound(
            "The file is not there.", code="file-gone", hint="Run `edge-agent check` and restore the backup."
        ) from None
    quoted = f'"{etag or tag_of(status)}"'
    headers = {"ETag": quoted, "Cache-Control": cache}
    if quoted in [
        known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")
    ]:
        return Response(None, 304, headers)
    return FileResponse(path, headers=headers, media_type=media_type, stat_result=status)


def tag_of(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"
