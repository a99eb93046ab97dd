"""Idempotency-Key: the same request sent twice changes the database once and gets the same answer.

Rules of this file:
- The store records the key in the transaction of the change (`Actor.request_key`); here the answer is added
  afterwards and given again when the same request comes again. In between, a repetition is told the truth:
  409 `idempotency-replayed`, the change was made.
- A key belongs to one user. Another request under it is 422 `idempotency-mismatch`.
- Only successes are kept: what was refused changed nothing and may be sent again under the same key.
- Bodies that are streamed to disk count with their length only.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from edge_agent.api.auth import KEY_HEADER, principal_of, services_of
from edge_agent.api.problems import Refused
from edge_agent.clock import Clock
from edge_agent.store import requests
from edge_agent.store.database import Database

MAX_REPLY_BYTES = 1 << 20
KEPT_HEADERS = ("content-type", "location", "etag")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class KeyedRoute(APIRoute):
    """A route whose writes accept an Idempotency-Key."""

    streams_body = False

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if not (self.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            return handle

        async def keyed(request: Request) -> Response:
            if KEY_HEADER not in request.headers:
                return await handle(request)
            return await self._once(request, handle)

        return keyed

    async def _once(self, request: Request, handle: Handler) -> Response:
        services, key = services_of(request), principal_of(request).actor.request_key
        assert key is not None
        body = b"" if self.streams_body else await request.body()
        request_sha256 = fingerprint(request, body)
        if (known := await run_in_threadpool(replay, services.database, key, request_sha256)) is not None:
            return known
        response = await handle(request)
        if 200 <= response.status_code < 300 and (reply := pack(response)) is not None:
            await run_in_threadpool(keep, services.database, services.clock, key, request_sha256, reply)
        return response


class StreamedRoute(KeyedRoute):
    """A route whose body goes to a file and is never held in memory."""

    streams_body = True


def fingerprint(request: Request, body: bytes) -> str:
    """What makes two requests the same: method, path, query, type and body."""
    head = [request.method, request.url.path, request.url.query, request.headers.get("content-length", "")]
    digest = hashlib.sha256("\x1f".join(head).encode())
    digest.update(body)
    return digest.hexdigest()


def replay(database: Database, key: str, request_sha256: str) -> Response | None:
    """The answer kept for this key; None if there is none. Raises Refused (`idempotency-mismatch`)."""
    with database.read() as reader:
        kept = requests.find_reply(reader, key)
    if kept is None or kept.reply is None:
        return None
    if kept.request_sha256 != request_sha256:
        raise Refused("This Idempotency-Key belongs to another request.", "idempotency-mismatch", 422)
    return unpack(kept.reply)


def keep(database: Database, clock: Clock, key: str, request_sha256: str, reply: str) -> None:
    with database.write() as tx:
        requests.keep_reply(tx, key, request_sha256, reply, clock.now())


def pack(response: Response) -> str | None:
    """The answer as text; None for streams and very long ones, which are not given again."""
    body = getattr(response, "body", None)
    if not isinstance(body, bytes) or len(body) > MAX_REPLY_BYTES or "set-cookie" in response.headers:
        return None
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return json.dumps({"status": response.status_code, "headers": headers, "body": b64encode(body).decode()})


def unpack(reply: str) -> Response:
    kept = json.loads(reply)
    headers = {**kept["headers"], "idempotency-replayed": "true"}
    return Response(b64decode(kept["body"]), kept["status"], headers)
