"""Who may do what, how people log in, and what the console's cookie is good for."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.events import Event
from tests.api_agent import ORIGIN, PASSWORD, PEOPLE, Agent, open_agent, png
from tests.waiting import wait_for

API = "/api/v1"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with open_agent(tmp_path_factory.mktemp("agent"), with_bundle=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def people(agent: Agent) -> dict[str, dict[str, str]]:
    return {role: agent.log_in(name) for name, role in PEOPLE.items()}


ALLOWED = {
    "/sessions": {"inspector", "supervisor", "technician", "admin"},
    "/reviews": {"inspector", "supervisor", "technician", "admin"},
    "/audit": {"supervisor", "technician", "admin"},
    "/sync/status": {"inspector", "supervisor", "technician", "admin"},
    "/sync/queue": {"supervisor", "technician", "admin"},
    "/sync/dead": {"supervisor", "technician", "admin"},
    "/sync/dead/export": {"technician", "admin"},
    "/sync/conflicts": {"supervisor", "technician", "admin"},
    "/exports/sessions.csv": {"supervisor", "admin"},
    "/exports/sessions.pdf": {"supervisor", "admin"},
    "/masters/export": {"technician", "admin"},
    "/users": {"admin"},
}


@pytest.mark.parametrize("path", ALLOWED)
def test_only_the_roles_named_may(agent: Agent, people: dict[str, dict[str, str]], path: str) -> None:
    for role, headers in people.items():
        answer = agent.client.get(f"{API}{path}", headers=headers)
        if role in ALLOWED[path]:
            assert answer.status_code == 200, (role, answer.text)
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "role-needed"), role


def test_without_a_login_everything_is_refused(agent: Agent) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        answer = agent.client.get(f"{API}/sessions", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] in ("login-needed", "login-expired")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_install_token_is_a_technician_that_manages_users_but_never_judges(agent: Agent) -> None:
    me = agent.client.get(f"{API}/auth/me", headers=agent.cli).json()
    assert (me["name"], me["role"], me["user"]) == ("cli", "technician", None)
    assert agent.client.get(f"{API}/users", headers=agent.cli).status_code == 200
    assert agent.client.get(f"{API}/exports/sessions.csv", headers=agent.cli).status_code == 403
    path = f"{API}/sessions/{'0' * 36}/verifications"
    answer = agent.client.post(path, json={"final_result": "OK"}, headers=agent.cli)
    assert (answer.status_code, answer.json()["code"]) == (403, "person-needed")


def test_the_consoles_cookie_works_from_its_own_page_only(agent: Agent) -> None:
    own = {"Origin": ORIGIN}
    body = {"username": "mika", "password": PASSWORD, "cookie": True}
    answer = agent.client.post(f"{API}/auth/login", json=body, headers=own)
    assert answer.json()["token"] is None
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert agent.client.get(f"{API}/auth/me").json()["name"] == "mika"
    refused = agent.client.post(f"{API}/auth/logout")
    assert (refused.status_code, refused.json()["code"]) == (403, "origin-needed")
    assert agent.client.post(f"{API}/auth/logout", headers=own).status_code == 204
    assert agent.client.get(f"{API}/auth/me").status_code == 401


def test_a_password_can_be_changed_by_its_owner_and_ends_the_other_logins(agent: Agent) -> None:
    added = {"username": "yuki", "full_name": "雪", "role": "inspector", "password": "first password"}
    assert agent.client.post(f"{API}/users", json=added, headers=agent.cli).status_code == 201
    login = {"username": "yuki", "password": "first password"}
    token = agent.client.post(f"{API}/auth/login", json=login).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    elsewhere = {
        "Authorization": f"Bearer {agent.client.post(f'{API}/auth/login', json=login).json()['token']}"
    }
    wrong = {"old_password": "guess", "new_password": "second password"}
    answer = agent.client.post(f"{API}/auth/password", json=wrong, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "password-wrong")
    short = {**wrong, "old_password": "first password", "new_password": "short"}
    answer = agent.client.post(f"{API}/auth/password", json=short, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "password-unfit")
    right = {**wrong, "old_password": "first password"}
    assert agent.client.post(f"{API}/auth/password", json=right, headers=headers).status_code == 204
    assert agent.client.get(f"{API}/auth/me", headers=headers).status_code == 200
    assert agent.client.get(f"{API}/auth/me", headers=elsewhere).status_code == 401
    assert agent.client.post(f"{API}/auth/login", json=login).status_code == 401


def test_users_are_changed_but_the_last_admin_stays(agent: Agent, people: dict[str, dict[str, str]]) -> None:
    admin = people["admin"]
    added = {"username": "aoi", "full_name": "葵", "role": "inspector", "password": "long enough"}
    assert agent.client.post(f"{API}/users", json=added, headers=admin).status_code == 201
    twice = agent.client.post(f"{API}/users", json=added, headers=admin)
    assert (twice.status_code, twice.json()["code"]) == (409, "user-taken")
    changed = agent.client.patch(f"{API}/users/aoi", json={"role": "supervisor"}, headers=admin).json()
    assert (changed["role"], changed["full_name"]) == ("supervisor", "葵")
    for body in ({"role": "inspector"}, {"is_active": False}):
        answer = agent.client.patch(f"{API}/users/rei", json=body, headers=admin)
        assert (answer.status_code, answer.json()["code"]) == (409, "last-admin")
    assert agent.client.patch(f"{API}/users/none", json={}, headers=admin).status_code == 404
    entries = agent.client.get(f"{API}/audit", headers=admin).json()["entries"]
    assert "long enough" not in str(entries)


def test_the_audit_trail_is_whole(agent: Agent, people: dict[str, dict[str, str]]) -> None:
    proof = agent.client.get(f"{API}/audit/verify", headers=people["supervisor"]).json()
    assert proof["is_whole"]
    assert proof["entries"] > 0
    assert proof["faults"] == []


def test_errors_come_in_the_language_asked_for(agent: Agent) -> None:
    japanese = agent.client.get(f"{API}/sessions", headers={"Accept-Language": "ja"}).json()
    assert japanese["title"] == "ログインしてください"


def test_the_console_page_asks_no_other_server(agent: Agent) -> None:
    page = agent.client.get("/")
    assert page.status_code == 200
    assert "http" not in page.text
    assert not re.search(r"<script(?![^>]* src=)", page.text), "a script in the page would not be run"


def test_every_opening_of_the_console_has_a_nonce_of_its_own(agent: Agent) -> None:
    nonces = set()
    for page in (agent.client.get("/"), agent.client.get("/")):
        [nonce] = re.findall(r"style-src 'self' 'nonce-([^']+)'", page.headers["Content-Security-Policy"])
        assert f'property="csp-nonce" nonce="{nonce}"' in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        nonces.add(nonce)
    assert len(nonces) == 2


def test_the_console_s_files_are_kept_for_good(agent: Agent) -> None:
    [script] = re.findall(r'src="\.(/assets/[^"]+\.js)"', agent.client.get("/").text)
    answer = agent.client.get(script)
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert "immutable" in answer.headers["Cache-Control"]
    assert agent.client.get("/icon.svg").headers["Content-Type"] == "image/svg+xml"
    assert agent.client.get("/assets/../index.html").status_code == 404
    assert agent.client.get("/assets/%2e%2e/index.html").json()["code"] == "no-such-path"


def test_a_plant_names_its_own_reasons(agent: Agent, people: dict[str, dict[str, str]]) -> None:
    path = f"{API}/settings/reasons"
    offered = agent.client.get(path, headers=people["inspector"]).json()["reasons"]
    assert {"scratch", "other"} <= {reason["code"] for reason in offered}
    own = {"reasons": [{"code": "burr", "ja": "バリ", "en": "Burr"}]}
    assert agent.client.put(path, json=own, headers=people["inspector"]).status_code == 403
    assert agent.client.put(path, json=own, headers=people["technician"]).json() == own
    twice = {"reasons": own["reasons"] * 2}
    assert agent.client.put(path, json=twice, headers=people["technician"]).status_code == 422
    assert agent.client.get(path, headers=people["inspector"]).json() == own


def test_probes_and_metrics_need_no_login(agent: Agent) -> None:
    assert agent.client.get("/health/live").json()["status"] == "ok"
    assert agent.client.get("/health/ready").json() == {"status": "ok", "problems": []}
    text = agent.client.get("/metrics").text
    assert "# TYPE edge_agent_database_commits_total counter" in text
    assert 'edge_agent_inference_state{state="' in text


def test_system_pages_answer(agent: Agent, people: dict[str, dict[str, str]]) -> None:
    for path in ("info", "disk", "findings", "metrics"):
        assert agent.client.get(f"{API}/system/{path}", headers=people["technician"]).status_code == 200
    status = agent.client.get(f"{API}/sync/status", headers=people["inspector"]).json()
    assert not status["is_configured"]
    assert agent.client.post(f"{API}/check", headers=people["technician"]).json() == {"findings": []}


def test_findings_are_told_in_the_language_asked_for(agent: Agent, people: dict[str, dict[str, str]]) -> None:
    orphan = agent.services.config.data_dir / "images" / "2026-11-23" / "left.png"
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"?")
    os.utime(orphan, (0, 0))  # what is fresh may still get its row
    for language, is_ascii in (("en", True), ("ja", False)):
        headers = people["technician"] | {"Accept-Language": language}
        [found] = agent.client.post(f"{API}/check", headers=headers).json()["findings"]
        assert (found["code"], found["hint"].isascii()) == ("image-orphan", is_ascii)
    orphan.unlink()


def test_a_full_disk_is_said_by_the_readiness_probe(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("full")
    with open_agent(folder, with_bundle=False, min_free_bytes=2**62) as full:
        answer = full.client.get("/health/ready")
        assert (answer.status_code, answer.json()["problems"]) == (503, ["disk-nearly-full"])


@contextmanager
def followed(agent: Agent) -> Iterator[list[str]]:
    """A window that follows until the block ends; then the list holds the stream's frames."""
    frames: list[str] = []

    def follow() -> None:
        answer = agent.client.get(f"{API}/events", headers=headers)
        assert answer.headers["content-type"].startswith("text/event-stream")
        frames.extend(re.sub("^id: .*\n", "", frame) for frame in answer.text.split("\n\n"))

    headers = agent.log_in("mika")
    window = threading.Thread(target=follow)
    window.start()
    wait_for(lambda: len(agent.app.state.streams))
    try:
        yield frames
    finally:
        agent.app.state.streams.close()
        window.join()


