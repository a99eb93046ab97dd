"""A queue on its way by stick, from a whole agent to a whole server and back: the answer settles what was taken in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from central_server.devices import issue_code
from central_server.objects import Objects
from central_server.parcels import TakenIn, take_in
from central_server.store.database import Database
from tests.api_agent import Agent, open_agent, png
from tests.central.caller import serving
from tests.central.devices import CLOCK
from tests.central.reach import HOST, Reach, refused

API = "/api/v1"


@dataclass
class Line:
    """An enrolled agent whose network is gone, and the server it belongs to."""

    agent: Agent
    reach: Reach
    database: Database
    objects: Objects
    place: Path

    def ask(self, method: str, path: str, **more: Any) -> Any:
        answer = self.agent.client.request(method, f"{API}/sync/{path}", headers=self.agent.cli, **more)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def finished(self, job: dict[str, Any]) -> dict[str, Any]:
        while job["phase"] == "running":
            job = self.ask(
                "GET", f"jobs/{job['id']}", params={"after_revision": job["revision"], "wait_s": 10}
            )
        return job

    def export(self, name: str) -> Path:
        job = self.finished(self.ask("POST", "export", json={"file": str(self.place / name)}))
        assert job["phase"] == "done", job
        return self.place / name

    def take_in(self, parcel: Path) -> TakenIn:
        return take_in(self.database, self.objects, CLOCK, parcel, self.place, lambda *_: None)

    def import_ack(self, ack: bytes) -> Any:
        return self.ask("POST", "import-ack", content=ack)

    def inspect(self, serial: str, salt: int) -> None:
        client, headers = self.agent.client, self.agent.cli
        text = json.dumps({"product": "PLATE", "serial": serial})
        body = client.post(f"{API}/sessions", json={"text": text}, headers=headers).json()
        item = next(one["item"]["id"] for one in body["items"] if one["item"]["item_code"] == "look")
        path = f"{API}/sessions/{body['session']['id']}/items/{item}/images"
        answer = client.post(
            path,
            params={"wait_s": 60},
            content=png(255, salt=salt),
            headers={**headers, "Content-Type": "application/octet-stream"},
        )
        assert answer.status_code in (200, 201), answer.text

    def waiting(self) -> int:
        return sum(lane["waiting"] for lane in self.ask("GET", "status")["lanes"])


@pytest.fixture
def line(database: Database, objects: Objects, tmp_path: Path) -> Iterator[Line]:
    with serving(database, tmp_path / "centre", objects) as app:
        reach = Reach(app)

        def way(_url: str) -> httpx.Client:
            return httpx.Client(transport=reach)

        with open_agent(tmp_path / "data", open_central=way) as agent:
            made = Line(agent, reach, database, objects, tmp_path)
            code = issue_code(database, CLOCK, "line 1", 600).code
            made.ask("POST", "enroll", json={"server": f"https://{HOST}", "code": code})
            reach.disturb("", refused, times=100_000)
            yield made


def test_the_queue_goes_by_stick_and_drains_without_a_network(line: Line) -> None:
    line.inspect("S1", 1)
    line.inspect("S2", 2)
    job = line.finished(line.ask("POST", "run"))
    assert (job["phase"], job["error"]["exit_code"]) == ("failed", 7)
    assert line.waiting() > 0
    taken = line.take_in(line.export("queue.zip"))
    assert (taken.rejected, taken.waiting, taken.photographs) == (0, 0, 2)
    assert taken.applied == line.waiting()
    settled = line.import_ack(taken.ack)
    assert (settled["settled"], settled["images"], line.waiting()) == (taken.applied, 2, 0)
    status = line.ask("GET", "status")
    assert (status["images"]["waiting"], status["dead"]) == (0, 0)
    found = line.agent.client.post(f"{API}/check", headers=line.agent.cli).json()["findings"]
    assert [one["code"] for one in found if one["severity"] == "error"] == []


def test_what_went_by_stick_and_comes_over_the_network_too_is_there_once(line: Line) -> None:
    line.inspect("S3", 3)
    taken = line.take_in(line.export("queue.zip"))
    line.inspect("S4", 4)
    line.reach.mend()
    job = line.finished(line.ask("POST", "run"))
    assert (job["phase"], job["result"]["rows_left"], line.waiting()) == ("done", 0, 0)
    assert line.import_ack(taken.ack)["settled"] == 0
    job = line.finished(line.ask("POST", "run"))
    assert job["phase"] == "done"
    with line.database.snapshot() as tx:
        device_id = line.ask("GET", "status")["device_id"]
        sql = "SELECT count(*), count(DISTINCT op_id) FROM tauri_sync_queue WHERE device_id = %s"
        [(rows, distinct)] = tx.execute(sql, (device_id,)).fetchall()
    assert rows == distinct


def test_stopping_an_export_leaves_no_file(line: Line) -> None:
    line.inspect("S5", 5)
    job = line.ask("POST", "export", json={"file": str(line.place / "queue.zip")})
    line.ask("POST", f"jobs/{job['id']}/cancel")
    job = line.finished(job)
    assert (job["phase"] == "cancelled") == (not (line.place / "queue.zip").exists())


@pytest.mark.parametrize("file", ["relative.zip", "{data}/inside.zip", "/no-such-folder/queue.zip"])
def test_an_export_goes_to_a_new_file_outside_the_data(line: Line, file: str) -> None:
    path = file.format(data=line.agent.services.config.data_dir)
    answer = line.agent.client.post(f"{API}/sync/export", json={"file": path}, headers=line.agent.cli)
    assert (answer.status_code, answer.json()["code"]) == (422, "export-file")


def test_while_paused_nothing_is_sent(line: Line) -> None:
    line.reach.mend()
    assert line.ask("POST", "pause") == {"is_paused": True}
    assert line.ask("GET", "status")["summary"] == "paused"
    job = line.finished(line.ask("POST", "run"))
    assert (job["phase"], job["error"]["code"]) == ("failed", "sync-paused")
    assert line.ask("POST", "resume") == {"is_paused": False}
    assert line.finished(line.ask("POST", "run"))["phase"] == "done"
    assert line.ask("GET", "status")["summary"] in ("up-to-date", "waiting")


def test_both_sides_compared_mended_and_begun_again(line: Line) -> None:
    line.inspect("S6", 6)
    line.reach.mend()
    assert line.finished(line.ask("POST", "run"))["phase"] == "done"
    job = line.finished(line.ask("POST", "verify", json={"deep": True}))
    assert (job["phase"], job["result"]["is_clean"]) == ("done", True), job
    device_id = line.ask("GET", "status")["device_id"]
    with line.database.write() as tx:
        tx.execute("DELETE FROM ai_inspection_results WHERE device_id = %s", (device_id,))
    job = line.finished(line.ask("POST", "verify", json={}))
    assert [one["kind"] for one in job["result"]["differences"]] == ["missing-there"]
    job = line.finished(line.ask("POST", "repair", json={"dry_run": True}))
    assert (job["result"]["dry_run"], job["result"]["queued"]) == (True, 1)
    job = line.finished(line.ask("POST", "resync", json={"tables": ["ai_inspection_results"]}))
    assert (job["phase"], job["result"]["queued"]) == ("done", 1), job
    assert (
        line.agent.client.post(
            f"{API}/sync/resync", json={"tables": ["users_of_nobody"]}, headers=line.agent.cli
        ).json()["code"]
        == "unknown-table"
    )
