"""Hello, push, pull, wait, digests and rows over HTTP."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from central_server.store import devices
from central_server.store.database import Database
from edge_agent.clock import Clock
from sync_protocol.checksums import digest
from sync_protocol.messages import BucketReply, DigestReply, Page, WaitReply
from sync_protocol.wire import (
    read,
    read_page,
    read_rows,
    write,
)
from tests.central.caller import (
    Caller,
    document_of,
    enrolled,
    hello_of,
    hello_request,
    problem_of,
    serving,
)
from tests.central.devices import CLOCK, Device, again
from tests.central.test_changes import add_user, start


def page_of(caller: Caller, cursor: int, epoch: str, **query: Any) -> Page:
    return read_page(
        document_of(caller.get("/sync/pull", space="masters", cursor=cursor, epoch=epoch, **query))
    )


# ── hello ───────────────────────────────────────────────────────────────────────────────────────────────


def test_hello_says_what_the_server_has(caller: Caller, device: Device) -> None:
    device.store.inspect()
    first = hello_of(caller.hello())
    assert (first.device_last_seq, first.device_last_ack) == (0, 0)
    assert first.heads.keys() == {"masters", "decisions"}
    ops = device.outbox()
    ack = caller.pushed(ops).ack
    then = hello_of(caller.hello())
    assert (then.device_last_seq, then.device_last_ack) == (ops[-1].seq, ack)
    assert then.server_epoch == first.server_epoch
    caller.incarnation = CLOCK.new_id()
    other = hello_of(caller.hello())
    assert (other.device_last_seq, other.device_last_ack) == (0, 0)


def test_hello_notes_the_devices_version(caller: Caller, device: Device) -> None:
    hello_of(caller.hello(app_version="2.7"))
    with device.database.snapshot() as tx:
        (found,) = [one for one in devices.listed(tx) if one["device_id"] == caller.device_id]
    assert found["app_version"] == "2.7"


@pytest.mark.parametrize(("theirs", "agreed"), [((1, 2, 9), 1), ((0, 1), 1)])
def test_a_newer_and_an_older_device_are_spoken_to_in_the_common_version(
    caller: Caller, theirs: tuple[int, ...], agreed: int
) -> None:
    assert hello_of(caller.hello(protocol_versions=theirs)).protocol_version == agreed


@pytest.mark.parametrize("theirs", [(2,), (0,), ()])
def test_without_a_common_version_the_device_stops(caller: Caller, theirs: tuple[int, ...]) -> None:
    problem = problem_of(caller.hello(protocol_versions=theirs))
    assert (problem.code, problem.retryable, problem.scope) == ("protocol-unknown", False, "device")


@pytest.mark.parametrize("schema", [2, 0])
def test_another_schema_is_greeted_and_told_ours(caller: Caller, schema: int) -> None:
    assert hello_of(caller.hello(schema_version=schema)).schema_version == 1


def test_a_newer_device_may_say_more(caller: Caller) -> None:
    document = write(hello_request(caller.device_id, caller.incarnation))
    more = document[:-1] + b',"invented_later":[1]}'
    hello_of(caller.post("/sync/hello", more))


# ── push ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_arrives_and_a_replay_after_a_lost_answer_too(caller: Caller, device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    first = caller.pushed(ops)
    assert {result.outcome for result in first.results} == {"applied"}
    second = caller.pushed(ops)
    assert second.results == first.results
    assert second.ack == first.ack + 1
    assert device.count("sync_ops") == len(ops)


def test_a_batch_is_told_how_long_it_stood_behind_others(caller: Caller, device: Device) -> None:
    device.store.inspect()
    app = cast(FastAPI, caller.client.app)
    arrived_begun = iter([5.0, 7.5])
    app.state.services = replace(app.state.services, clock=Clock(monotonic=arrived_begun.__next__))
    assert caller.pushed(device.outbox()).waited_ms == 2500


def test_a_poisoned_row_is_refused_alone(caller: Caller, device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    bad = again(ops[0], seq=9_000, id=CLOCK.new_id(), created_at="now")
    results = caller.pushed([ops[0], bad, *ops[1:]]).results
    refused = [(at, one.outcome, one.code) for at, one in enumerate(results) if one.outcome != "applied"]
    assert refused == [(1, "rejected", "row-invalid")]


def test_a_cloned_disk_is_told_to_take_a_new_incarnation(caller: Caller, device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    caller.pushed(ops)
    clone = [again(ops[0], seq=ops[0].seq, id=CLOCK.new_id())]
    problem = problem_of(caller.push(clone))
    assert (problem.status, problem.code, problem.scope, problem.retryable) == (
        (409, "device-forked", "device", True)
    )
    caller.incarnation = CLOCK.new_id()
    assert [one.outcome for one in caller.pushed(clone).results] == ["applied"]


def test_the_first_requests_find_every_route_built(
    caller: Caller, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Building one swaps Python's warning filters, which are the process's: two servers in one disturbed each other."""
    with serving(database, tmp_path) as second_client:
        second = Caller(second_client, caller.device_id, caller.incarnation, caller.token)
        with monkeypatch.context() as patched:
            patched.setattr("warnings.catch_warnings", None)
            answers = [
                second.hello(),
                second.post("/sync/push", b'{"a":1}'),
                second.get("/statistics/yield"),
                second.get("/none"),
            ]
    assert [answer.status_code for answer in answers] == [200, 422, 401, 404]


