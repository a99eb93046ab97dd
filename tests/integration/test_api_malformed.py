"""Whatever is sent to any endpoint, the answer is a problem document with a code, never a crash.

The requests are made from the OpenAPI document: every operation, every kind of nonsense.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from edge_agent.api.openapi import document
from tests.api_agent import Agent, open_agent

DOCUMENT: dict[str, Any] = json.loads(document())
ENDLESS = {"follow_events"}
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
WITH_BODY = [name for name, (_, _, operation) in OPERATIONS.items() if "requestBody" in operation]
WITH_JSON = [
    name for name in WITH_BODY if "application/json" in OPERATIONS[name][2]["requestBody"]["content"]
]
SOME_ID = "01890000-0000-7000-8000-000000000000"
NONSENSE: list[bytes] = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b"{}",
    b'{"no_such_field": 1}',
    b"\xff\xfe\x00",
    b'{"a": NaN}',
    b"[" * 100_000,
]
ODD_VALUES: list[Any] = [None, True, -1, 1e308, "", "x" * 100_000, [], {}, [[]], "\ud800", "\x00", 2**70]
ODD_QUERY = ["", "-1", "x", "9" * 40, "\x00", "'; DROP TABLE users; --", "%ff", "nan", "inf", "2026-13-45"]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with open_agent(tmp_path_factory.mktemp("agent")) as opened:
        yield opened


@pytest.fixture(scope="module")
def admin(agent: Agent) -> dict[str, str]:
    return agent.log_in("rei")


def url_of(path: str, value: str = SOME_ID) -> str:
    return re.sub(r"\{[^}]*\}", lambda _: value, path)


def check(answer: Any) -> None:
    """A success, or a problem document that says what is wrong."""
    if answer.status_code < 400:
        return
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["code"]
    assert problem["title"]
    assert problem["hint"]


@pytest.mark.parametrize("name", WITH_BODY)
def test_nonsense_as_a_body(agent: Agent, admin: dict[str, str], name: str) -> None:
    method, path, operation = OPERATIONS[name]
    expected, *others = operation["requestBody"]["content"]
    sent = [(expected, body) for body in NONSENSE]
    sent += [(kind, NONSENSE[1]) for kind in (*others, "text/plain", "application/json", "")]
    if expected == "application/zip":  # each try of a package starts a process of its own
        sent = [(expected, b""), (expected, b"{"), *((kind, b"{") for kind in others)]
    for kind, body in sent:
        headers = {**admin, **({"Content-Type": kind} if kind else {})}
        check(agent.client.request(method, url_of(path), content=body, headers=headers))


@pytest.mark.parametrize("name", WITH_JSON)
def test_every_field_with_a_value_of_another_kind(agent: Agent, admin: dict[str, str], name: str) -> None:
    method, path, operation = OPERATIONS[name]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for field in schema.get("properties", {"any": {}}):
        for value in ODD_VALUES:
            content = json.dumps({field: value}).encode()
            headers = {**admin, "Content-Type": "application/json"}
            check(agent.client.request(method, url_of(path), content=content, headers=headers))


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - ENDLESS))
def test_odd_paths_and_queries(agent: Agent, admin: dict[str, str], name: str) -> None:
    method, path, operation = OPERATIONS[name]
    for value in ("x", "..", "%2e%2e%2f", "%00", "0" * 36, "x" * 3000, "%F0%9F%92%A9"):
        check(agent.client.request(method, url_of(path, value), headers=admin))
    queries = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
    for query in queries:
        for value in ODD_QUERY:
            check(agent.client.request(method, url_of(path), params={query: value}, headers=admin))


@pytest.mark.parametrize(
    "name", sorted(OPERATIONS.keys() - {"login", "get_live", "get_ready", "get_prometheus"})
)
def test_nothing_is_answered_without_a_login(agent: Agent, name: str) -> None:
    method, path, _ = OPERATIONS[name]
    answer = agent.client.request(method, url_of(path))
    assert answer.status_code == 401, answer.text
    check(answer)


def test_unknown_paths_and_methods(agent: Agent, admin: dict[str, str]) -> None:
    gone = agent.client.get("/api/v1/no/such/thing", headers=admin)
    assert (gone.status_code, gone.json()["code"]) == (404, "no-such-path")
    wrong = agent.client.delete("/api/v1/sessions", headers=admin)
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    check(agent.client.request("BREW", "/api/v1/sessions", headers=admin))


def test_a_body_that_is_too_large_is_refused_before_it_is_read(agent: Agent, admin: dict[str, str]) -> None:
    headers = {**admin, "Content-Type": "application/json"}
    large = agent.client.post("/api/v1/scans", content=b" " * (2 << 20), headers=headers)
    assert (large.status_code, large.json()["code"]) == (413, "body-too-large")

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * (1 << 16)

    streamed = agent.client.post("/api/v1/scans", content=endless(), headers=headers)
    assert (streamed.status_code, streamed.json()["code"]) == (413, "body-too-large")
    path = f"/api/v1/sessions/{SOME_ID}/items/{SOME_ID}/images"
    picture = agent.client.post(
        path, content=b"x" * 26_000_000, headers={**admin, "Content-Type": "image/png"}
    )
    assert (picture.status_code, picture.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize("key", ["", " ", "x" * 129, "a b", "ключ".encode(), "a\tb"])
def test_an_odd_idempotency_key_is_refused(agent: Agent, admin: dict[str, str], key: str | bytes) -> None:
    headers = {name.encode(): value.encode() for name, value in admin.items()}
    headers[b"Idempotency-Key"] = key if isinstance(key, bytes) else key.encode()
    answer = agent.client.post("/api/v1/scans", json={"text": "PLATE"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-unfit")


def test_afterwards_the_installation_is_still_sound(agent: Agent) -> None:
    admin = agent.log_in("rei")  # the requests above have logged everybody out
    assert agent.client.post("/api/v1/check", headers=admin).json() == {"findings": []}
    assert agent.client.get("/api/v1/audit/verify", headers=admin).json()["is_whole"]
