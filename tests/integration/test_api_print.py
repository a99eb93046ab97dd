"""The records as documents: what is printed is what was recorded, in the language asked for, and bounded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from pypdf import PdfReader

from edge_agent.api.routers.exports import MAX_PRINTED
from edge_agent.clock import to_rfc3339
from edge_agent.store.database import insert
from tests.api_agent import Agent, open_agent, png
from tests.integration.test_api_flow import API, items_of, start, upload

JAPANESE = {"Accept-Language": "ja"}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with open_agent(tmp_path_factory.mktemp("agent"), time_zone="Asia/Tokyo") as opened:
        yield opened


def read_pdf(answer: Any) -> tuple[str, int]:
    """All its words without spaces and line ends, and how many pictures it shows."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    pages = PdfReader(io.BytesIO(answer.content)).pages
    return "".join("".join(page.extract_text() for page in pages).split()), sum(
        len(page.images) for page in pages
    )


def judged(agent: Agent, serial: str) -> dict[str, Any]:
    mika = agent.log_in("mika")
    session = start(agent, mika, serial)
    upload(agent, mika, session, png(255, salt=len(serial)), params={"camera": "窓のカメラ"})
    for item_id in items_of(session).values():
        given = {"final_result": "NG", "item_id": item_id, "reason_code": "scratch", "notes": "<b>端に傷</b>"}
        path = f"{API}/sessions/{session['session']['id']}/verifications"
        assert agent.client.post(path, json=given, headers=mika).status_code == 201
    agent.client.post(f"{API}/sessions/{session['session']['id']}/complete", headers=mika)
    return session


def test_a_session_is_printed_with_pictures_verdicts_versions_and_the_audit(agent: Agent) -> None:
    session_id = judged(agent, "紙1")["session"]["id"]
    ken = agent.log_in("ken")
    trace = agent.client.get(f"{API}/sessions/{session_id}/trace", headers=ken).json()
    text, pictures = read_pdf(
        agent.client.get(f"{API}/exports/sessions/{session_id}.pdf", headers=ken | JAPANESE)
    )
    assert pictures == 1
    run, image, newest = trace["ai_results"][0], trace["images"][0], trace["audit"][0]
    assert (image["source"], image["origin"]) == ("camera", "窓のカメラ")
    for word in (
        "検査記録書",
        "不合格NG",
        "紙1",
        "<b>端に傷</b>",
        "傷",
        "mika",
        "camera窓のカメラ",
        "+09:00",
    ):
        assert word in text
    for recorded in (image["sha256"], run["pipeline_sha256"], *run["model_sha256s"], newest["sha256"]):
        assert recorded in text


def test_it_speaks_the_language_asked_for(agent: Agent) -> None:
    session_id = judged(agent, "EN")["session"]["id"]
    path = f"{API}/exports/sessions/{session_id}.pdf"
    text, _ = read_pdf(agent.client.get(path, headers=agent.log_in("rei") | {"Accept-Language": "en"}))
    assert "Inspectionrecord" in text
    assert "検査記録書" not in text


def test_only_supervisors_print(agent: Agent) -> None:
    session_id = judged(agent, "ROLE")["session"]["id"]
    for path in (f"{API}/exports/sessions/{session_id}.pdf", f"{API}/exports/sessions.pdf"):
        answer = agent.client.get(path, headers=agent.log_in("mika"))
        assert (answer.status_code, answer.json()["code"]) == (403, "role-needed")
    unknown = agent.client.get(f"{API}/exports/sessions/{'0' * 36}.pdf", headers=agent.log_in("ken"))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown-session")


def test_the_history_is_printed_as_it_is_narrowed_or_refused_if_too_long(agent: Agent) -> None:
    judged(agent, "列1")
    headers = agent.log_in("ken") | JAPANESE
    text, _ = read_pdf(agent.client.get(f"{API}/exports/sessions.pdf", headers=headers))
    assert "検査履歴" in text
    assert "列1" in text
    text, _ = read_pdf(
        agent.client.get(f"{API}/exports/sessions.pdf", params={"status": "FAILED"}, headers=headers)
    )
    assert "列1" not in text
    with agent.services.database.write(local=False) as tx:
        target = tx.execute("SELECT id, product_id FROM inspection_targets LIMIT 1").fetchone()
        for number in range(MAX_PRINTED):
            now = to_rfc3339(1_000_000 + number)
            row = {"target_id": target["id"], "product_id": target["product_id"], "work_day": now[:10]}
            row |= {"id": f"old{number}", "status": "CANCELLED", "master_version": "1", "started_at": now}
            insert(tx, "inspection_sessions", row | {"criteria_snapshot": "[]", "updated_at": now})
    answer = agent.client.get(f"{API}/exports/sessions.pdf", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "too-many-to-print")
    old = {"until": "2000-01-01T00:00:00.000Z"}
    text, _ = read_pdf(agent.client.get(f"{API}/exports/sessions.pdf", params=old, headers=headers))
    assert text.count("中止") == MAX_PRINTED
