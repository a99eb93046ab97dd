"""The way of a device to the real application in this process and to the real object store, with faults to order.

Rules of this file:
- The device's side is the product's own `Central`; only its transport is ours.
- A fault is a function of the request and of what lets it through; each is used for as many requests as it is asked.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx
from fastapi.testclient import TestClient

from edge_agent.clock import Clock
from edge_agent.sync.central import Central

HOST = "central"
Through = Callable[[httpx.Request], httpx.Response]
Fault = Callable[[httpx.Request, Through], httpx.Response]


class Killed(BaseException):
    """The device's process ended at this request."""


class Reach(httpx.BaseTransport):
    """`log`: every request that was let through, as "METHOD place", place being the path at the centre or "store"."""

    def __init__(self, app: TestClient) -> None:
        self._app, self._store = app, httpx.HTTPTransport()
        self._faults: list[tuple[str, Fault]] = []
        self.log: list[str] = []
        self.sent_bytes = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        for number, (place, fault) in enumerate(self._faults):
            if place in place_of(request):
                del self._faults[number]
                return fault(request, self._through)
        return self._through(request)

    def close(self) -> None:
        self._store.close()

    def disturb(self, place: str, fault: Fault, times: int = 1) -> None:
        """The next requests whose place contains `place` meet the fault."""
        self._faults += [(place, fault)] * times

    def mend(self) -> None:
        self._faults.clear()

    def central(self, token: str, clock: Clock) -> Central:
        return Central(f"http://{HOST}", token, httpx.Client(transport=self), clock)

    def count(self, place: str) -> int:
        return sum(place in line for line in self.log)

    def _through(self, request: httpx.Request) -> httpx.Response:
        self.log.append(place_of(request))
        if request.url.host != HOST:
            self.sent_bytes += len(request.content)
            return self._store.handle_request(request)
        headers = dict(request.headers) | {"accept-encoding": "identity"}
        answer = self._app.request(
            request.method, str(request.url.raw_path.decode()), content=request.content, headers=headers
        )
        return httpx.Response(
            answer.status_code, headers=dict(answer.headers), stream=httpx.ByteStream(answer.content)
        )


def place_of(request: httpx.Request) -> str:
    at_centre = request.url.host == HOST
    return f"{request.method} {request.url.path.removeprefix('/api/v1') if at_centre else 'store'}"


# ── faults ──────────────────────────────────────────────────────────────────────────────────────────────


def refused(request: httpx.Request, _: Through) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def killed_before(_: httpx.Request, __: Through) -> httpx.Response:
    raise Killed


def killed_after(request: httpx.Request, through: Through) -> httpx.Response:
    through(request)
    raise Killed


def reply_lost(request: httpx.Request, through: Through) -> httpx.Response:
    through(request)
    raise httpx.ReadError("reset by peer", request=request)


def flipped(request: httpx.Request, through: Through) -> httpx.Response:
    body = bytearray(request.content)
    body[len(body) // 2] ^= 1
    return through(httpx.Request(request.method, request.url, headers=request.headers, content=bytes(body)))


def flipped_reply(request: httpx.Request, through: Through) -> httpx.Response:
    answer = through(request)
    body = bytearray(b"".join(answer.iter_raw()))
    body[len(body) // 2] ^= 1
    return httpx.Response(
        answer.status_code, headers=dict(answer.headers), stream=httpx.ByteStream(bytes(body))
    )


def truncated(request: httpx.Request, _: Through) -> httpx.Response:
    raise httpx.WriteError("broken pipe", request=request)


def answered(status: int, body: str = "") -> Fault:
    def fault(_: httpx.Request, __: Through) -> httpx.Response:
        return httpx.Response(status, stream=httpx.ByteStream(body.encode()))

    return fault
