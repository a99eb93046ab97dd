"""One sealed request and its sealed answer.

Rules of this file:
- The body is read on the event loop, and unpacked where the work is done.
- Compressed is what the other end can read: `zstd` or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from central_server.api.auth import Has
from sync_protocol.wire import ENCODING, MEDIA_TYPE, pack, unpack


@dataclass(frozen=True, slots=True)
class Exchange:
    """`arrived_s`: when the request was here (monotonic); it then waits for a worker."""

    body: bytes
    content_encoding: str
    accept_encoding: str
    arrived_s: float

    @property
    def document(self) -> bytes:
        """The request's document, its seal verified. Raises as `wire.unpack`."""
        return unpack(self.body, self.content_encoding)

    @property
    def encoding(self) -> str:
        """Of the answer's body."""
        return ENCODING if ENCODING in self.accept_encoding else ""

    def answer(self, document: bytes) -> Response:
        return self.answer_packed(pack(document, self.encoding))

    def answer_packed(self, body: bytes) -> Response:
        """`body` is packed in `encoding`."""
        headers = {"Content-Encoding": self.encoding} if self.encoding else {}
        return Response(body, 200, headers | {"Cache-Control": "no-store"}, MEDIA_TYPE)


async def exchange_of(request: Request, has: Has) -> Exchange:
    headers = request.headers
    return Exchange(
        await request.body(),
        headers.get("content-encoding", "").strip().lower(),
        headers.get("accept-encoding", "").lower(),
        has.clock.monotonic(),
    )


async def departure_of(request: Request) -> None:
    """Returns when the other end has gone. Only of a request that was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


Exchanged = Annotated[Exchange, Depends(exchange_of)]
