"""What a request must pass before the application sees it: a bound on its size, and on how many are at work.

Rules of this file:
- Pure ASGI, before any routing. A body that says it is too large is refused unread, one that turns out to be is cut
  off where it exceeds the limit.
- A small body is read before the request takes a place, so that a slow sender holds up nobody.
- When all places are taken the answer is `throttled` at once; a device that is told so comes back, one that is left
  waiting sends everything again. Requests that only wait (`FREE`) take no place, and may have no body.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from central_server.api.problems import problem_response
from central_server.errors import Unavailable
from sync_protocol.wire import MAX_BODY_BYTES, TooLarge

MAX_PACKAGE_BYTES = 600 << 20
LARGE = frozenset(f"/api/v1/masters/{name}" for name in ("import", "packages", "assets"))
FREE = ("/health/", "/metrics", "/api/v1/sync/wait")


@dataclass(slots=True)
class Places:
    """How many requests are at work, how many were turned away, and what was answered (by status)."""

    limit: int
    taken: int = 0
    largest: int = 0
    refused: int = 0
    answers: Counter[int] = field(default_factory=Counter)

    def take(self) -> None:
        """Raises Unavailable (`throttled`)."""
        if self.taken >= self.limit:
            self.refused += 1
            raise Unavailable("throttled", f"{self.taken} requests are at work.", retry_after_s=2.0)
        self.taken += 1
        self.largest = max(self.largest, self.taken)

    def leave(self) -> None:
        self.taken -= 1


class Gate:
    """ASGI middleware; answers what it refuses with a problem document."""

    def __init__(self, app: ASGIApp, places: Places) -> None:
        self._app, self._places = app, places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(FREE):
            await self._app(scope, _counted(receive, 0), send)
            return
        limit, headers = limit_of(scope["path"]), Headers(scope=scope)
        try:
            require_size(headers.get("content-length", "0"), limit)
            if limit == MAX_BODY_BYTES:
                receive = await _read_before(receive, limit)
            self._places.take()
        except (TooLarge, Unavailable) as error:
            refusal = problem_response(error, headers.get("accept-language", ""))
            await refusal(scope, receive, self._noted(send))
            return
        try:
            await self._app(scope, _counted(receive, limit), self._noted(send))
        finally:
            self._places.leave()

    def _noted(self, send: Send) -> Send:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._places.answers[message["status"]] += 1
            await send(message)

        return noting


def limit_of(path: str) -> int:
    """Bytes that the body of a request to this path may have."""
    return MAX_PACKAGE_BYTES if path in LARGE else MAX_BODY_BYTES


def require_size(content_length: str, limit: int) -> None:
    """Raises TooLarge."""
    if not (content_length.isascii() and content_length.isdecimal()) or int(content_length[:20]) > limit:
        raise TooLarge(f"more than {limit} bytes")


async def _read_before(receive: Receive, limit: int) -> Receive:
    """The same messages again, all of them here already. Raises TooLarge."""
    messages, size = [await receive()], 0
    while True:
        last = messages[-1]
        size += len(last.get("body", b""))
        if size > limit:
            raise TooLarge(f"more than {limit} bytes")
        if last["type"] != "http.request" or not last.get("more_body"):
            break
        messages.append(await receive())
    messages.reverse()

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _counted(receive: Receive, limit: int) -> Receive:
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if total > limit:
            raise HTTPException(413)  # the one exception that FastAPI's body reading lets through
        return message

    return counting
