"""The wires between the agents and the centre: the real server application behind a network that fails by the seed.

Rules of this file:
- Every request really is encoded, routed, answered and decoded; only sockets and waiting are missing.
- What happens to a request is drawn when it is sent, from one generator: the same seed meets the same faults.
- A late request is delivered after younger ones: that is how reordering looks to a server.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from unittest.mock import patch

import anyio.to_thread
import httpx

Gate = Callable[[str], None]
"""Called at every point where an agent may be killed, with the point's name."""

CENTRE = "http://127.0.0.1:8700"
STORE = "http://127.0.0.1:9000"
HTML = b"<!doctype html><title>Sign in</title><p>Please accept the terms of this network."


class Fault(StrEnum):
    """What can become of one request."""

    REFUSED = "refused"
    REQUEST_LOST = "request-lost"
    REPLY_LOST = "reply-lost"
    DUPLICATED = "duplicated"
    LATE = "late"
    REQUEST_CUT = "request-cut"
    REQUEST_FLIPPED = "request-flipped"
    REPLY_CUT = "reply-cut"
    REPLY_FLIPPED = "reply-flipped"
    REPLY_UNAVAILABLE = "reply-unavailable"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    BROKEN = "broken"
    PORTAL = "portal"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self, request: httpx.Request) -> httpx.Response:
        stream = httpx.ByteStream(self.body)  # given content, httpx would decode it before the seal is seen
        return httpx.Response(self.status, headers=self.headers, stream=stream, request=request)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it stands on the wire."""

    method: str
    url: httpx.URL
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @classmethod
    def of(cls, request: httpx.Request) -> Sent:
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        return cls(request.method, request.url, headers, request.read())

    def with_body(self, body: bytes) -> Sent:
        headers = [(name, value) for name, value in self.headers if name != b"content-length"]
        return Sent(self.method, self.url, [*headers, (b"content-length", b"%d" % len(body))], body)


class Host:
    """Something that answers requests: the centre's application, or the object store."""

    def answer(self, sent: Sent) -> Answer:
        raise NotImplementedError


async def _at_once(work: Callable[..., Any], *arguments: Any, **_how: Any) -> Any:
    """In place of a thread: requests come one at a time, and a change of threads costs more than their work."""
    return work(*arguments)


