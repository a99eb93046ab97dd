"""Who changed which master when: over HTTP and on the command line, and nobody can change what is noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from central_server.devices import issue_code
from central_server.store.database import Database
from tests.central.devices import CLOCK
from tests.central.test_masters_cli import PRODUCT, Cli, cli
from tests.central.test_masters_http import PASSWORD, People, people, product

__all__ = ["cli", "people"]


def log_of(people: People, **query: Any) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = people.ask("GET", "/operators/log", params=query).json()["entries"]
    return entries


def test_a_change_names_who_what_and_which_members(people: People) -> None:
    key = f"P-{CLOCK.new_id()}"
    name, token = people.person("technician")
    first = people.ask("PUT", f"/masters/products/{key}", token, json=product(key)).json()
    changed = first | {"product_name": "new", "warnings": None}
    del changed["warnings"]
    people.ask("PUT", f"/masters/products/{key}", token, json=changed)
    people.ask("DELETE", f"/masters/products/{key}")
    found = log_of(people, subject=key)
    assert [(one["actor"], one["action"]) for one in found] == [
        ("admin token", "product.put"),
        (name, "product.put"),
        (name, "product.put"),
    ]
    assert [one["detail"]["changed"] for one in found[:2]] == [["is_active"], ["product_name"]]
    assert "product_name" in found[2]["detail"]["changed"]
    assert found[2]["detail"]["row_version"] == first["row_version"]
    assert log_of(people, kind="product", actor=name, subject=key) == found[1:]
    assert log_of(people, kind="item", subject=key) == []


def test_a_new_password_is_noted_without_itself(people: People) -> None:
    name, _ = people.person("inspector")
    (made,) = log_of(people, kind="user", subject=name)
    assert "password" in made["detail"]["changed"]
    assert PASSWORD not in str(made)


def test_pages_hold_every_entry_once(people: People) -> None:
    for _ in range(3):
        people.person("inspector")
    whole = log_of(people, limit=200)
    seen = list[dict[str, Any]]()
    while len(seen) < len(whole):
        before = {"before": seen[-1]["id"]} if seen else {}
        seen += people.ask("GET", "/operators/log", params={"limit": 2, **before}).json()["entries"]
    assert seen == whole


@pytest.mark.parametrize(("role", "status"), [("inspector", 403), ("supervisor", 403), ("technician", 200)])
def test_who_may_change_masters_may_see_who_did(people: People, role: str, status: int) -> None:
    assert people.ask("GET", "/operators/log", people.person(role)[1]).status_code == status


def test_the_command_line_notes_and_shows(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "product.json"
    file.write_text(str(PRODUCT).replace("'", '"'))
    cli("product", "put", file)
    cli("device", "code", "--site", "Plant 1")
    cli("counts", "rebuild")
    cli("epoch", "renew", "--yes")
    entries = cli("log")[1]["entries"]
    assert [one["action"] for one in entries] == [
        "epoch.renew",
        "counts.rebuild",
        "device.code",
        "product.put",
    ]
    assert {one["actor"] for one in entries} == {"command line"}
    assert [one["subject"] for one in cli("log", "--kind", "product")[1]["entries"]] == ["PLATE"]
    assert cli("log", "--by", "nobody")[1]["entries"] == []
    assert cli("log", "--before", entries[0]["id"], "--limit", 1)[1]["entries"] == entries[1:2]


@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", ["operator_log", "central_decisions"])
def test_what_is_noted_and_decided_stays(database: Database, table: str, statement: str) -> None:
    issue_code(database, CLOCK, "Plant 1", 60, "me")
    with pytest.raises(psycopg.errors.RaiseException), database.write() as tx:
        tx.execute(statement.format(table).encode())
