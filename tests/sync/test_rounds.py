"""The pull lane: whatever comes, the masters in force are whole and verified, and the newest that can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.inference.worker import InferencePool
from edge_agent.models import Actor
from edge_agent.store import audit, pulled, users
from edge_agent.store.database import Database, insert
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.rounds import begin_again, refusals
from sync_protocol.messages import Page
from sync_protocol.tables import SPACES
from tests.bundles import LOOK, pipeline, with_template, write_bundle, write_model
from tests.sync.conftest import Agent, opened
from tests.sync.fake_central import (
    FakeCentral,
    asset,
    decision,
    item,
    model,
    new_id,
    product,
    user,
)
from tests.sync.fake_central import (
    pipeline as pipeline_row,
)


def fill(central: FakeCentral, folder: Path, version: str = "1.0.0", **changes: Any) -> dict[str, Any]:
    """A centre with a model, a template, a pipeline that uses both, a product, an item and a person."""
    template = np.random.default_rng(1).bytes(2000)
    made = {
        "user": central.put("users", user(1)),
        "model": central.put(
            "model_packages", model(2, write_model(folder, version, **changes), central.blobs)
        ),
        "asset": central.put("assets", asset(3, template, central.blobs)),
    }
    document = with_template(pipeline(), made["asset"]["sha256"])
    made["pipeline"] = central.put("pipelines", pipeline_row(4, document))
    made["product"] = central.put("inspection_targets_master", product(5))
    row = item(6, made["product"], LOOK, ai_enabled=1, pipeline_id=new_id(4))
    made["item"] = central.put("inspection_items_master", row)
    return made


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


# ── models ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_that_disagrees_with_its_golden_samples_does_not_go_live(
    agent: Agent, tmp_path: Path
) -> None:
    central = agent.central
    fill(central, tmp_path / "m")
    agent.pass_once()
    golden = [{"image": "golden/white.png", "expect": {"class": "dark"}, "tolerance": 0.01}]
    central.put(
        "model_packages", model(7, write_model(tmp_path / "m", "2.0.0", golden=golden), central.blobs)
    )
    central.change("model_packages", new_id(2), is_active=0)
    central.put("pipelines", pipeline_row(4, pipeline(version="2.0.0") | {"version": "2.0.0"}, version=2))
    agent.pass_once()
    assert "golden-differs" in agent.problems()[0]
    assert f"model_packages/{new_id(7)}" in agent.problems()[0]
    [running] = agent.masters.running.pipelines.values()
    assert (running.definition_version, running.plan.models[0].version) == ("1.0.0", "1.0.0")
    assert agent.rows("model_packages", "version, is_active") == [("1.0.0", 1)]
    assert [path.name for path in (agent.config.data_dir / "models").iterdir()] == ["bright-1.0.0"]
    central.delete("model_packages", new_id(7))
    good = model(8, write_model(tmp_path / "good", "2.0.0"), central.blobs)
    central.put("model_packages", good)
    agent.pass_once()
    [running] = agent.masters.running.pipelines.values()
    assert running.plan.models[0].version == "2.0.0"
    assert agent.rows("model_packages", "version, is_active") == [("1.0.0", 0), ("2.0.0", 1)]


def test_a_download_that_is_cut_goes_on_where_it_stopped(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    made = fill(central, tmp_path / "m")
    central.cut_after = 100
    for _ in range(2):
        with pytest.raises(SyncFailed, match="cut"):
            agent.pass_once()
    central.cut_after = None
    agent.pass_once()
    assert "fetch from 200" in central.asked
    assert agent.masters.running.findings == ()
    assert made["model"]["archive_size"] > 200


def test_other_bytes_than_announced_are_fetched_anew(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    made = fill(central, tmp_path / "m")
    sha256 = made["model"]["archive_sha256"]
    good = central.blobs[sha256]
    central.blobs[sha256] = b"x" * len(good)
    with pytest.raises(SyncFailed) as failed:
        agent.pass_once()
    assert failed.value.code_ == "blob-differs"
    central.blobs[sha256] = good
    agent.pass_once()
    assert agent.cursor() == 6


def test_a_version_here_with_other_content_is_refused(agent: Agent, tmp_path: Path) -> None:
    fill(agent.central, tmp_path / "m")
    agent.masters.install_model(write_model(tmp_path / "own", licence="MIT"), Actor("technician"))
    agent.pass_once()
    assert "model-immutable" in agent.problems()[0]
    assert agent.cursor() == 0


@pytest.mark.parametrize("values", [{"archive_sha256": "../../etc/passwd"}, {"archive_size": 1 << 40}])
def test_a_file_that_cannot_be_fetched_safely_is_refused(
    agent: Agent, tmp_path: Path, values: dict[str, Any]
) -> None:
    fill(agent.central, tmp_path / "m")
    agent.central.change("model_packages", new_id(2), **values)
    agent.pass_once()
    assert f"model_packages/{new_id(2)}" in agent.problems()[0]


def test_a_version_chosen_here_stays_until_the_server_chooses_anew(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    fill(central, tmp_path / "m")
    central.put("pipelines", pipeline_row(4, pipeline(version=None)))
    agent.pass_once()
    agent.masters.install_model(write_model(tmp_path / "m", "0.9.0"), Actor("technician"), activate=True)
    central.change("model_packages", new_id(2), updated_at="2026-11-02T00:00:00.000Z")
    agent.pass_once()
    assert agent.rows("model_packages", "version, is_active") == [("0.9.0", 1), ("1.0.0", 0)]
    central.change("model_packages", new_id(2), is_active=0)
    central.put("model_packages", model(7, write_model(tmp_path / "m", "2.0.0"), central.blobs))
    agent.pass_once()
    assert agent.rows("model_packages", "version, is_active") == [("0.9.0", 0), ("1.0.0", 0), ("2.0.0", 1)]
    [running] = agent.masters.running.pipelines.values()
    assert running.plan.models[0].version == "2.0.0"


def test_an_old_version_nobody_uses_is_not_fetched(agent: Agent, tmp_path: Path) -> None:
    central = agent.central
    central.put("model_packages", model(1, write_model(tmp_path / "m", "0.1.0"), central.blobs, is_active=0))
    agent.pass_once()
    assert (agent.cursor(), agent.rows("model_packages")) == (1, [])
    central.change("model_packages", new_id(1), is_active=1)
    agent.pass_once()
    assert agent.one("model_packages", "version, is_active") == ("0.1.0", 1)


# ── people and what was changed here ────────────────────────────────────────────────────────────────────


def login(agent: Agent, user_id: int) -> None:
    with agent.database.write() as tx:
        users.add_login(tx, "t" * 64, user_id, "2026-11-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z")


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


# ── deletions and resets ────────────────────────────────────────────────────────────────────────────────


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


# ── decisions ───────────────────────────────────────────────────────────────────────────────────────────


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


# ── kills ───────────────────────────────────────────────────────────────────────────────────────────────


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
