"""What was changed here meets the rows of the centre: theirs counts, ours is kept to be seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.models import Actor
from edge_agent.store.database import insert
from tests.bundles import write_bundle, write_model
from tests.sync.conftest import Agent
from tests.sync.fake_central import (
    model,
    new_id,
    product,
    user,
)
from tests.sync.fake_central import (
    pipeline as pipeline_row,
)
from tests.sync.filled import login


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ({"is_active": 0}, True),
        ({"role": "admin"}, True),
        ({"password_hash": "x"}, True),
        ({"email": "a@b"}, False),
    ],
)
def test_a_person_keeps_the_local_id_and_loses_logins_when_access_changes(
    agent: Agent, values: dict[str, Any], ends: bool
) -> None:
    agent.central.put("users", user(1))
    agent.pass_once()
    [(user_id,)] = agent.rows("users", "id")
    login(agent, user_id)
    agent.central.change("users", new_id(1), **values)
    agent.pass_once()
    assert agent.one("users", f"id, server_id, {next(iter(values))}") == (
        user_id,
        new_id(1),
        *values.values(),
    )
    assert (agent.rows("login_tokens") == []) is ends


def test_a_name_taken_here_gives_way_and_the_conflict_is_kept(agent: Agent) -> None:
    with agent.database.write() as tx:
        insert(tx, "users", {"username": "user1", "password_hash": "secret", "server_id": new_id(50)})
        insert(tx, "users", {"username": "x", "email": "a@b", "password_hash": "", "server_id": new_id(51)})
        insert(tx, "inspection_targets_master", product(52, product_code="P3"))
    login(agent, 1)
    agent.central.put("users", user(1, email="a@b"))
    agent.central.put("inspection_targets_master", product(3))
    agent.pass_once()
    assert agent.rows("users", "id, username, email, is_active") == [
        (1, f"user1~{new_id(50)}", None, 0),
        (2, "x", None, 1),
        (3, "user1", "a@b", 1),
    ]
    assert agent.rows("inspection_targets_master", "id, product_code, is_active") == [
        (new_id(3), "P3", 1),
        (new_id(52), f"P3~{new_id(52)}", 0),
    ]
    assert agent.rows("login_tokens") == []
    kept = agent.rows("conflict_log", "entity_id, kept, reason")
    assert sorted(row[0] for row in agent.rows("conflict_log", "entity_id")) == [
        new_id(50),
        new_id(51),
        new_id(52),
    ]
    assert {row[1:] for row in kept} == {("server", "name-taken")}
    assert "secret" not in str(agent.rows("conflict_log"))


def test_names_that_change_hands_within_a_round(agent: Agent) -> None:
    for number in (1, 2):
        agent.central.put("inspection_targets_master", product(number))
    agent.pass_once()
    agent.central.change("inspection_targets_master", new_id(1), product_code="P2")
    agent.central.change("inspection_targets_master", new_id(2), product_code="P1")
    agent.pass_once()
    assert agent.rows("inspection_targets_master", "id, product_code, is_active") == [
        (new_id(1), "P2", 1),
        (new_id(2), "P1", 1),
    ]
    assert agent.rows("conflict_log") == []


def test_what_was_edited_here_loses_and_is_kept_to_be_seen(agent: Agent) -> None:
    agent.central.put("inspection_targets_master", product(1))
    agent.pass_once()
    with agent.database.write() as tx:
        tx.execute("UPDATE inspection_targets_master SET product_name = '手元の名'")
    agent.central.change("inspection_targets_master", new_id(1), product_name="中央の名")
    agent.pass_once()
    assert agent.one("inspection_targets_master", "product_name") == ("中央の名",)
    [(local, server, reason)] = agent.rows("conflict_log", "local_data, server_data, reason")
    assert (json.loads(local)["product_name"], json.loads(server)["product_name"]) == ("手元の名", "中央の名")
    assert reason == "edited-here"


def test_an_agent_with_a_bundle_of_its_own_goes_on_with_the_servers_rows(
    agent: Agent, tmp_path: Path
) -> None:
    agent.masters.import_bundle(write_bundle(tmp_path / "b"), Actor("technician"))
    [(local_id, code)] = agent.rows("pipelines", "id, code")
    document = json.loads(agent.one("pipelines", "definition")[0])
    model_row = model(2, write_model(tmp_path / "m"), agent.central.blobs)
    agent.central.put("model_packages", model_row)
    agent.central.put("pipelines", pipeline_row(4, document) | {"id": local_id})
    agent.pass_once()
    assert agent.rows("pipelines", "id, code, row_version") == [(local_id, code, 2)]
    assert agent.rows("conflict_log") == []
    assert not any(asked.startswith("download") for asked in agent.central.asked)
    assert len(agent.masters.running.pipelines) == 1