def test_events_reach_a_window_that_follows(tmp_path: Path) -> None:
    """Its own agent: the streams are closed for good at the end."""
    hot = tmp_path / "hot"
    hot.mkdir()
    folder = {"path": str(hot), "product": "PLATE", "item": "look", "settle_s": 0, "give_up_s": 0}
    with open_agent(tmp_path / "agent", with_bundle=False) as agent, agent.services.scheduled():
        heard: list[Event] = []
        with followed(agent) as frames:
            agent.services.events.subscribe(heard.append)
            agent.services.events.publish("verdict", {"image_id": "i1", "overall_result": "NG"})
            put = agent.client.put(f"{API}/folders/line", json=folder, headers=agent.log_in("tomo"))
            assert put.status_code == 200, put.text
            wait_for(lambda: "folder" in {event.kind for event in heard})
            told = len(heard)
            (hot / "broken.png").write_bytes(b"no picture")
            wait_for(agent.services.folders.quarantine_count)
            wait_for(lambda: "folder" in {event.kind for event in heard[told:]})
            wait_for(lambda: any("quarantine-not-empty" in event.facts.get("codes", ()) for event in heard))
    assert 'event: verdict\ndata: {"image_id": "i1", "overall_result": "NG"}' in frames
    assert frames.count('event: folder\ndata: {"name": "line"}') >= 2
    assert any(frame.startswith("event: health\n") and "quarantine-not-empty" in frame for frame in frames)


