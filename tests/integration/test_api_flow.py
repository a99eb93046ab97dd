"""Scan to completion through the API, with a real inference process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.store import settings
from edge_agent.store.database import insert
from tests.api_agent import Agent, open_agent, png
from tests.waiting import wait_for

API = "/api/v1"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with open_agent(tmp_path_factory.mktemp("agent")) as opened:
        yield opened


@pytest.fixture(scope="module")
def mika(agent: Agent) -> dict[str, str]:
    return agent.log_in("mika")


def start(agent: Agent, who: dict[str, str], serial: str) -> dict[str, Any]:
    body = {"text": "PLATE", "serial": serial}
    answer = agent.client.post(
        f"{API}/sessions", json={**body, "text": f'{{"product":"PLATE","sn":"{serial}"}}'}, headers=who
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def items_of(session: dict[str, Any]) -> dict[str, str]:
    return {entry["item"]["item_code"]: entry["item"]["id"] for entry in session["items"]}


def upload(agent: Agent, who: dict[str, str], session: dict[str, Any], data: bytes, **more: Any) -> Any:
    url = f"{API}/sessions/{session['session']['id']}/items/{items_of(session)['look']}/images"
    headers = {**who, "Content-Type": "image/png", **more.pop("headers", {})}
    more["params"] = {"wait_s": 60} | more.get("params", {})
    answer = agent.client.post(url, content=data, headers=headers, **more)
    assert answer.status_code < 500, answer.text
    return answer


def test_a_whole_inspection_from_scan_to_completion(agent: Agent, mika: dict[str, str]) -> None:
    scan = agent.client.post(f"{API}/scans", json={"text": "PLATE"}, headers=mika).json()
    assert [item["item_code"] for item in scan["items"]] == ["look", "led"]
    session = start(agent, mika, "A1")
    session_id, items = session["session"]["id"], items_of(session)

    added = upload(agent, mika, session, png(255), params={"name": "one.png"})
    assert added.status_code == 201, added.text
    body = added.json()
    assert (body["verdict_state"], body["verdict"]["overall_result"]) == ("ready", "OK")
    assert body["image"]["origin"] == "one.png"

    early = agent.client.post(f"{API}/sessions/{session_id}/complete", headers=mika)
    assert (early.status_code, early.json()["code"]) == (409, "session-incomplete")
    assert early.json()["context"]["missing"] == ["look", "led"]

    for code, more in (("look", {}), ("led", {"checks": {"led": True}})):
        verdict = {"final_result": "OK", "item_id": items[code], "verification_time": 1.5, **more}
        answer = agent.client.post(f"{API}/sessions/{session_id}/verifications", json=verdict, headers=mika)
        assert answer.status_code == 201, answer.text
    done = agent.client.post(f"{API}/sessions/{session_id}/complete", headers=mika).json()
    assert (done["session"]["status"], done["session"]["final_result"]) == ("COMPLETED", "OK")

    trace = agent.client.get(f"{API}/sessions/{session_id}/trace", headers=mika).json()
    assert len(trace["images"]) == len(trace["ai_results"]) == 1
    assert {row["final_result"] for row in trace["verifications"]} == {"OK"}
    assert trace["audit"][0]["actor"] == "mika"


def test_what_the_centre_decided_is_shown_with_the_session(agent: Agent, mika: dict[str, str]) -> None:
    session = start(agent, mika, "A9")
    session_id, item_id = session["session"]["id"], items_of(session)["look"]
    assert session["decisions"] == []
    row = {
        "session_id": session_id,
        "decided_by": "nobody known here",
        "decided_at": "2026-11-23T00:00:00.000Z",
    }
    said = [("d1", None, "NG", 1), ("d2", None, "OK", 2), ("d3", item_id, "NG", 1)]
    with agent.services.database.write(local=False) as tx:
        for name, item, result, version in said:
            more = {"id": name, "item_id": item, "final_result": result, "version": version, "reason": name}
            insert(tx, "central_decisions", row | more)
    for path in ("", "/trace"):
        shown = agent.client.get(f"{API}/sessions/{session_id}{path}", headers=mika).json()["decisions"]
        assert [(one["id"], one["item_id"]) for one in shown] == [("d2", None), ("d3", item_id)]
    assert shown[0]["decided_by"] == "nobody known here"


def test_pictures_of_an_image_come_with_an_etag(agent: Agent, mika: dict[str, str]) -> None:
    session = start(agent, mika, "A2")
    data = png(10, salt=2)
    body = upload(agent, mika, session, data).json()
    assert body["verdict"]["overall_result"] != "OK"
    image = f"{API}/images/{body['image']['id']}"
    original = agent.client.get(f"{image}/original", headers=mika)
    assert (original.content, original.headers["content-type"]) == (data, "image/png")
    again = agent.client.get(f"{image}/original", headers={**mika, "If-None-Match": original.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    thumbnail = agent.services.config.data_dir / "derived" / f"{body['image']['id']}.thumbnail.jpg"
    thumbnail.unlink(missing_ok=True)
    drawn = agent.client.get(f"{image}/thumbnail", headers=mika)
    assert (drawn.status_code, drawn.content[:2]) == (200, b"\xff\xd8")
    result = agent.client.get(f"{API}/results/{body['verdict']['id']}", headers=mika).json()
    assert result["image_id"] == body["image"]["id"]
    missing = agent.client.get(f"{image}/heatmap", headers=mika)
    assert (missing.status_code, missing.json()["code"]) == (404, "not-drawn-yet")


def test_the_same_bytes_are_one_image(agent: Agent, mika: dict[str, str]) -> None:
    session = start(agent, mika, "A3")
    first = upload(agent, mika, session, png(200, salt=3))
    second = upload(agent, mika, session, png(200, salt=3))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["image"]["id"] == second.json()["image"]["id"]
    assert second.json()["is_duplicate"]
    assert second.json()["verdict"] == first.json()["verdict"]


def test_a_form_upload_is_taken_like_a_raw_one(agent: Agent, mika: dict[str, str]) -> None:
    session = start(agent, mika, "A4")
    url = f"{API}/sessions/{session['session']['id']}/items/{items_of(session)['look']}/images"
    files = {"file": ("金属板.png", png(250, salt=4), "image/png")}
    added = agent.client.post(url, params={"wait_s": 60}, files=files, headers=mika)
    assert added.status_code == 201, added.text
    assert added.json()["image"]["origin"] == "金属板.png"


def test_without_waiting_the_verdict_is_fetched_later(agent: Agent, mika: dict[str, str]) -> None:
    session = start(agent, mika, "A5")
    added = upload(agent, mika, session, png(240, salt=5), params={"wait": "false"})
    assert added.status_code in (201, 202)
    again = agent.client.post(f"{added.headers['location']}/inspect", params={"wait_s": 60}, headers=mika)
    assert again.status_code == 201

    def results() -> list[Any]:
        found: list[Any] = agent.client.get(added.headers["location"], headers=mika).json()["ai_results"]
        return found

    wait_for(lambda: len(results()) == 2, results)


def test_a_picture_that_is_none_is_refused_and_nothing_is_stored(agent: Agent, mika: dict[str, str]) -> None:
    session = start(agent, mika, "A6")
    for data, code in ((b"no picture", "unknown-format"), (png(9)[:-20], "truncated")):
        answer = upload(agent, mika, session, data)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    shown = agent.client.get(f"{API}/sessions/{session['session']['id']}", headers=mika).json()
    assert [entry["images"] for entry in shown["items"]] == [[], []]


def test_a_repeated_request_changes_once_and_answers_the_same(agent: Agent, mika: dict[str, str]) -> None:
    keyed = {**mika, "Idempotency-Key": "start-A7"}
    body = {"text": '{"product":"PLATE","sn":"A7"}'}
    first = agent.client.post(f"{API}/sessions", json=body, headers=keyed)
    second = agent.client.post(f"{API}/sessions", json=body, headers=keyed)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    other = agent.client.post(f"{API}/sessions", json={"text": "PLATE"}, headers=keyed)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")

    picture = {"headers": {"Idempotency-Key": "picture-A7"}}
    one = upload(agent, mika, first.json(), png(230, salt=7), **picture)
    two = upload(agent, mika, first.json(), png(230, salt=7), headers={"Idempotency-Key": "picture-A7"})
    assert one.json() == two.json()


def test_a_key_whose_answer_was_lost_says_that_the_change_was_made(
    agent: Agent, mika: dict[str, str]
) -> None:
    session = start(agent, mika, "A8")
    url = f"{API}/sessions/{session['session']['id']}/cancel"
    keyed = {**mika, "Idempotency-Key": "cancel-A8"}
    assert agent.client.post(url, json={"reason": "dropped"}, headers=keyed).status_code == 200
    with agent.services.database.write() as tx:
        tx.execute("UPDATE idempotency_keys SET reply = NULL")
    again = agent.client.post(url, json={"reason": "dropped"}, headers=keyed)
    assert (again.status_code, again.json()["code"]) == (409, "idempotency-replayed")


def test_keys_of_different_users_do_not_meet(agent: Agent, mika: dict[str, str]) -> None:
    key = {"Idempotency-Key": "shared"}
    mine = agent.client.post(f"{API}/sessions", json={"text": "PLATE"}, headers={**mika, **key})
    ken = agent.client.post(f"{API}/scans", json={"text": "PLATE"}, headers={**agent.log_in("ken"), **key})
    assert (mine.status_code, ken.status_code) == (201, 200)


def test_history_pages_through_everything_once(agent: Agent, mika: dict[str, str]) -> None:
    for number in range(5):
        start(agent, mika, f"P{number}")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params: dict[str, str | int] = {
            "limit": 2,
            "product_code": "PLATE",
            **({"cursor": cursor} if cursor else {}),
        }
        page = agent.client.get(f"{API}/sessions", params=params, headers=mika).json()
        seen += [line["id"] for line in page["sessions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) >= 5
    bad = agent.client.get(f"{API}/sessions", params={"cursor": "x"}, headers=mika)
    assert (bad.status_code, bad.json()["code"]) == (422, "bad-cursor")


def test_review_list_and_statistics_follow_the_verdicts(agent: Agent, mika: dict[str, str]) -> None:
    session = start(agent, mika, "A9")
    body = upload(agent, mika, session, png(5, salt=9)).json()
    reviews = agent.client.get(f"{API}/reviews", headers=mika).json()["reviews"]
    assert body["image"]["id"] in {entry["image_id"] for entry in reviews}
    table = agent.client.get(f"{API}/statistics/agreement?group_by=week", headers=mika).json()
    assert table["total"]["judged"] >= 1
    assert len(table["groups"]) == 1
    assert agent.client.get(f"{API}/statistics/yield?group_by=product", headers=mika).status_code == 200
    assert agent.client.get(f"{API}/statistics/reasons", headers=mika).status_code == 200


@pytest.mark.parametrize("table", ["yield", "agreement"])
def test_hours_are_counted_for_a_week_at_most(agent: Agent, mika: dict[str, str], table: str) -> None:
    path, hours = f"{API}/statistics/{table}", {"group_by": "hour", "since_day": "2026-01-01"}
    answer = agent.client.get(path, params={**hours, "until_day": "2026-01-07"}, headers=mika)
    assert (answer.status_code, answer.json()["groups"]) == (200, [])
    for until in ({"until_day": "2026-01-08"}, {"until_day": "2026-02-31"}, {}):
        answer = agent.client.get(path, params={**hours, **until}, headers=mika)
        assert (answer.status_code, answer.json()["code"]) == (422, "hours-unbounded")


def test_code_in_a_picture_is_read_and_looked_up(agent: Agent, mika: dict[str, str]) -> None:
    import cv2

    code = cv2.QRCodeEncoder.create().encode("PLATE")
    data = cv2.imencode(".png", cv2.resize(code, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST))[1]
    answer = agent.client.post(
        f"{API}/scans/picture", content=data.tobytes(), headers={**mika, "Content-Type": "image/png"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["codes"][0]["text"] == "PLATE"
    assert answer.json()["answer"]["product"]["product_code"] == "PLATE"


def test_pipeline_faults_are_listed_and_a_dry_run_stores_nothing(agent: Agent) -> None:
    tomo = agent.log_in("tomo")
    shown = agent.client.get(f"{API}/pipelines/front", headers=tomo).json()
    assert shown["is_in_force"]
    valid = agent.client.post(
        f"{API}/pipelines/validate", json=shown["pipeline"]["definition"], headers=tomo
    ).json()
    assert valid == {"is_valid": True, "problems": []}
    broken = {**shown["pipeline"]["definition"], "steps": [{"id": "x", "type": "no.such", "in": {}}]}
    faults = agent.client.post(f"{API}/pipelines/validate", json=broken, headers=tomo).json()
    assert not faults["is_valid"]
    assert "unknown-step" in {problem["code"] for problem in faults["problems"]}

    items = agent.client.get(f"{API}/masters/products/PLATE/items", headers=tomo).json()["items"]
    before = agent.services.database.commits
    run = agent.client.post(
        f"{API}/pipelines/front/dry-run",
        params={"item_id": items[0]["id"]},
        content=png(255),
        headers={**tomo, "Content-Type": "image/png"},
    )
    assert run.status_code == 200, run.text
    assert run.json()["overall_result"] == "OK"
    assert "overlay" in run.json()["pictures"]
    assert agent.services.database.commits == before


def test_masters_go_out_and_come_in_again(agent: Agent, tmp_path: Path) -> None:
    tomo = agent.log_in("tomo")
    out = agent.client.get(f"{API}/masters/export", headers=tomo)
    assert (out.status_code, out.content[:2]) == (200, b"PK")
    zipped = {**tomo, "Content-Type": "application/zip"}
    back = agent.client.post(f"{API}/masters/import", content=out.content, headers=zipped)
    assert back.status_code == 200, back.text
    assert all(count["added"] == 0 for count in back.json()["counts"].values())
    bad = agent.client.post(f"{API}/masters/import", content=b"no zip", headers=zipped)
    assert bad.status_code == 422
    assert bad.json()["problems"]
    refused = agent.client.get(f"{API}/masters/export?with_users=true", headers=tomo)
    assert (refused.status_code, refused.json()["code"]) == (403, "role-needed")
    assert not list((agent.services.config.data_dir / "staging").iterdir())


def test_models_are_tested_and_rolled_back(agent: Agent) -> None:
    tomo = agent.log_in("tomo")
    models = agent.client.get(f"{API}/models", headers=tomo).json()["models"]
    assert [(m["name"], m["version"], m["is_active"]) for m in models] == [("bright", "1.0.0", True)]
    tested = agent.client.post(f"{API}/models/bright/test", json={"version": "1.0.0"}, headers=tomo)
    assert tested.json()["agrees"]
    back = agent.client.post(f"{API}/models/bright/rollback", headers=tomo)
    assert (back.status_code, back.json()["code"]) == (409, "no-previous-version")
    none = agent.client.post(f"{API}/models/none/test", json={"version": "1"}, headers=tomo)
    assert (none.status_code, none.json()["code"]) == (404, "unknown-model")


def test_folders_are_made_watched_and_removed(agent: Agent, tmp_path: Path) -> None:
    tomo = agent.log_in("tomo")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    body = {"path": str(inbox), "product": "PLATE", "item": "look", "session": "auto"}
    made = agent.client.put(f"{API}/folders/line1", json=body, headers=tomo)
    assert made.status_code == 200, made.text
    listed = agent.client.get(f"{API}/folders", headers=tomo).json()["folders"]
    assert listed[0]["status"]["name"] == "line1"
    twice = agent.client.put(f"{API}/folders/line2", json=body, headers=tomo)
    assert (twice.status_code, twice.json()["code"]) == (409, "folder-taken")
    assert agent.client.get(f"{API}/folders/quarantine", headers=tomo).json()["count"] == 0
    assert agent.client.delete(f"{API}/folders/line1", headers=tomo).status_code == 204
    gone = agent.client.delete(f"{API}/folders/line1", headers=tomo)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown-folder")


def test_a_camera_gives_pictures_and_captures(agent: Agent, mika: dict[str, str]) -> None:
    tomo = agent.log_in("tomo")
    media = agent.services.config.data_dir / "media"
    media.mkdir(exist_ok=True)
    _write_video(media / "bench.avi")
    body = {"source": str(media / "bench.avi"), "fps": 50}
    assert agent.client.put(f"{API}/cameras/bench", json=body, headers=tomo).status_code == 200
    picture = agent.client.post(f"{API}/cameras/bench/capture", headers=mika)
    assert (picture.status_code, picture.content[:2]) == (200, b"\xff\xd8")
    session = start(agent, mika, "C1")
    url = f"{API}/sessions/{session['session']['id']}/items/{items_of(session)['look']}/captures"
    added = agent.client.post(url, params={"wait_s": 60}, json={"camera": "bench"}, headers=mika)
    assert added.status_code == 201, added.text
    assert (added.json()["image"]["source"], added.json()["image"]["origin"]) == ("camera", "bench")
    none = agent.client.post(url, json={"camera": "none"}, headers=mika)
    assert (none.status_code, none.json()["code"]) == (404, "unknown-camera")
    assert agent.client.delete(f"{API}/cameras/bench", headers=tomo).status_code == 204


def test_a_changed_camera_keeps_what_was_not_sent(agent: Agent) -> None:
    tomo, url = agent.log_in("tomo"), f"{API}/cameras/gate"
    body = {"source": "rtsp://cam:secret@127.0.0.1:9/one", "fps": 5, "timeout_s": 1}
    assert agent.client.put(url, json=body, headers=tomo).status_code == 200

    def stored() -> Any:
        with agent.services.database.read() as reader:
            return settings.get(reader, "camera.gate")

    before = stored()
    changed = agent.client.patch(url, json={"width_px": 640}, headers=tomo)
    assert changed.status_code == 200, changed.text
    assert "secret" not in changed.text
    assert stored() == {**before, "width_px": 640}
    agent.client.patch(url, json={"source": 3}, headers=tomo)
    assert stored() == {**before, "width_px": 640, "source": 3}
    refused = agent.client.patch(url, json={"source": "no address"}, headers=tomo)
    assert refused.status_code == 422
    with agent.services.database.write() as tx:
        settings.put(tx, "camera.gate", {**before, "fps": -1}, before["name"])
    refused = agent.client.patch(url, json={"source": 3}, headers=tomo)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-definition")
    assert agent.client.delete(url, headers=tomo).status_code == 204
    refused = agent.client.patch(url, json={"source": 3}, headers=tomo)
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown-camera")


def _write_video(path: Path) -> None:
    import cv2
    import numpy as np

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for _ in range(10):
        writer.write(np.full((48, 64, 3), 240, np.uint8))
    writer.release()


def test_a_picture_that_is_at_the_centre_only_says_where_to_look(agent: Agent, mika: dict[str, str]) -> None:
    session = start(agent, mika, "EVICTED")
    image = upload(agent, mika, session, png(254)).json()["image"]
    with agent.services.database.write(local=False) as tx:
        sql = "UPDATE inspection_images SET uploaded_at = ?1, evicted_at = ?1 WHERE id = ?2"
        tx.execute(sql, ("2026-11-23T12:00:00.000Z", image["id"]))
    agent.services.blobs.remove([image["file_path"]])
    answer = agent.client.get(f"{API}/images/{image['id']}/original", headers=mika)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (404, "image-evicted")
    assert image["sha256"] in str(problem)
    assert agent.client.get(f"{API}/images/{image['id']}", headers=mika).json()["image"]["evicted_at"]
