"""What the device makes of every way in which the server, or something in between, can answer."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from edge_agent.clock import Clock
from edge_agent.errors import BadInput
from edge_agent.listening import held_ports
from edge_agent.sync.central import Central, packed, retry_after_s
from edge_agent.sync.client import open_client, server_url
from edge_agent.sync.lane import Kind, SyncFailed
from sync_protocol import wire
from sync_protocol.canonical import sha256_hex
from sync_protocol.messages import (
    HelloReply,
    HelloRequest,
    OpResult,
    PushOp,
    PushReply,
    PushRequest,
)
from tests.sync.reference import plain, problem, sealed

ID = "018f0000-0000-7000-8000-000000000001"
CLOCK = Clock(time=lambda: 1_795_435_200.0)
HELLO = HelloRequest(
    device_id=ID,
    incarnation=ID,
    app_version="1",
    protocol_versions=(1,),
    schema_version=1,
    queue_head=0,
    last_seq=0,
    last_ack=0,
    cursors={},
)
ANSWER = HelloReply(
    protocol_version=1,
    schema_version=1,
    server_epoch=ID,
    server_time="2026-11-23T12:00:00.000Z",
    device_last_seq=0,
    device_last_ack=0,
    heads={"masters": 7},
)
ROW = f'{{"id":"{ID}"}}'
BATCH = PushRequest(
    batch_id=ID,
    incarnation=ID,
    ops=(PushOp(1, ID, ID, "inspection_targets", ID, "INSERT", ROW, sha256_hex(ROW.encode())),),
)
CERTIFICATE = Path(__file__).parent / "loopback-certificate.pem"


def central(answer: Callable[[httpx.Request], httpx.Response]) -> Central:
    return Central("https://c", "secret", httpx.Client(transport=httpx.MockTransport(answer)), CLOCK)


def failure(answer: Callable[[httpx.Request], httpx.Response]) -> SyncFailed:
    with pytest.raises(SyncFailed) as caught:
        central(answer).hello(HELLO)
    return caught.value


def test_a_request_carries_the_token_and_a_sealed_body_and_the_answer_is_read() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return sealed(wire.write(ANSWER))

    assert central(answer).hello(HELLO) == ANSWER
    assert seen[0].headers["Authorization"] == "Bearer secret"
    assert str(seen[0].url) == "https://c/api/v1/sync/hello"
    assert wire.read(HelloRequest, wire.unpack(seen[0].content)) == HELLO


def test_a_batch_and_its_answer() -> None:
    reply = PushReply(
        batch_id=ID, ack=3, server_epoch=ID, server_time="t", results=(OpResult(ID, "rejected", "x", "y"),)
    )
    assert central(lambda _: sealed(wire.write_push_reply(reply))).push(BATCH, packed(BATCH)) == reply


HTML = "<html>Please log in to the guest network</html>"
BODY = wire.pack(wire.write(ANSWER))


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (plain(200, HTML), Kind.DAMAGED, "reply-damaged"),
        (plain(200), Kind.DAMAGED, "reply-damaged"),
        (sealed(b'{"other":1}'), Kind.DAMAGED, "reply-invalid"),
        (sealed(b"[" * 100_000 + b"}"), Kind.DAMAGED, "reply-invalid"),
        (httpx.Response(200, stream=httpx.ByteStream(BODY)), Kind.DAMAGED, "reply-damaged"),
        (plain(401, HTML), Kind.TRANSIENT, "http-401"),
        (plain(403, HTML), Kind.TRANSIENT, "http-403"),
        (plain(404, HTML), Kind.PERMANENT, "http-404"),
        (plain(408), Kind.TRANSIENT, "http-408"),
        (plain(413, HTML), Kind.PERMANENT, "batch-too-large"),
        (plain(429), Kind.THROTTLE, "http-429"),
        (plain(500, HTML), Kind.TRANSIENT, "http-500"),
        (plain(503), Kind.TRANSIENT, "http-503"),
        (plain(302, Location="http://elsewhere/"), Kind.TRANSIENT, "redirected"),
        (
            plain(401, "{", content_type="application/problem+json"),
            Kind.TRANSIENT,
            "http-401",
        ),
        (problem("token-invalid", 401), Kind.AUTH, "token-invalid"),
        (problem("device-revoked", 403), Kind.AUTH, "device-revoked"),
        (problem("protocol-unknown", 426), Kind.PERMANENT, "protocol-unknown"),
        (problem("device-forked", 409), Kind.TRANSIENT, "device-forked"),
        (problem("batch-damaged", 400), Kind.DAMAGED, "batch-damaged"),
        (problem("batch-invalid", 400), Kind.PERMANENT, "batch-invalid"),
        (problem("internal", 500), Kind.TRANSIENT, "internal"),
        (problem("of-the-next-version", 418), Kind.TRANSIENT, "of-the-next-version"),
    ],
)
def test_every_answer_has_its_meaning(answer: httpx.Response, kind: Kind, code: str) -> None:
    found = failure(lambda _: answer)
    assert (found.kind, found.code_) == (kind, code)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_from_header_and_document(status: int) -> None:
    assert failure(lambda _: plain(status, Retry_After="17")).retry_after == 17
    said = failure(lambda _: problem("database-unavailable", status, retry_after=2.5))
    assert (said.kind, said.retry_after) == (Kind.THROTTLE, 2.5)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60),
        ("Mon, 23 Nov 2020 12:01:00 GMT", None),
        ("1e12", 86_400),
        ("nan", None),
        ("inf", None),
        ("-3", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_may_be_seconds_or_a_date_or_nonsense(header: str, seconds: float | None) -> None:
    assert retry_after_s(header, CLOCK.time()) == seconds


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (httpx.ConnectError("no route"), Kind.OFFLINE, "server-unreachable"),
        (httpx.ConnectTimeout("slow"), Kind.OFFLINE, "server-unreachable"),
        (httpx.ReadTimeout("slow"), Kind.TRANSIENT, "server-silent"),
        (httpx.RemoteProtocolError("closed"), Kind.TRANSIENT, "connection-lost"),
        (httpx.ReadError("reset"), Kind.TRANSIENT, "connection-lost"),
    ],
)
def test_every_broken_connection_has_its_meaning(error: Exception, kind: Kind, code: str) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise error

    found = failure(broken)
    assert (found.kind, found.code_) == (kind, code)


class _Cut(httpx.SyncByteStream):
    """A body whose connection breaks after its first half."""

    def __iter__(self) -> Iterator[bytes]:
        yield BODY[: len(BODY) // 2]
        raise httpx.ReadError("reset")


def test_a_connection_that_breaks_in_the_middle_of_an_answer() -> None:
    found = failure(lambda _: httpx.Response(200, headers={"Content-Encoding": "zstd"}, stream=_Cut()))
    assert (found.kind, found.code_) == (Kind.TRANSIENT, "connection-lost")


@pytest.mark.parametrize("length", range(0, len(BODY), 7))
def test_no_truncated_answer_passes(length: int) -> None:
    cut = httpx.ByteStream(BODY[:length])
    found = failure(lambda _: httpx.Response(200, headers={"Content-Encoding": "zstd"}, stream=cut))
    assert found.kind is Kind.DAMAGED


def test_an_endless_answer_is_given_up() -> None:
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(1 << 20)

    assert failure(lambda _: httpx.Response(200, stream=Endless())).code_ == "reply-too-large"
    assert failure(lambda _: httpx.Response(500, stream=Endless())).code_ == "reply-too-large"


# ── the object store ────────────────────────────────────────────────────────────────────────────────────


def test_tickets_are_used_without_the_devices_token_and_pieces_are_counted() -> None:
    seen: list[httpx.Request] = []

    def store(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.method == "PUT":
            return plain(200, ETag='"e"')
        status = 206 if "Range" in request.headers else 200
        return httpx.Response(status, stream=httpx.ByteStream(b"0123456789"))

    found = central(store)
    assert found.put_part("https://s/k?signed", {"x-amz-checksum-sha256": "c"}, b"body") == '"e"'
    assert b"".join(found.fetch("https://s/k", 10)) == b"0123456789"
    assert b"".join(found.fetch("https://s/k", 10, offset=3)) == b"0123456789"
    with pytest.raises(SyncFailed, match="announced"):
        list(found.fetch("https://s/k", 9))
    assert all("Authorization" not in request.headers for request in seen)
    assert seen[0].headers["x-amz-checksum-sha256"] == "c"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, "<Error><Code>BadDigest</Code></Error>", Kind.DAMAGED, "blob-differs"),
        (403, "<Error><Code>AccessDenied</Code></Error>", Kind.TRANSIENT, "store-403"),
        (503, "", Kind.TRANSIENT, "store-503"),
    ],
)
def test_every_refusal_of_the_store_has_its_meaning(status: int, body: str, kind: Kind, code: str) -> None:
    found = central(lambda _: plain(status, body))
    for attempt in (
        lambda: found.put_part("https://s/k", {}, b""),
        lambda: list(found.fetch("https://s/k", 9)),
    ):
        with pytest.raises(SyncFailed) as caught:
            attempt()
        assert (caught.value.kind, caught.value.code_) == (kind, code)


# ── real sockets ────────────────────────────────────────────────────────────────────────────────────────


class _Answering(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Encoding", "zstd")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up during the handshake is what these tests are about."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    server = _Quiet(("127.0.0.1", 0), _Answering)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def real_hello(url: str, ca_file: Path | None = None) -> HelloReply:
    with open_client(url, ca_file) as client:
        return Central(url, "t", client, CLOCK).hello(HELLO)


def test_over_a_real_socket() -> None:
    with serving() as address:
        assert real_hello(f"http://{address}") == ANSWER


def test_a_closed_port_and_an_unknown_name_are_offline() -> None:
    with held_ports(1) as (port,):
        for url in (f"http://127.0.0.1:{port}", "https://no-such-host.invalid"):
            with pytest.raises(SyncFailed) as caught:
                real_hello(url)
            assert caught.value.kind is Kind.OFFLINE


def test_a_server_that_hangs_up_is_not_offline() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def hang_up() -> None:
            accepted, _ = listener.accept()
            accepted.recv(1)
            accepted.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(SyncFailed) as caught:
            real_hello(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert (caught.value.kind, caught.value.code_) == (Kind.TRANSIENT, "connection-lost")


def test_a_certificate_nobody_vouches_for_and_one_the_ca_file_names() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with serving(context) as address:
        with pytest.raises(SyncFailed) as caught:
            real_hello(f"https://{address}")
        assert (caught.value.kind, caught.value.code_) == (Kind.TRANSIENT, "tls-failed")
        assert real_hello(f"https://{address}", CERTIFICATE) == ANSWER


def test_a_server_that_speaks_no_tls() -> None:
    with serving() as address, pytest.raises(SyncFailed) as caught:
        real_hello(f"https://{address}")
    assert caught.value.code_ == "tls-failed"


def test_a_ca_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", Path(__file__)):
        with pytest.raises(BadInput) as caught:
            open_client("https://c", path)
        assert caught.value.code_ == "ca-file-unusable"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("http://central.example", "tls-required"),
        ("http://10.0.0.5:8700", "tls-required"),
        ("central.example", "server-url-invalid"),
        ("ftp://central.example", "server-url-invalid"),
        ("https://", "server-url-invalid"),
        ("https://c:99999", "server-url-invalid"),
        ("https://user@c", "server-url-invalid"),
        ("https://c/?q", "server-url-invalid"),
    ],
)
def test_addresses_that_are_refused(text: str, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        server_url(text)
    assert caught.value.code_ == code


@pytest.mark.parametrize("text", ["https://c.example/", "http://localhost:8700", "http://[::1]:8700"])
def test_addresses_that_are_taken(text: str) -> None:
    assert server_url(text) == text.rstrip("/")


def test_closing_the_client_ends_a_request_that_is_never_answered() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        ThreadPoolExecutor(1) as beside,
        open_client(url := f"http://127.0.0.1:{silent.getsockname()[1]}") as client,
    ):
        asked = beside.submit(Central(url, "", client, CLOCK).hello, HELLO)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)
            client.close()
            with pytest.raises(SyncFailed) as caught:
                asked.result()
            assert (caught.value.kind, caught.value.code_) == (Kind.OFFLINE, "link-closed")
