"""Blobs at the HTTP border: sealed both ways, only for devices, and a store that is down says so."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from central_server.objects import PLAIN_PUT_BYTES, Objects
from central_server.store.database import Database
from sync_protocol.messages import (
    Blob,
    CompleteReply,
    CompleteRequest,
    DownloadTicket,
    HaveReply,
    HaveRequest,
    Message,
    UploadRequest,
    UploadTicket,
    VerifyReply,
    VerifyRequest,
)
from sync_protocol.wire import read, write
from tests.central.caller import Caller, document_of, enrolled, problem_of, serving
from tests.central.devices import CLOCK
from tests.waiting import WAIT_S


@pytest.fixture
def caller(database: Database, objects: Objects, tmp_path: Path) -> Iterator[Caller]:
    with serving(database, tmp_path, objects) as client:
        yield enrolled(client, database, CLOCK.new_id(), CLOCK.new_id())


def post(caller: Caller, path: str, message: Message) -> Any:
    return caller.post(f"/blobs/{path}", write(message))


def test_a_large_picture_goes_up_and_comes_down(caller: Caller) -> None:
    data = os.urandom(PLAIN_PUT_BYTES + 1)
    sha256, size = hashlib.sha256(data).hexdigest(), len(data)
    asked = read(
        HaveReply, document_of(post(caller, "have", HaveRequest(blobs=(Blob(sha256=sha256, size=size),))))
    )
    assert asked.missing == (sha256,)
    ticket = read(UploadTicket, document_of(post(caller, f"{sha256}/upload", UploadRequest(size=size))))
    with httpx.Client(timeout=WAIT_S) as http:
        for part in ticket.parts:
            body = data[part.offset : part.offset + part.size]
            http.put(part.url, content=body, headers=part.headers).raise_for_status()
        request = CompleteRequest(size=size, upload_id=ticket.upload_id)
        assert read(CompleteReply, document_of(post(caller, f"{sha256}/complete", request))).is_verified
        down = read(DownloadTicket, document_of(caller.post(f"/blobs/{sha256}/download", b'{"a":1}')))
        assert http.get(down.url).content == data


def test_refusals_say_what_and_whether_again(caller: Caller) -> None:
    unknown = "a" * 64
    for path, request, code, status in (
        (f"{unknown}/complete", CompleteRequest(size=1), "blob-missing", 404),
        (f"{unknown}/download", CompleteRequest(size=1), "blob-missing", 404),
        (f"{unknown}/upload", UploadRequest(size=2 << 30), "blob-too-large", 413),
    ):
        problem = problem_of(post(caller, path, request))
        assert (problem.code, problem.status, problem.scope) == (code, status, "op")
    assert read(
        VerifyReply, document_of(post(caller, "verify", VerifyRequest(blobs=(Blob(sha256=unknown, size=1),))))
    )
    assert problem_of(post(caller, "NOT-A-SHA/complete", CompleteRequest(size=1))).code == "batch-invalid"


@pytest.mark.parametrize(
    "path", ["have", "verify", f"{'a' * 64}/upload", f"{'a' * 64}/complete", f"{'a' * 64}/download"]
)
def test_only_devices_are_answered_and_only_whole_requests(caller: Caller, path: str) -> None:
    stranger = Caller(caller.client, caller.device_id, caller.incarnation, "no-token")
    assert problem_of(stranger.post(f"/blobs/{path}", b'{"a":1}')).code == "token-invalid"
    if not path.endswith("download"):
        problem = problem_of(caller.post(f"/blobs/{path}", b'{"a":1}'))
        assert (problem.code, problem.retryable) == ("batch-invalid", False)


def test_a_store_that_is_down_is_the_servers_trouble_and_rows_go_on(
    database: Database, tmp_path: Path
) -> None:
    with serving(database, tmp_path) as client:
        caller = enrolled(client, database, CLOCK.new_id(), CLOCK.new_id())
        problem = problem_of(post(caller, f"{'a' * 64}/complete", CompleteRequest(size=1)))
        assert (problem.code, problem.status, problem.scope) == ("store-unavailable", 503, "server")
        assert problem.retryable
        assert caller.hello().status_code == 200
