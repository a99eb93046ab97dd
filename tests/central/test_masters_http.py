"""Operators at the HTTP border: who may do what, versions as ETags, files up and down."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from central_server.masters.operators import Operators, admin_token
from central_server.objects import Objects
from central_server.store.changes import pull
from central_server.store.database import Database
from edge_agent.errors import Busy, Denied
from tests.bundles import pipeline, write_bundle, write_model, zipped
from tests.central.caller import ADMIN_TOKEN, serving
from tests.central.devices import CLOCK, Device

API = "/api/v1"
PASSWORD = "correct horse"


class People:
    """Requests of the owner and of people with a role."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def ask(self, method: str, path: str, token: str = ADMIN_TOKEN, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
        return self.client.request(method, f"{API}{path}", headers=headers, **more)

    def person(self, role: str) -> tuple[str, str]:
        """(name, token) of a new person."""
        name = f"{role}-{CLOCK.new_id()}"
        body = {"username": name, "full_name": name, "role": role, "password": PASSWORD}
        assert self.ask("PUT", f"/masters/users/{name}", json=body).status_code == 200
        return name, self.log_in(name).json()["token"]

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        return self.client.post(f"{API}/operators/login", json={"username": name, "password": password})


@pytest.fixture(scope="module")
def people(
    database: Database, module_objects: Objects, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[People]:
    with serving(database, tmp_path_factory.mktemp("centre"), module_objects) as client:
        yield People(client)


@pytest.fixture
def code() -> str:
    return f"P-{CLOCK.new_id()}"


def product(code: str, **changes: Any) -> dict[str, Any]:
    return {"product_code": code, "product_name": "金属板", "version": "1"} | changes


# ── who ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_person_logs_in_and_out(people: People) -> None:
    name, token = people.person("technician")
    assert people.ask("GET", "/operators/me", token).json()["role"] == "technician"
    assert people.log_in(name.upper()).status_code == 200
    assert people.ask("POST", "/operators/logout", token).status_code == 204
    answer = people.ask("GET", "/operators/me", token)
    assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")


def test_a_token_is_kept_hashed_and_a_password_nowhere(people: People, database: Database) -> None:
    _, token = people.person("admin")
    with database.snapshot() as tx:
        kept = json.dumps(tx.execute("SELECT to_jsonb(t) FROM operator_tokens t").fetchall())
        logged = json.dumps(tx.execute("SELECT to_jsonb(l) FROM operator_log l").fetchall())
    assert token not in kept
    assert PASSWORD not in kept + logged


def test_wrong_passwords_are_refused_and_slowed_down(database: Database) -> None:
    operators = Operators(database, CLOCK, "")
    codes = []
    for _ in range(5):
        with pytest.raises((Denied, Busy)) as caught:
            operators.log_in("nobody at all", "wrong password")
        codes.append(caught.value.code_)
    assert codes == ["login-failed"] * 3 + ["login-slowed"] * 2
    assert operators.operator_of("") is None


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "another one"}, {"role": "inspector"}])
def test_who_is_changed_is_logged_out(people: People, change: dict[str, Any]) -> None:
    name, token = people.person("technician")
    shown = people.ask("GET", f"/masters/users/{name}").json()
    assert people.ask("PUT", f"/masters/users/{name}", json=shown | change).status_code == 200
    assert people.ask("GET", "/operators/me", token).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("GET", "/masters/products", {"inspector", "supervisor", "technician", "admin"}),
        ("GET", "/masters/users", {"admin"}),
        ("PUT", "/masters/products/x", {"technician", "admin"}),
        ("PUT", "/masters/users/x", {"admin"}),
        ("DELETE", "/masters/products/none", {"technician", "admin"}),
        ("POST", "/masters/assets", {"technician", "admin"}),
        ("POST", "/masters/import", {"technician", "admin"}),
        ("GET", "/masters/export", {"admin"}),
        ("POST", "/decisions", {"supervisor", "admin"}),
    ],
)
def test_a_role_may_do_what_is_its(people: People, method: str, path: str, roles: set[str]) -> None:
    allowed = set()
    for role in ("inspector", "supervisor", "technician", "admin"):
        _, token = people.person(role)
        answer = people.ask(method, path, token, json={} if method == "PUT" else None)
        if answer.status_code != 403:
            allowed.add(role)
            assert answer.status_code < 500
        else:
            assert answer.json()["code"] == "role-needed"
    if path == "/masters/import":
        allowed |= {"technician"}  # refused for the empty body before the role admin is asked for
    assert allowed == roles


