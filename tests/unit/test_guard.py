"""Who may talk to the agent at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from edge_agent.api.guard import SESSION_COOKIE, Admission, Guard, host_name

TAURI = "tauri://localhost"


async def reached(request: Request) -> PlainTextResponse:
    return PlainTextResponse("reached")


@pytest.fixture
def client() -> Iterator[TestClient]:
    methods = ["GET", "POST"]
    app = Starlette(routes=[Route("/api/v1/x", reached, methods=methods), Route("/", reached)])
    guarded = Guard(app, Admission.of(["line1.factory.example"], [TAURI, "http://tauri.localhost"]))
    with TestClient(guarded, base_url="http://localhost:8620") as opened:
        yield opened


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8620", "127.0.0.1:9", "[::1]:8620", "LOCALHOST", "line1.factory.example:8620"],
)
def test_our_own_names_are_admitted(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/x", headers={"Host": host}).text == "reached"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8620",
        "localhost@evil.example",
        "192.168.1.5",
        "localhost:x",
        "[::1",
        "",
    ],
)
def test_foreign_host_names_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/v1/x", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "host-refused")


@pytest.mark.parametrize("origin", ["http://localhost:8620", TAURI, "http://tauri.localhost"])
def test_own_and_allowed_origins_are_admitted_and_may_read(client: TestClient, origin: str) -> None:
    answer = client.post("/api/v1/x", headers={"Origin": origin})
    assert answer.text == "reached"
    assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost:3000",
        "null",
        "http://127.0.0.1:8620",
        "tauri://localhost.evil",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_foreign_origins_are_refused_for_every_method(client: TestClient, origin: str, method: str) -> None:
    answer = client.request(method, "/api/v1/x", headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin-refused")
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_is_answered_without_reaching_the_application(client: TestClient) -> None:
    headers = {"Origin": TAURI, "Access-Control-Request-Method": "PUT"}
    answer = client.options("/api/v1/x", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_foreign_page_embeds_is_refused(client: TestClient, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/api/v1/x", headers=headers).status_code == 403


def test_a_link_may_open_the_console_but_not_the_api(client: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/api/v1/x", headers=headers).status_code == 403


def test_a_cookie_changes_nothing_without_an_origin(client: TestClient) -> None:
    cookie = {"Cookie": f"{SESSION_COOKIE}=x"}
    refused = client.post("/api/v1/x", headers=cookie)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin-needed")
    assert client.post("/api/v1/x", headers={**cookie, "Origin": "http://localhost:8620"}).status_code == 200
    assert client.get("/api/v1/x", headers=cookie).status_code == 200


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/", headers={"Host": "evil.example"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_host_name_of_odd_hosts_is_empty() -> None:
    assert host_name("a/b") == ""
    assert host_name("localhost.:80") == "localhost"
    assert host_name("[::1]") == "::1"
