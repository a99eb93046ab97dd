"""From a one-time code to a token, and the ways that ends."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from central_server.devices import issue_code, normal, sha256_of
from central_server.store import devices
from central_server.store.database import Database
from sync_protocol.messages import EnrollReply
from sync_protocol.wire import read
from tests.central.caller import Caller, document_of, enrolled, hello_of, problem_of
from tests.central.devices import CLOCK


def new_caller(client: TestClient) -> Caller:
    return Caller(client, CLOCK.new_id(), CLOCK.new_id())


def new_code(database: Database, *, valid_s: float = 3600) -> str:
    return issue_code(database, CLOCK, "Plant 1", valid_s).code


def token_of(caller: Caller, code: str) -> EnrollReply:
    return read(EnrollReply, document_of(caller.enrol(code)))


def test_a_code_gives_a_token_that_is_known_from_then_on(client: TestClient, database: Database) -> None:
    caller = new_caller(client)
    reply = token_of(caller, new_code(database))
    caller.token = reply.token
    hello = hello_of(caller.hello())
    assert (reply.site, reply.server_epoch) == ("Plant 1", hello.server_epoch)
    with database.snapshot() as tx:
        (found,) = [one for one in devices.listed(tx) if one["device_id"] == caller.device_id]
    assert found["confirmed_at"] is not None
    assert found["last_seen_at"] is not None


def test_neither_code_nor_token_is_stored(client: TestClient, database: Database) -> None:
    caller, code = new_caller(client), new_code(database)
    token = token_of(caller, code).token
    with database.snapshot() as tx:
        stored = str(tx.execute("SELECT * FROM devices, enrolment_codes").fetchall())
    assert sha256_of(token) in stored
    assert sha256_of(normal(code)) in stored
    assert token not in stored
    assert code not in stored
    assert normal(code) not in stored


def test_a_code_may_be_typed_in_any_way(client: TestClient, database: Database) -> None:
    caller = new_caller(client)
    assert token_of(caller, f" {new_code(database).lower().replace('-', ' ').replace('0', 'o')} ").token


def test_a_lost_answer_does_not_strand_the_device(client: TestClient, database: Database) -> None:
    caller, code = new_caller(client), new_code(database)
    lost = token_of(caller, code).token
    caller.token = token_of(caller, code).token
    hello_of(caller.hello())
    caller.token = lost
    assert problem_of(caller.hello()).code == "token-invalid"


def test_a_code_is_spent_once_its_token_was_used(client: TestClient, database: Database) -> None:
    caller, code = new_caller(client), new_code(database)
    caller.token = token_of(caller, code).token
    hello_of(caller.hello())
    assert problem_of(caller.enrol(code)).code == "code-invalid"
    hello_of(caller.hello())


def test_a_code_is_for_one_device(client: TestClient, database: Database) -> None:
    code = new_code(database)
    token_of(new_caller(client), code)
    assert problem_of(new_caller(client).enrol(code)).code == "code-invalid"


@pytest.mark.parametrize("valid_s", [0, -5])
def test_an_expired_code_is_refused(client: TestClient, database: Database, valid_s: float) -> None:
    problem = problem_of(new_caller(client).enrol(new_code(database, valid_s=valid_s)))
    assert (problem.status, problem.code, problem.scope) == (403, "code-invalid", "device")


@pytest.mark.parametrize(
    "code", ["", "AAAA-AAAA-AAAA", "\ud800".encode("utf-8", "replace").decode(), "x" * 5000]
)
def test_a_wrong_code_is_refused(client: TestClient, code: str) -> None:
    assert problem_of(new_caller(client).enrol(code)).code == "code-invalid"


def test_a_revoked_device_is_told_so_until_it_enrols_again(client: TestClient, database: Database) -> None:
    caller = enrolled(client, database, CLOCK.new_id(), CLOCK.new_id())
    with database.write() as tx:
        assert devices.revoke(tx, caller.device_id)
        assert not devices.revoke(tx, CLOCK.new_id())
    problem = problem_of(caller.hello())
    assert (problem.status, problem.code, problem.retryable) == (403, "device-revoked", False)
    caller.token = token_of(caller, new_code(database)).token
    hello_of(caller.hello())


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic abc", "Bearer \xe4\xf6"])
def test_without_a_token_nothing_is_told(client: TestClient, header: str) -> None:
    answer = client.get(
        "/api/v1/sync/pull?space=masters&cursor=0", headers={b"Authorization": header.encode("latin-1")}
    )
    problem = problem_of(answer)
    assert (problem.status, problem.code) == (401, "token-invalid")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_speaks_for_its_own_device_only(client: TestClient, database: Database) -> None:
    caller = enrolled(client, database, CLOCK.new_id(), CLOCK.new_id())
    caller.device_id = CLOCK.new_id()
    assert problem_of(caller.hello()).code == "token-invalid"
