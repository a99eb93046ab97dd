"""Requests that come damaged, too large or at a bad time: told so, and nothing changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from central_server.errors import Unavailable
from central_server.store.database import Database
from sync_protocol.checksums import seal
from sync_protocol.messages import HelloRequest
from sync_protocol.wire import (
    MAX_BODY_BYTES,
    pack,
    unpack,
    write,
    write_push,
)
from tests.central.caller import (
    SEALED,
    Caller,
    enrolled,
    hello_of,
    hello_request,
    problem_of,
    serving,
)
from tests.central.devices import Device

# ── what comes damaged ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "batch-damaged"),
        (b"<html><title>Sign in</title></html>", "batch-damaged"),
        (pack(b'{"a":1}')[:-4], "batch-damaged"),
        (pack(b'{"a":1}') + b"more", "batch-invalid"),
        (pack(b'{"a":1}'), "batch-invalid"),
        (pack(b'{"a":}'), "batch-invalid"),
        (pack(b'{"a":"' + b"0" * (33 << 20) + b'"}'), "batch-too-large"),
    ],
)
@pytest.mark.parametrize("path", ["hello", "push"])
def test_a_damaged_request_changes_nothing(caller: Caller, path: str, content: bytes, code: str) -> None:
    headers = SEALED | {"Authorization": f"Bearer {caller.token}"}
    answer = caller.client.post(f"/api/v1/sync/{path}", content=content, headers=headers)
    assert problem_of(answer).code == code


def test_a_flipped_bit_in_a_batch_is_found(caller: Caller, device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    body = bytearray(seal(write_push(caller.request(ops))))
    body[len(body) // 2] ^= 1
    headers = {"Authorization": f"Bearer {caller.token}"}
    answer = caller.client.post("/api/v1/sync/push", content=bytes(body), headers=headers)
    problem = problem_of(answer)
    assert (problem.code, problem.scope, problem.retryable) == ("batch-damaged", "batch", True)
    assert device.count("sync_ops") == 0


def test_uncompressed_is_as_good(caller: Caller) -> None:
    hello = seal(write(hello_request(caller.device_id, caller.incarnation)))
    headers = {"Authorization": f"Bearer {caller.token}", "Accept-Encoding": "identity"}
    answer = caller.client.post("/api/v1/sync/hello", content=hello, headers=headers)
    assert "content-encoding" not in answer.headers
    assert unpack(answer.content, "")


@pytest.mark.parametrize("is_said", [True, False])
def test_too_large_a_body_is_refused_before_it_is_read(caller: Caller, is_said: bool) -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2 * MAX_BODY_BYTES:
            sent += 1 << 16
            yield bytes(1 << 16)

    headers = {"Authorization": f"Bearer {caller.token}"}
    if is_said:
        headers["Content-Length"] = str(2 * MAX_BODY_BYTES)
    problem = problem_of(caller.client.post("/api/v1/sync/push", content=parts(), headers=headers))
    assert (problem.status, problem.code, problem.retryable) == (413, "batch-too-large", True)


@pytest.mark.parametrize("path", ["/masters/products/import", "/masters/components/x/assets"])
def test_a_document_is_bounded_whatever_it_is_called(caller: Caller, path: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(2 * MAX_BODY_BYTES)}
    assert problem_of(caller.client.put(f"/api/v1{path}", content=b"{", headers=headers)).status == 413


def test_who_waits_sends_nothing(caller: Caller) -> None:
    """Unbounded, and before any token is looked at, a body here would fill the memory."""
    asked = caller.client.request("GET", "/api/v1/sync/wait?space=masters&cursor=0", content=b"x")
    assert problem_of(asked).code == "batch-too-large"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/none"), ("GET", "/sync/hello"), ("POST", "/sync/hello")]
)
def test_a_refusal_is_told_in_the_language_asked_for(caller: Caller, method: str, path: str) -> None:
    headers = {"Accept-Language": "ja", "Content-Length": "9" * 30 if method == "POST" else "0"}
    answer = caller.client.request(method, f"/api/v1{path}", headers=headers)
    assert not answer.json()["title"].isascii()


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30])
def test_a_length_that_is_none_is_refused(caller: Caller, length: str) -> None:
    headers = {"Authorization": f"Bearer {caller.token}", "Content-Length": length}
    assert problem_of(caller.client.post("/api/v1/sync/push", content=b"x", headers=headers)).status == 413


# ── bad times ───────────────────────────────────────────────────────────────────────────────────────────


def test_when_all_places_are_taken_the_device_is_told_when_to_come_again(
    database: Database, device: Device, tmp_path: Path, url: str
) -> None:
    device.store.inspect()
    with serving(database, tmp_path, workers=1, max_waiting=0) as client, psycopg.connect(url) as holder:
        caller = enrolled(client, database, device.device_id, device.incarnation)
        holder.execute("SELECT 1 FROM devices WHERE device_id = %s FOR UPDATE", (device.device_id,))
        busy = threading.Thread(target=caller.pushed, args=(device.outbox(),))
        busy.start()
        with psycopg.connect(url, autocommit=True) as watch:
            while watch.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
                pass
        answer = caller.hello()
        problem = problem_of(answer)
        assert (problem.status, problem.code, problem.scope) == (503, "throttled", "server")
        assert answer.headers["retry-after"] == "2"
        holder.rollback()
        busy.join()
        hello_of(caller.hello())
    assert device.count("sync_ops") > 0


def test_a_database_that_is_away_is_a_reason_to_come_again(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_self: object) -> None:
        raise Unavailable("database-unavailable", "It is away.")

    monkeypatch.setattr(Database, "write", away)
    problem = problem_of(caller.hello())
    assert (problem.status, problem.code, problem.retryable) == (503, "database-unavailable", True)


def test_what_nobody_foresaw_is_told_without_its_reason(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> HelloRequest:
        raise RuntimeError("a secret")

    monkeypatch.setattr("central_server.api.routers.sync.read", broken)
    answer = caller.hello()
    problem = problem_of(answer)
    assert (problem.status, problem.code, problem.retryable) == (500, "internal", True)
    assert "secret" not in answer.text