def test_devices_push_through_two_servers_at_once(
    database: Database, tmp_path: Path, device: Device, client: TestClient
) -> None:
    """Both servers get the same batches of the same device at the same time: each is applied once."""
    for _ in range(4):
        device.store.inspect()
    ops = device.outbox()
    caller = enrolled(client, database, device.device_id, device.incarnation)
    second_database = Database(database.url)
    second_database.open()
    with serving(second_database, tmp_path) as second_client, ThreadPoolExecutor(4) as pool:
        second = Caller(second_client, caller.device_id, caller.incarnation, caller.token)
        jobs = [
            pool.submit(one.pushed, ops[at : at + 7])
            for at in range(0, len(ops), 7)
            for one in (caller, second)
        ]
        for job in jobs:
            assert {result.outcome for result in job.result().results} <= {"applied", "deferred"}
        assert {result.outcome for result in caller.pushed(ops).results} == {"applied"}
    second_database.close()
    assert device.count("sync_ops") == device.count("tauri_sync_queue") == len(ops)


# ── pull, wait ──────────────────────────────────────────────────────────────────────────────────────────


def test_pages_are_pulled_until_the_head(caller: Caller, database: Database) -> None:
    cursor, epoch = start(database)
    with database.write() as tx:
        added = [add_user(tx) for _ in range(5)]
    seen: list[str] = []
    while True:
        page = page_of(caller, cursor, epoch, max_bytes=600)
        seen += [change.id for change in page.changes]
        cursor = page.to_cursor
        if not page.has_more:
            break
    assert seen == added
    assert page_of(caller, cursor, epoch).changes == ()


def test_a_cursor_of_another_history_is_reset(caller: Caller, database: Database) -> None:
    with database.write() as tx:
        add_user(tx)
    cursor, _ = start(database)
    problem = problem_of(caller.get("/sync/pull", space="masters", cursor=cursor, epoch=CLOCK.new_id()))
    assert (problem.status, problem.code, problem.retryable) == (410, "pull-reset", True)


def waited(caller: Caller, cursor: int, timeout_s: float) -> WaitReply:
    return read(
        WaitReply, document_of(caller.get("/sync/wait", space="masters", cursor=cursor, timeout_s=timeout_s))
    )


def test_who_is_behind_does_not_wait(caller: Caller, database: Database) -> None:
    with database.write() as tx:
        add_user(tx)
    head, epoch = start(database)
    assert waited(caller, head - 1, 60) == WaitReply(space="masters", head=head, server_epoch=epoch)


def test_a_wait_ends_at_its_time(caller: Caller, database: Database) -> None:
    head, _ = start(database)
    assert waited(caller, head, 0).head <= head
    assert waited(caller, head, 0.05).head <= head


def test_a_change_at_one_server_wakes_devices_that_wait_at_another(
    caller: Caller, database: Database, tmp_path: Path
) -> None:
    head, _ = start(database)
    app: Any = caller.client.app
    waiting = app.state.services.waiting
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(waited, caller, head, 60) for _ in range(3)]
        while len(waiting) < len(jobs):
            assert not any(job.done() for job in jobs)
        other = Database(database.url)
        other.open()
        with other.write() as tx:
            add_user(tx)
        other.close()
        assert [job.result().head for job in jobs] == [head + 1] * 3


