"""The pull lane: whatever comes, the masters in force are whole and verified, and the newest that can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.store import audit, pulled
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.rounds import begin_again, refusals
from sync_protocol.messages import Page
from tests.bundles import LOOK, pipeline
from tests.sync.conftest import Agent
from tests.sync.fake_central import (
    FakeCentral,
    decision,
    item,
    new_id,
    product,
    user,
)
from tests.sync.fake_central import (
    pipeline as pipeline_row,
)
from tests.sync.filled import fill


def test_an_empty_agent_gets_everything_and_judges_by_it(agent: Agent, tmp_path: Path) -> None:
    made = fill(agent.central, tmp_path / "m")
    agent.pass_once()
    assert agent.cursor() == 6
    assert [p.code for p in agent.masters.running.pipelines.values()] == ["front"]
    assert agent.masters.running.findings == ()
    assert agent.one("model_packages", "name, version, is_active") == ("bright", "1.0.0", 1)
    assert agent.one("users", "server_id, row_version") == (new_id(1), 1)
    assert agent.one("inspection_items_master", "id, pipeline_id") == (new_id(6), new_id(4))
    assert (agent.config.data_dir / "assets" / made["asset"]["sha256"]).is_file()
    assert not (agent.config.data_dir / "downloads").exists()
    assert agent.rows("pull_pages") == []
    with agent.database.read() as reader:
        [entry] = audit.list_entries(reader)
    assert (entry.action, entry.entity_id) == ("masters.pull", "6")


def test_a_pass_with_nothing_new_asks_for_nothing(agent: Agent, tmp_path: Path) -> None:
    fill(agent.central, tmp_path / "m")
    agent.pass_once()
    agent.central.asked.clear()
    assert agent.pass_once() == 1
    assert agent.central.asked == []


def test_without_a_greeting_it_asks_once(agent: Agent) -> None:
    agent.central.put("inspection_targets_master", product(1))
    while agent.lane.step():
        pass
    assert (agent.cursor(), agent.lane.step()) == (1, False)
    assert agent.central.asked.count("pull masters 1") == 0


def test_a_greeting_that_is_older_or_newer_than_the_pages_harms_nothing(agent: Agent) -> None:
    agent.central.put_raw("conveyors", "x", "{}")
    agent.pass_once()
    agent.lane.told({"masters": 99, "decisions": 99}, agent.central.epoch)
    assert not agent.lane.step()
    agent.lane.told({"masters": 0, "decisions": 0}, agent.central.epoch)
    assert not agent.lane.step()


def test_many_pages_are_one_round(agent: Agent) -> None:
    agent.central.rows_per_page = 10
    for number in range(40):
        agent.central.put("inspection_targets_master", product(number))
    agent.greet()
    for _ in range(3):
        assert agent.lane.step()
        assert agent.rows("inspection_targets_master") == []
    agent.central.change("inspection_targets_master", new_id(3), product_name="新しい名")
    agent.pass_once()
    assert len(agent.rows("inspection_targets_master")) == 40
    assert agent.rows("inspection_targets_master", "id, product_name")[3][1] == "新しい名"
    assert agent.cursor() == 41


def test_a_last_page_that_is_full_ends_with_an_empty_one(agent: Agent) -> None:
    agent.central.rows_per_page = 2
    for number in range(4):
        agent.central.put("inspection_targets_master", product(number))
    agent.central.damage = lambda page: page.model_copy(
        update={
            "has_more": bool(page.changes),
            "to_cursor": max((c.version for c in page.changes), default=4),
        }
    )
    agent.pass_once()
    assert len(agent.rows("inspection_targets_master")) == 4


def test_a_refused_row_in_the_middle_changes_nothing_and_the_old_masters_judge(
    agent: Agent, tmp_path: Path
) -> None:
    central = agent.central
    made = fill(central, tmp_path / "m")
    agent.pass_once()
    running = agent.masters.running
    before = agent.rows("inspection_targets_master"), agent.rows("inspection_items_master")
    central.change("inspection_targets_master", new_id(5), product_name="B")
    central.put("inspection_items_master", item(7, made["product"], {**LOOK, "rule": "class", "accept": ["gold"]},
                                                ai_enabled=1, pipeline_id=new_id(4)))  # fmt: skip
    central.put("inspection_targets_master", product(8))
    agent.pass_once()
    assert agent.cursor() == 6
    assert (agent.rows("inspection_targets_master"), agent.rows("inspection_items_master")) == before
    assert agent.masters.running is running
    [message] = agent.problems()
    assert f"inspection_items_master/{new_id(7)}" in message
    assert "gold" in message
    assert agent.pass_once() == 1, "it is not tried again before its time"
    central.change("inspection_items_master", new_id(7), criteria=json.dumps(LOOK))
    agent.pass_once()
    assert agent.problems() == []
    assert agent.cursor() == 10
    assert len(agent.rows("inspection_targets_master")) == 2


def newer_column(central: FakeCentral) -> None:
    central.change("inspection_targets_master", new_id(5), product_name="B", weight_g=12)


def newer_table(central: FakeCentral) -> None:
    central.change("inspection_targets_master", new_id(5), product_name="B")
    central.put_raw("conveyors", new_id(9), "{}")


def older_column(central: FakeCentral) -> None:
    row = product(5) | {"product_name": "B"}
    del row["description"]
    central.put("inspection_targets_master", row)


@pytest.mark.parametrize(
    ("speak", "code", "advice"),
    [
        (newer_column, "schema-newer", "Update this agent"),
        (newer_table, "schema-newer", "Update this agent"),
        (older_column, "schema-older", "Update the central server"),
    ],
)
def test_a_server_of_another_version_stops_the_cursor_and_the_old_masters_judge(
    agent: Agent, tmp_path: Path, speak: Callable[[FakeCentral], None], code: str, advice: str
) -> None:
    fill(agent.central, tmp_path / "m")
    agent.pass_once()
    running, cursor, before = agent.masters.running, agent.cursor(), agent.rows("inspection_targets_master")
    speak(agent.central)
    agent.central.put("central_decisions", decision(1, new_id(77)))
    agent.pass_once()
    assert (agent.cursor(), agent.rows("inspection_targets_master")) == (cursor, before)
    assert agent.masters.running is running
    assert agent.cursor("decisions") == 1, "the other space goes on"
    with agent.database.read() as reader:
        [finding] = refusals(reader)
    assert (finding.code, f"[{code}]" in finding.message) == ("masters-refused", True)
    assert finding.hint.startswith(advice)
    agent.central.put("inspection_targets_master", product(5) | {"product_name": "C"})
    agent.central.changes["masters"].pop(("conveyors", new_id(9)), None)
    with agent.database.write(local=False) as tx:
        begin_again(tx, "masters", "the older side was updated")
    agent.pass_once()
    assert agent.problems() == []
    assert agent.one("inspection_targets_master", "product_name") == ("C",)


def test_a_refused_round_is_tried_again_ever_more_rarely(agent: Agent) -> None:
    agent.central.put_raw("conveyors", "x", "{}")
    agent.pass_once()
    assert "schema-newer" in agent.problems()[0]
    waits = []
    for _ in range(8):
        with agent.database.read() as reader:
            refused = pulled.state(reader, "masters").detail["refused"]
        waits.append(refused["attempts"])
        agent.time.now += 4000
        agent.pass_once()
    assert waits == list(range(1, 9))
    assert agent.cursor() == 0


@pytest.mark.parametrize(
    ("table", "row", "code"),
    [
        ("users", user(1, role="emperor"), "row-invalid"),
        ("inspection_items_master", item(1, {"id": new_id(99)}, LOOK), "unknown-product"),
        ("inspection_items_master", item(1, product(5), {"type": "VISUAL"}), ""),
        ("inspection_items_master", item(1, product(5), LOOK, ai_enabled=1), "missing-pipeline"),
        ("inspection_items_master", item(1, product(5), LOOK, pipeline_id=new_id(98)), "unknown-pipeline"),
        ("pipelines", pipeline_row(1, pipeline()), ""),
        ("pipelines", pipeline_row(1, pipeline(), definition="{"), "not-json"),
        ("pipelines", pipeline_row(1, {"schema": "pipeline/1", "code": "x", "version": "1"}), ""),
    ],
)
def test_what_the_tables_or_the_compiler_refuse_names_the_row(
    agent: Agent, table: str, row: dict[str, Any], code: str
) -> None:
    agent.central.put("inspection_targets_master", product(5))
    agent.central.put(table, row)
    agent.pass_once()
    [message] = agent.problems()
    assert f"{table}/{new_id(1)}" in message
    assert code in message
    assert (agent.cursor(), agent.rows("inspection_targets_master")) == (0, [])


def test_a_definition_that_is_not_the_one_its_row_names_is_refused(agent: Agent, tmp_path: Path) -> None:
    made = fill(agent.central, tmp_path / "m")
    agent.pass_once()
    agent.central.put("pipelines", {**made["pipeline"], "sha256": "0" * 64})
    agent.pass_once()
    assert "/sha256" in agent.problems()[0]
    assert [p.code for p in agent.masters.running.pipelines.values()] == ["front"]


# ── what comes damaged ──────────────────────────────────────────────────────────────────────────────────


def swapped(page: Page) -> Page:
    return page.model_copy(update={"changes": page.changes[::-1]})


@pytest.mark.parametrize(
    "damage",
    [
        swapped,
        lambda page: page.model_copy(update={"from_cursor": 3}),
        lambda page: page.model_copy(update={"space": "decisions"}),
        lambda page: page.model_copy(update={"to_cursor": 0}),
    ],
)
def test_a_page_that_cannot_be_is_fetched_again(agent: Agent, damage: Callable[[Page], Page]) -> None:
    for number in range(3):
        agent.central.put("inspection_targets_master", product(number))
    agent.central.damage = damage
    with pytest.raises(SyncFailed) as failed:
        agent.pass_once()
    assert (failed.value.kind, failed.value.code_) == (Kind.DAMAGED, "page-damaged")
    assert (agent.cursor(), agent.rows("pull_pages")) == (0, [])
    agent.central.damage = None
    agent.pass_once()
    assert agent.cursor() == 3


def test_pages_of_two_histories_never_mix(agent: Agent) -> None:
    agent.central.rows_per_page = 2
    for number in range(5):
        agent.central.put("inspection_targets_master", product(number))
    agent.greet()
    agent.lane.step()
    agent.central.restore_from_backup()
    agent.central.delete("inspection_targets_master", new_id(0))
    agent.pass_once()
    assert [row[0] for row in agent.rows("inspection_targets_master")] == [new_id(n) for n in range(1, 5)]
    with agent.database.read() as reader:
        assert pulled.state(reader, "masters").server_epoch == agent.central.epoch


def test_a_staged_page_that_the_disk_changed_is_fetched_again(agent: Agent) -> None:
    agent.central.rows_per_page = 2
    for number in range(3):
        agent.central.put("inspection_targets_master", product(number))
    agent.greet()
    agent.lane.step()
    agent.lane.step()
    with agent.database.write(local=False) as tx:
        tx.execute("UPDATE pull_pages SET page = zeroblob(20) WHERE from_cursor = 0")
    agent.pass_once()
    assert len(agent.rows("inspection_targets_master")) == 3