def test_nobody_gets_in_without_a_token(people: People) -> None:
    for headers in ({}, {"Authorization": "Basic x"}, {"Authorization": "Bearer wrong"}):
        answer = people.client.get(f"{API}/masters/products", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")


def test_the_admin_token_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    token = admin_token(tmp_path, CLOCK)
    assert len(token) >= 40
    assert admin_token(tmp_path, CLOCK) == token
    assert (tmp_path / "run" / "admin-token").stat().st_mode & 0o777 == 0o600


# ── masters ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_travels_as_an_etag(people: People, code: str) -> None:
    place = f"/masters/products/{code}"
    made = people.ask("PUT", place, json=product(code))
    assert made.json()["warnings"] == []
    tag = made.headers["etag"]
    assert tag == f'"{made.json()["row_version"]}"'
    second = people.ask("PUT", place, json=product(code, product_name="B"), headers={"If-Match": tag})
    assert second.status_code == 200
    late = people.ask("PUT", place, json=product(code, product_name="C"), headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (409, "version-differs")
    assert late.json()["context"]["present"]["product_name"] == "B"
    assert late.json()["context"]["sent"]["product_name"] == "C"
    forced = people.ask("PUT", place, json=product(code, product_name="C"), headers={"If-Match": "*"})
    assert forced.json()["product_name"] == "C"
    odd = people.ask("PUT", place, json=product(code), headers={"If-Match": "seven"})
    assert (odd.status_code, odd.json()["code"]) == (422, "bad-version")


def test_every_problem_comes_with_its_pointer(people: People, code: str) -> None:
    answer = people.ask("PUT", f"/masters/products/{code}", json={"product_code": code, "version": 3})
    assert answer.status_code == 422
    found = {(one["pointer"], one["code"]) for one in answer.json()["problems"]}
    assert found == {("/product_name", "missing-key"), ("/version", "bad-value")}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'"x"', b"\xff"])
def test_a_body_that_is_no_document_is_refused(people: People, code: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = people.ask("PUT", f"/masters/products/{code}", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


def test_delete_switches_off(people: People, code: str) -> None:
    people.ask("PUT", f"/masters/products/{code}", json=product(code))
    assert people.ask("DELETE", f"/masters/products/{code}").json()["is_active"] is False
    listed = people.ask("GET", "/masters/products").json()["products"]
    assert code not in {one["product_code"] for one in listed}
    assert people.ask("POST", f"/masters/products/{code}/activate").json()["is_active"] is True
    missing = people.ask("DELETE", "/masters/products/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown-product")


def test_files_go_up_and_come_down(people: People, tmp_path: Path, code: str) -> None:
    headers = {"Content-Type": "application/zip"}
    package = zipped(write_model(tmp_path / "m", name=code), tmp_path / "m.zip").read_bytes()
    model = people.ask("POST", "/masters/packages", content=package, headers=headers).json()
    assert (model["name"], model["is_active"], model["task"]) == (code, True, "classify")
    asset = people.ask("POST", "/masters/assets", content=b"picture").json()
    assert asset["size"] == len(b"picture")
    body = {"definition": pipeline(code, model=code)}
    assert people.ask("PUT", f"/masters/pipelines/{code}", json=body).status_code == 200
    bundle = zipped(write_bundle(tmp_path / "b"), tmp_path / "b.zip").read_bytes()
    assert people.ask("POST", "/masters/import?dry_run=true", content=bundle).json()["problems"] == []
    report = people.ask("POST", "/masters/import", content=bundle).json()
    assert report["counts"]["products"]["added"] == 1
    out = people.ask("GET", "/masters/export")
    assert out.headers["content-type"] == "application/zip"
    assert f"models/{code}-1.0.0/model.onnx" in zipfile.ZipFile(io.BytesIO(out.content)).namelist()
    nothing = people.ask("POST", "/masters/packages", content=b"")
    assert (nothing.status_code, nothing.json()["code"]) == (422, "package-missing")
    broken = people.ask("POST", "/masters/import", content=b"no zip")
    assert (broken.status_code, broken.json()["problems"][0]["code"]) == (422, "bad-zip")


def test_nothing_stays_in_the_scratch_folder(people: People) -> None:
    state: Any = people.client.app
    assert list(state.state.services.office.scratch.iterdir()) == []


# ── decisions ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_supervisor_overrides_a_session(people: People, database: Database, device: Device) -> None:
    device.store.add_session()
    ops = device.outbox()
    device.push(ops)
    session_id = next(op.entity_id for op in ops if op.entity_type == "inspection_sessions")
    _, token = people.person("supervisor")
    before = pull(database, "decisions", 0, None).to_cursor
    body = {"session_id": session_id, "final_result": "NG", "reason": "scratch seen later"}
    first = people.ask("POST", "/decisions", token, json=body)
    assert (first.status_code, first.json()["version"]) == (201, 1)
    again = people.ask("POST", "/decisions", token, json=body)
    assert (again.status_code, again.json()["code"]) == (409, "version-differs")
    assert again.json()["context"]["present"]["id"] == first.json()["id"]
    item = {**body, "item_id": CLOCK.new_id()}
    assert people.ask("POST", "/decisions", token, json=item).status_code == 201
    second = people.ask("POST", "/decisions", token, json={**body, "final_result": "OK", "version": 2})
    listed = people.ask("GET", f"/decisions?session_id={session_id}", token).json()["decisions"]
    assert [one["version"] for one in listed if one["item_id"] is None] == [1, 2]
    page = pull(database, "decisions", before, _epoch(database))
    assert json.loads(page.changes[-1].data)["id"] == second.json()["id"]
    unknown = people.ask("POST", "/decisions", token, json={**body, "session_id": CLOCK.new_id()})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown-session")
    machine = people.ask("POST", "/decisions", json={**body, "version": 3})
    assert (machine.status_code, machine.json()["code"]) == (403, "person-needed")


def _epoch(database: Database) -> str:
    return pull(database, "masters", 0, None).server_epoch
