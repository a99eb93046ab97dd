"""How much a request may carry: little for JSON, a picture for pictures, a package for packages.

Rules of this file:
- Pure ASGI, before any routing: a body that says it is too large is refused unread, one that turns out to be
  is cut off where it exceeds the limit.
- FastAPI's own `max_body_size` is not used: it answers in plain text, past our problem documents and headers.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_agent.api.problems import from_http, problem_response

MAX_JSON_BYTES = 1 << 20
MAX_PICTURE_BYTES = 25_000_000
MAX_PACKAGE_BYTES = 600 << 20
MAX_ACK_BYTES = 64 << 20
BY_LAST_PART = {
    "images": MAX_PICTURE_BYTES,
    "picture": MAX_PICTURE_BYTES,
    "dry-run": MAX_PICTURE_BYTES,
    "measure": MAX_PICTURE_BYTES,
    "import": MAX_PACKAGE_BYTES,
    "install": MAX_PACKAGE_BYTES,
    "import-ack": MAX_ACK_BYTES,
}


def limit_of(path: str) -> int:
    """Bytes that a request to this path may carry."""
    return BY_LAST_PART.get(path.rsplit("/", 1)[-1], MAX_JSON_BYTES)


class BodyLimit:
    """ASGI middleware that refuses what is too large with a problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, limit = Headers(scope=scope), limit_of(scope["path"])
        said = headers.get("content-length", "0")
        if not (said.isascii() and said.isdecimal()) or int(said[:20]) > limit:
            refused = from_http(HTTPException(413), scope)
            await problem_response(refused, headers.get("accept-language", ""))(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)


def _counted(receive: Receive, limit: int) -> Receive:
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > limit:
                raise HTTPException(413)  # the one exception that FastAPI's body reading lets through
        return message

    return counting