class AsgiHost(Host):
    """A real ASGI application, one request at a time."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self._app, self._runner = app, runner

    def answer(self, sent: Sent) -> Answer:
        with patch.object(anyio.to_thread, "run_sync", _at_once):
            return self._runner.run(self._answer(sent))

    async def _answer(self, sent: Sent) -> Answer:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": sent.method,
            "scheme": sent.url.scheme,
            "path": sent.url.path,
            "raw_path": sent.url.raw_path.split(b"?")[0],
            "root_path": "",
            "query_string": sent.url.query,
            "headers": sent.headers,
            "client": ("127.0.0.1", 50_000),
            "server": (sent.url.host, sent.url.port),
        }
        incoming = [{"type": "http.request", "body": sent.body, "more_body": False}]
        outgoing: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            outgoing.append(message)

        await self._app(scope, receive, send)
        start = next(message for message in outgoing if message["type"] == "http.response.start")
        body = b"".join(message.get("body", b"") for message in outgoing)
        return Answer(start["status"], list(start["headers"]), body)


@dataclass
class Weather:
    """How bad the network is: the share of requests that meet each fault, and who is cut off from whom."""

    shares: dict[Fault, float] = field(default_factory=dict)
    cut: set[tuple[str, str]] = field(default_factory=set)
    """(agent, host) pairs between which nothing passes."""

    def calm(self) -> None:
        self.shares.clear()
        self.cut.clear()

    def draw(self, dice: random.Random) -> Fault | None:
        chance = dice.random()
        for fault, share in self.shares.items():
            if chance < share:
                return fault
            chance -= share
        return None


class Network:
    """Everything that travels in one world."""

    def __init__(self, dice: random.Random, note: Callable[[str], None]) -> None:
        self.hosts: dict[str, Host] = {}
        self.weather = Weather()
        self.met: dict[Fault, int] = {}
        self._dice, self._note = dice, note
        self._late: list[Sent] = []

    def client(self, agent: str, gate: Gate) -> httpx.Client:
        """An HTTP client whose requests take the agent's wire."""
        return httpx.Client(transport=_Wire(self, agent, gate), trust_env=False)

    def deliver_late(self) -> bool:
        """Lets one request that was held back arrive; its answer goes nowhere."""
        if not self._late:
            return False
        sent = self._late.pop(self._dice.randrange(len(self._late)))
        self._note(f"late {sent.method} {sent.url.path}")
        self._ask(sent)
        return True

    def carry(self, agent: str, request: httpx.Request) -> httpx.Response:
        sent = Sent.of(request)
        fault = self.weather.draw(self._dice)
        host = f"{sent.url.scheme}://{sent.url.netloc.decode()}"
        if (agent, host) in self.weather.cut or host not in self.hosts:
            fault = Fault.REFUSED
        if fault is not None:
            self.met[fault] = self.met.get(fault, 0) + 1
        self._note(f"{agent} {sent.method} {sent.url.path} {fault or ''}")
        return self._fated(sent, fault, request).response(request)

    def _ask(self, sent: Sent) -> Answer:
        return self.hosts[f"{sent.url.scheme}://{sent.url.netloc.decode()}"].answer(sent)

    def _fated(self, sent: Sent, fault: Fault | None, request: httpx.Request) -> Answer:
        if fault is Fault.REFUSED:
            raise httpx.ConnectError("connection refused", request=request)
        if fault is Fault.LATE:
            self._late.append(sent)
        if fault in (Fault.REQUEST_LOST, Fault.LATE):
            raise httpx.ReadTimeout("no answer", request=request)
        if fault in MADE_UP:
            return MADE_UP[fault]
        answer = self._ask(self._spoilt_request(sent, fault))
        if fault is Fault.DUPLICATED:
            answer = self._ask(sent)
        if fault is Fault.REPLY_LOST:
            raise httpx.ReadError("connection reset", request=request)
        return self._spoilt_reply(answer, fault)

    def _spoilt_request(self, sent: Sent, fault: Fault | None) -> Sent:
        if fault is Fault.REQUEST_CUT:
            return sent.with_body(self._cut(sent.body))
        return sent.with_body(self._flipped(sent.body)) if fault is Fault.REQUEST_FLIPPED else sent

    def _spoilt_reply(self, answer: Answer, fault: Fault | None) -> Answer:
        if fault is Fault.REPLY_UNAVAILABLE:
            return _plain(503, b"upstream went away")
        if fault is Fault.REPLY_CUT:
            return Answer(answer.status, answer.headers, self._cut(answer.body))
        return (
            Answer(answer.status, answer.headers, self._flipped(answer.body))
            if fault is Fault.REPLY_FLIPPED
            else answer
        )

    def _cut(self, body: bytes) -> bytes:
        return body[: self._dice.randrange(len(body))] if body else body

    def _flipped(self, body: bytes) -> bytes:
        if not body:
            return body
        place, bit = self._dice.randrange(len(body)), 1 << self._dice.randrange(8)
        return body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]


class _Wire(httpx.BaseTransport):
    def __init__(self, network: Network, agent: str, gate: Gate) -> None:
        self._network, self._agent, self._gate = network, agent, gate

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._gate("request")
        response = self._network.carry(self._agent, request)
        self._gate("reply")
        return response


def _plain(status: int, text: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(status, [(b"content-type", b"text/plain"), *headers], text)


# What stands between the two ends and answers in the server's place.
MADE_UP: dict[Fault | None, Answer] = {
    Fault.UNAVAILABLE: _plain(503, b"no upstream", (b"retry-after", b"2")),
    Fault.BUSY: _plain(429, b"slow down", (b"retry-after", b"1")),
    Fault.BROKEN: _plain(500, b""),
    Fault.PORTAL: Answer(200, [(b"content-type", b"text/html")], HTML),
}
