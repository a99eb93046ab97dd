"""Deletions, other histories, decisions and kills: masters stay whole through each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.inference.worker import InferencePool
from edge_agent.store import pulled
from edge_agent.store.database import Database, insert
from edge_agent.sync.rounds import begin_again
from sync_protocol.tables import SPACES
from tests.bundles import LOOK, pipeline
from tests.sync.conftest import Agent, opened
from tests.sync.fake_central import (
    FakeCentral,
    decision,
    item,
    new_id,
    product,
)
from tests.sync.fake_central import (
    pipeline as pipeline_row,
)
from tests.sync.filled import fill, login


def test_what_the_server_deletes_is_out_of_use_here(agent: Agent, tmp_path: Path) -> None:
    fill(agent.central, tmp_path / "m")
    agent.pass_once()
    login(agent, 1)
    for table, number in (
        ("inspection_items_master", 6),
        ("pipelines", 4),
        ("model_packages", 2),
        ("users", 1),
    ):
        agent.central.delete(table, new_id(number))
    agent.pass_once()
    assert agent.one("inspection_items_master", "is_active") == (0,)
    assert agent.one("users", "is_active") == (0,)
    assert agent.one("model_packages", "is_active") == (0,)
    assert agent.rows("login_tokens") == []
    assert agent.masters.running.pipelines == {}
    with agent.database.read() as reader:
        kept = {name: pulled.pulled_ids(reader, table) for name, table in SPACES["masters"].items()}
    assert {name: ids for name, ids in kept.items() if ids} == {
        "assets": {new_id(3)},
        "inspection_targets_master": {new_id(5)},
    }


def test_a_model_that_a_pipeline_needs_cannot_be_taken_away(agent: Agent, tmp_path: Path) -> None:
    fill(agent.central, tmp_path / "m")
    agent.central.put("pipelines", pipeline_row(4, pipeline(version=None)))
    agent.pass_once()
    agent.central.change("model_packages", new_id(2), is_active=0)
    agent.pass_once()
    assert "breaks-pipeline" in agent.problems()[0]
    assert len(agent.masters.running.pipelines) == 1


def test_another_history_is_staged_whole_and_then_swapped(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    fill(central, tmp_path / "m")
    central.put("inspection_targets_master", product(9))
    agent.pass_once()
    with agent.database.write() as tx:
        insert(tx, "users", {"username": "local", "password_hash": "", "server_id": new_id(70)})
    central.delete("inspection_targets_master", new_id(9))
    central.restore_from_backup()
    central.rows_per_page = 2
    running = agent.masters.running
    agent.greet()
    for _ in range(3):
        agent.lane.step()
        assert agent.masters.running is running
        assert agent.one("pipelines", "is_active") == (1,)
    agent.pass_once()
    assert agent.cursor() == 6
    assert agent.rows("inspection_targets_master", "id, is_active") == [(new_id(5), 1), (new_id(9), 0)]
    assert agent.rows("users", "username, is_active") == [("local", 1), ("user1", 1)]
    assert len(agent.masters.running.pipelines) == 1


def test_a_resync_pulls_from_zero_and_mends_what_was_edited(agent: Agent, tmp_path: Path) -> None:
    fill(agent.central, tmp_path / "m")
    agent.pass_once()
    with agent.database.write() as tx:
        tx.execute("UPDATE inspection_items_master SET item_name = 'x'")
        begin_again(tx, "masters", "asked for")
    agent.pass_once()
    assert agent.one("inspection_items_master", "item_name") == ("項目 6",)
    assert agent.cursor() == 6
    with agent.database.read() as reader:
        assert pulled.state(reader, "masters").detail == {}


def test_a_server_restored_in_silence_whose_versions_have_caught_up_is_pulled_from_zero(agent: Agent) -> None:
    central = agent.central
    central.put("inspection_targets_master", product(1))
    central.put("inspection_targets_master", product(2))
    agent.pass_once()
    del central.changes["masters"]["inspection_targets_master", new_id(2)]
    central.versions["masters"] = 1  # restored to before product 2, under the same epoch
    other = central.put("inspection_targets_master", product(3))
    central.put("inspection_items_master", item(4, other, LOOK))
    central.rows_per_page = 1
    agent.greet()
    cursors = [agent.cursor()]
    while agent.lane.step():
        cursors.append(agent.cursor())
    assert (sorted(cursors), agent.cursor()) == (cursors, 3), "the cursor in force never goes back"
    assert agent.problems() == []
    shown = agent.rows("inspection_targets_master", "id, is_active")
    assert shown == [(new_id(1), 1), (new_id(2), 0), (new_id(3), 1)]
    assert agent.one("inspection_items_master", "id") == (new_id(4),)


def test_a_reference_that_is_missing_at_the_server_too_is_pulled_from_zero_only_once(agent: Agent) -> None:
    made = agent.central.put("inspection_targets_master", product(1))
    agent.pass_once()
    agent.central.put("inspection_items_master", item(2, product(99), LOOK))
    agent.pass_once()
    assert "unknown-product" in agent.problems()[0]
    assert agent.central.asked.count("pull masters 0") == 2, "once when it was empty, once again now"
    agent.time.now += 4000
    agent.pass_once()
    agent.central.put("inspection_items_master", item(3, made, LOOK))
    agent.pass_once()
    assert (agent.central.asked.count("pull masters 0"), agent.cursor()) == (2, 1)


def test_a_cursor_behind_the_horizon_begins_again(agent: Agent) -> None:
    agent.central.put("inspection_targets_master", product(1))
    agent.central.put("inspection_targets_master", product(2))
    agent.pass_once()
    agent.central.delete("inspection_targets_master", new_id(1))
    del agent.central.changes["masters"]["inspection_targets_master", new_id(1)]
    agent.central.horizon = 3
    agent.central.put("inspection_targets_master", product(3))
    agent.pass_once()
    assert agent.rows("inspection_targets_master", "id, is_active") == [
        (new_id(1), 0),
        (new_id(2), 1),
        (new_id(3), 1),
    ]


def test_an_empty_centre_is_an_empty_round(agent: Agent) -> None:
    agent.pass_once()
    agent.central.restore_from_backup()
    agent.pass_once()
    with agent.database.read() as reader:
        assert pulled.state(reader, "masters").server_epoch == agent.central.epoch


def test_decisions_come_even_while_masters_are_refused(agent: Agent) -> None:
    agent.central.put_raw("conveyors", "x", "{}")
    agent.central.put("central_decisions", decision(1, new_id(40)))
    agent.central.put("central_decisions", decision(2, new_id(40), version=2, final_result="OK"))
    agent.pass_once()
    assert agent.rows("central_decisions", "session_id, version, final_result") == [
        (new_id(40), 1, "NG"),
        (new_id(40), 2, "OK"),
    ]
    agent.central.delete("central_decisions", new_id(2))
    agent.pass_once()
    assert agent.rows("central_decisions", "version") == [(1,)]
    assert agent.problems() != []


class Killed(BaseException):
    """The process ends here."""


def killing(patch: pytest.MonkeyPatch, database: Database, at: int, *, after: bool) -> None:
    """The `at`-th transaction from now on ends the process, before its commit or right after it."""
    write, count = database.write, 0

    @contextmanager
    def write_or_die(*args: Any, **named: Any) -> Iterator[Any]:
        nonlocal count
        count += 1
        with write(*args, **named) as tx:
            yield tx
            if count == at and not after:
                raise Killed
        if count == at:
            raise Killed

    patch.setattr(database, "write", write_or_die)


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_commit_leaves_whole_masters(
    tmp_path: Path, pool: InferencePool, central: FakeCentral, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    central.rows_per_page = 4
    fill(central, tmp_path / "m")
    (tmp_path / "data").mkdir()
    kills = 0
    for at in range(1, 20):
        with opened(tmp_path / "data", pool, central) as agent:
            killing(monkeypatch, agent.database, at, after=after)
            try:
                agent.pass_once()
            except Killed:
                kills += 1
        with opened(tmp_path / "data", pool, central) as agent:
            whole = len(agent.masters.running.pipelines), agent.cursor(), len(agent.rows("users"))
            assert whole in {(0, 0, 0), (1, central.versions["masters"], 1)}
            assert not [finding for finding in agent.check() if "model-orphan" not in finding]
            if whole[0] == 1:
                break
    with opened(tmp_path / "data", pool, central) as agent:
        agent.pass_once()
        assert len(agent.masters.running.pipelines) == 1
        assert [f for f in agent.check() if "model-orphan" not in f] == []
    assert kills >= 2