def test_a_device_that_has_gone_waits_no_longer(caller: Caller, database: Database) -> None:
    app, answers = cast(FastAPI, caller.client.app), list[Any]()
    messages = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None:
        answers.append(message)

    with database.write() as tx:
        add_user(tx)
    head = waited(caller, start(database)[0] - 1, 60).head
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/api/v1/sync/wait", "root_path": ""}
    scope |= {"query_string": f"space=masters&cursor={head}&timeout_s=60".encode()}
    scope |= {"headers": [(b"authorization", f"Bearer {caller.token}".encode())]}
    asyncio.run(app(scope, receive, send))
    assert answers[0]["status"] == 200
    assert not messages, "whether it is still there was never looked at"


def test_too_many_that_wait_are_sent_away(database: Database, device: Device, tmp_path: Path) -> None:
    with serving(database, tmp_path, max_listeners=0) as client:
        caller = enrolled(client, database, device.device_id, device.incarnation)
        problem = problem_of(caller.get("/sync/wait", space="masters", cursor=2**50))
    assert (problem.code, problem.retry_after) == ("throttled", 30)


# ── digests, rows ───────────────────────────────────────────────────────────────────────────────────────


def test_a_devices_own_facts_have_a_digest(caller: Caller, device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    caller.pushed(ops)
    inserted = [op for op in ops if (op.entity_type, op.operation) == ("inspection_images", "INSERT")]
    ours = digest((op.entity_id, bytes.fromhex(op.sha256)) for op in inserted)
    about = {"space": "facts", "table": "inspection_images"}
    theirs = read(DigestReply, document_of(caller.get("/sync/digest", **about)))
    assert {one.bucket: (one.count, int(one.hash_sum)) for one in theirs.buckets} == {
        number: (bucket.count, bucket.hash_sum) for number, bucket in ours.items()
    }
    number = next(iter(ours))
    rows = read(BucketReply, document_of(caller.get(f"/sync/digest/{number}", **about))).rows
    assert {(row.id, row.sha256) for row in rows} <= {(op.entity_id, op.sha256) for op in inserted}
    assert len(rows) == ours[number].count


def test_rows_are_given_by_their_ids(caller: Caller, database: Database) -> None:
    with database.write() as tx:
        one, two = add_user(tx), add_user(tx, "検査員")
    found = read_rows(
        document_of(caller.get("/sync/rows", space="masters", table="users", ids=f"{two},gone,{one}"))
    )
    assert [change.id for change in found.changes] == [one, two]
    head, epoch = start(database)
    assert page_of(caller, head - 2, epoch).changes == found.changes


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/sync/pull", {"space": "nonsense", "cursor": 0}, "space-unknown"),
        ("/sync/pull", {"space": "facts", "cursor": 0}, "space-unknown"),
        ("/sync/wait", {"space": "facts", "cursor": 0}, "space-unknown"),
        ("/sync/digest", {"space": "facts", "table": "users"}, "space-unknown"),
        ("/sync/rows", {"space": "facts", "table": "users", "ids": "1"}, "space-unknown"),
        ("/sync/pull", {"space": "masters", "cursor": -1}, "batch-invalid"),
        ("/sync/pull", {"space": "masters", "cursor": 2**53}, "batch-invalid"),
        ("/sync/pull", {"space": "masters", "cursor": "x"}, "batch-invalid"),
        ("/sync/pull", {"space": "masters"}, "batch-invalid"),
        ("/sync/pull", {"space": "a\0", "cursor": 0}, "batch-invalid"),
        ("/sync/pull", {"space": "masters", "cursor": 0, "epoch": "'"}, "batch-invalid"),
        ("/sync/digest/256", {"space": "masters", "table": "users"}, "batch-invalid"),
        ("/sync/wait", {"space": "masters", "cursor": 0, "timeout_s": "nan"}, "batch-invalid"),
        ("/sync/nothing", {}, "request-unknown"),
        ("/sync/push", {}, "request-unknown"),
    ],
)
def test_a_wrong_question_is_told_so(caller: Caller, path: str, query: dict[str, Any], code: str) -> None:
    assert problem_of(caller.get(path, **query)).code == code