def test_in_blind_mode_the_inspector_decides_first(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_agent(tmp_path_factory.mktemp("blind"), blind_mode=True) as agent:
        mika, ken = agent.log_in("mika"), agent.log_in("ken")
        session = agent.client.post(f"{API}/sessions", json={"text": "PLATE"}, headers=mika).json()
        item_id = session["items"][0]["item"]["id"]
        base = f"{API}/sessions/{session['session']['id']}"
        added = agent.client.post(
            f"{base}/items/{item_id}/images",
            params={"wait_s": 60},
            content=png(0),
            headers={**mika, "Content-Type": "image/png"},
        ).json()
        assert (added["verdict_state"], added["verdict"]) == ("withheld", None)
        image = f"{API}/images/{added['image']['id']}"

        def sees(who: dict[str, str]) -> tuple[bool, bool, int, bool]:
            shown = agent.client.get(base, headers=who).json()["items"][0]
            trace = agent.client.get(f"{base}/trace", headers=who).json()
            overlay = agent.client.get(f"{image}/overlay", headers=who).status_code
            found = agent.client.get(image, headers=who).json()
            return shown["verdict"] is not None, bool(trace["ai_results"]), overlay, bool(found["ai_results"])

        assert sees(mika) == (False, False, 403, False)
        assert sees(ken)[:2] == (True, True)
        result_id = agent.client.get(image, headers=ken).json()["ai_results"][0]["id"]
        withheld = agent.client.get(f"{API}/results/{result_id}", headers=mika)
        assert (withheld.status_code, withheld.json()["code"]) == (403, "verdict-withheld")
        reviews = agent.client.get(f"{API}/reviews", headers=mika).json()["reviews"]
        assert [entry["review"] for entry in reviews] == ["WITHHELD"]

        verdict = {"final_result": "OK", "item_id": item_id, "saw_ai": True}
        agent.client.post(f"{base}/verifications", json=verdict, headers=mika)
        [judged] = agent.client.get(f"{base}/verifications", headers=ken).json()["verifications"]
        assert judged["saw_ai"] is False
        shown, traced, _, found = sees(mika)
        assert (shown, traced, found) == (True, True, True)
