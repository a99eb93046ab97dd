"""Refused operations and conflicts at the centre: listed, shown and resolved, over HTTP and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from central_server.store.database import Database
from edge_agent.cli.exits import Exit
from tests.central.devices import CLOCK, Device, again, edited
from tests.central.test_ingest import op_of
from tests.central.test_masters_cli import Cli, cli
from tests.central.test_masters_http import People, people

__all__ = ["cli", "people"]


def refused(device: Device, count: int = 1) -> list[str]:
    """So many operations that were refused, each by itself; their ids."""
    for _ in range(count):
        device.store.add_session()
    targets = [op for op in device.outbox() if op.entity_type == "inspection_targets"]
    for target in targets:
        assert device.outcomes([edited(target, fields={"product_id": "plate"})])[0][0] == "rejected"
    return [target.op_id for target in targets]


def disputed(device: Device) -> str:
    """A session of which two changes met."""
    session_id = device.store.add_session()
    device.store.move(session_id, "IN_PROGRESS")
    device.store.move(session_id, "CANCELLED")
    ops = device.outbox()
    device.push(ops)
    newest = json.loads(ops[-1].data)["updated_at"]
    change = op_of(ops, "inspection_sessions", "UPDATE")
    device.push([again(change, seq=77, status="HUMAN_REVIEW", updated_at=newest)])
    return session_id


def listed(people: People, kind: str, device: Device, **query: Any) -> list[dict[str, Any]]:
    answer = people.ask("GET", f"/{kind}", params={"device_id": device.device_id, **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()[kind]
    return found


# ── over HTTP ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_operation_is_listed_shown_and_resolved_once(people: People, device: Device) -> None:
    [op_id] = refused(device)
    [one] = listed(people, "rejections", device)
    assert (one["op_id"], one["code"], one["attempts"]) == (op_id, "row-invalid", 1)
    assert "data" not in one
    shown = people.ask("GET", f"/rejections/{op_id}").json()
    assert shown["data"]["product_id"] == "plate"
    name, token = people.person("technician")
    for _ in range(2):
        answer = people.ask("POST", f"/rejections/{op_id}/resolve", token)
        assert (answer.status_code, answer.json()["resolved_at"] is not None) == (200, True)
    assert listed(people, "rejections", device) == []
    assert [one["op_id"] for one in listed(people, "rejections", device, with_resolved=True)] == [op_id]
    log = people.ask("GET", "/operators/log", params={"subject": op_id}).json()["entries"]
    assert [(one["actor"], one["action"]) for one in log] == [(name, "rejected.resolve")]


def test_what_is_refused_again_is_open_again(people: People, device: Device) -> None:
    [op_id] = refused(device)
    people.ask("POST", f"/rejections/{op_id}/resolve")
    refused(device, 0)
    [one] = listed(people, "rejections", device)
    assert (one["op_id"], one["attempts"], one["resolved_at"]) == (op_id, 2, None)


def test_a_conflict_shows_both_sides_and_who_has_seen_it(people: People, device: Device) -> None:
    session_id = disputed(device)
    [one] = listed(people, "conflicts", device, entity_id=session_id)
    shown = people.ask("GET", f"/conflicts/{one['id']}").json()
    assert (shown["device_data"]["status"], shown["server_data"]["status"]) == ("HUMAN_REVIEW", "CANCELLED")
    _, token = people.person("supervisor")
    user_id = people.ask("GET", "/operators/me", token).json()["user_id"]
    answer = people.ask("POST", f"/conflicts/{one['id']}/resolve", token).json()
    assert answer["resolved_by"] == user_id
    assert listed(people, "conflicts", device) == []
    again = people.ask("POST", f"/conflicts/{one['id']}/resolve")
    assert again.json()["resolved_by"] == user_id, "whoever saw it first stays named"


def test_pages_hold_every_one_once_and_filters_choose(people: People, device: Device) -> None:
    ids = refused(device, 5)
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        query = {"device_id": device.device_id, "limit": 2, **after}
        page = people.ask("GET", "/rejections", params=query).json()
        seen += [one["op_id"] for one in page["rejections"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == ids, "the one that has waited longest first"
    assert len(listed(people, "rejections", device, code="row-invalid")) == 5
    assert listed(people, "rejections", device, code="not-owner") == []
    bad = people.ask("GET", "/rejections", params={"after": "x"})
    assert (bad.status_code, bad.json()["code"]) == (422, "bad-cursor")


@pytest.mark.parametrize("kind", ["rejections", "conflicts"])
def test_what_is_not_there_and_who_may_not(people: People, kind: str) -> None:
    path = f"/{kind}/{CLOCK.new_id()}"
    for method, place in (("GET", path), ("POST", f"{path}/resolve")):
        answer = people.ask(method, place)
        assert (answer.status_code, answer.json()["code"]) == (404, f"unknown-{kind[:-1]}")
        assert answer.json()["hint"]
    inspector = people.person("inspector")[1]
    for method, place in (("GET", f"/{kind}"), ("GET", path), ("POST", f"{path}/resolve")):
        assert people.ask(method, place, inspector).status_code == 403


# ── on the command line ─────────────────────────────────────────────────────────────────────────────────


def test_commands_list_show_and_resolve(cli: Cli, empty_url: str, tmp_path: Path) -> None:
    database = Database(empty_url, max_connections=2)
    database.open()
    device = Device(database, tmp_path / "device")
    try:
        first, second = refused(device, 2)
        assert [one["op_id"] for one in cli("rejected", "list")[1]["rejections"]] == [first, second]
        assert cli("rejected", "list", "--device", "none")[1] == {"rejections": []}
        assert cli("rejected", "show", first)[1]["data"]["product_id"] == "plate"
        missing = CLOCK.new_id()
        code, error = cli("rejected", "resolve", first, missing)
        assert (code, error["code"]) == (Exit.NOT_FOUND, "unknown-rejection")
        assert len(cli("rejected", "list")[1]["rejections"]) == 2, "all or none"
        code, done = cli("rejected", "resolve", first, second)
        assert (code, len(done["rejections"])) == (Exit.DONE, 2)
        assert cli("rejected", "list")[1] == {"rejections": []}
        assert len(cli("rejected", "list", "--all")[1]["rejections"]) == 2
        session_id = disputed(device)
        [conflict] = cli("conflict", "list", "--entity", session_id)[1]["conflicts"]
        assert cli("conflict", "show", conflict["id"])[1]["server_data"]["status"] == "CANCELLED"
        assert cli("conflict", "resolve", conflict["id"])[0] == Exit.DONE
        assert cli("conflict", "list")[1] == {"conflicts": []}
        assert cli("conflict", "show", missing)[0] == Exit.NOT_FOUND
        actions = [one["action"] for one in cli("log")[1]["entries"]]
        assert (actions.count("rejected.resolve"), actions.count("conflict.resolve")) == (2, 1)
    finally:
        device.close()
        database.close()
