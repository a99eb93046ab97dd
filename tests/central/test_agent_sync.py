"""The whole agent and the real server: enrol, and what is recorded arrives by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from central_server.devices import issue_code
from central_server.objects import Objects
from central_server.store.database import Database
from central_server.store.migrations import migrate
from edge_agent.api.app import create_app
from edge_agent.api.services import Services
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.errors import BadInput, Conflict
from edge_agent.models import Actor
from edge_agent.store import outbox
from edge_agent.store.database import insert
from edge_agent.sync import enrolment
from sync_protocol.canonical import sha256_hex
from sync_protocol.tables import SPACES
from tests.api_agent import make_bundle
from tests.central.caller import serving
from tests.central.devices import CLOCK
from tests.central.reach import Reach, answered, refused
from tests.central.test_changes import add_user
from tests.waiting import wait_for

TOMO = Actor("tomo")


@pytest.fixture(scope="module")
def app(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(database, tmp_path_factory.mktemp("central")) as client:
        yield client


@contextmanager
def agent_on(data_dir: Path, reach: Reach) -> Iterator[Services]:
    """The parts of an agent; `reach` is its network. The long poll finds nobody."""
    reach.disturb("/sync/wait", refused, times=1000)
    config = load_config(data_dir, min_free_bytes=0)

    def open_central(_url: str) -> httpx.Client:
        return httpx.Client(transport=reach)

    with running_services(config, CLOCK, open_central=open_central) as services:
        yield services


@pytest.fixture(scope="module")
def agent(app: TestClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Not enrolled, with the bundle's masters."""
    data_dir = tmp_path_factory.mktemp("agent")
    with agent_on(data_dir, Reach(app)) as services:
        services.masters.import_bundle(make_bundle(data_dir / "bundle-source"), Actor("test"))
        yield services


def record(services: Services) -> None:
    """A target, as a scan makes it."""
    with services.database.write() as tx:
        product = tx.execute("SELECT id, product_code FROM inspection_targets_master").fetchone()
        now, target_id = CLOCK.now(), CLOCK.new_id()
        row = {"id": target_id, "product_id": product[0], "product_code": product[1], "batch_id": "L1"}
        row |= {"qr_code": target_id, "serial_no": "", "created_at": now, "updated_at": now}
        insert(tx, "inspection_targets", row)
    services.events.publish("target", {"id": target_id})


def photograph(services: Services) -> str:
    """A picture as the intake keeps it; its id."""
    record(services)
    now, session_id, image_id = CLOCK.now(), CLOCK.new_id(), CLOCK.new_id()
    staged = services.blobs.stage(image_id.encode(), image_id, "image/png", now[:10])
    services.blobs.commit([staged])
    with services.database.write() as tx:
        target = tx.execute("SELECT id, product_id FROM inspection_targets ORDER BY id DESC").fetchone()
        [item_id] = tx.execute("SELECT id FROM inspection_items_master").fetchone()
        session = {"id": session_id, "target_id": target[0], "product_id": target[1], "work_day": now[:10]}
        snapshot = json.dumps([{"id": item_id}])
        changing = {"started_at": now, "updated_at": now, "criteria_snapshot": snapshot}
        insert(tx, "inspection_sessions", session | changing)
        image = {"id": image_id, "session_id": session_id, "item_id": item_id, "file_path": staged.file_path}
        image |= {"file_size": len(image_id), "sha256": sha256_hex(image_id.encode()), "state": "failed"}
        image |= {"mime_type": "image/png", "width_px": 1, "height_px": 1, "source": "upload"}
        insert(tx, "inspection_images", image | {"created_at": now, "captured_at": now})
    services.events.publish("image", {"id": image_id})
    return image_id


def unsent(services: Services) -> int:
    with services.database.read() as reader:
        sql = "SELECT count(*) FROM sync_queue WHERE processed_at IS NULL"
        return int(reader.execute(sql).fetchone()[0])


def test_nothing_is_asked_of_anybody_before_the_device_is_enrolled(agent: Services) -> None:
    record(agent)
    assert agent.sync.findings() == []
    with pytest.raises(Conflict) as caught:
        agent.sync.run_pass()
    assert caught.value.code_ == "not-enrolled"
    assert unsent(agent) == 1


@pytest.mark.parametrize(
    ("server", "code", "status", "problem"),
    [
        ("https://central", "AAAA-BBBB-CCCC", 403, "code-invalid"),
        ("http://central.example", "AAAA-BBBB-CCCC", 422, "tls-required"),
        ("central", "AAAA-BBBB-CCCC", 422, "server-url-invalid"),
    ],
)
def test_what_cannot_be_enrolled(agent: Services, server: str, code: str, status: int, problem: str) -> None:
    with TestClient(create_app(agent), base_url="http://localhost") as client:
        headers = {"Authorization": f"Bearer {agent.install_token}"}
        answer = client.post("/api/v1/sync/enroll", json={"server": server, "code": code}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, problem)
    assert agent.sync.enrolment() is None
    assert not enrolment.token_path(agent.config.data_dir).exists()


def test_enrolled_over_the_api_then_everything_goes_by_itself(agent: Services, database: Database) -> None:
    with agent.sync.running():
        with TestClient(create_app(agent), base_url="http://localhost") as client:
            asked = {"server": "https://central", "code": issue_code(database, CLOCK, "Plant 1", 3600).code}
            headers = {"Authorization": f"Bearer {agent.install_token}"}
            answer = client.post("/api/v1/sync/enroll", json=asked, headers=headers)
        assert (answer.status_code, answer.json()["site"]) == (200, "Plant 1")
        wait_for(lambda: unsent(agent) == 0)
        record(agent)
        wait_for(lambda: unsent(agent) == 0)

        agent.sync.pause(TOMO)
        with agent.sync.link().rows.at_rest():
            record(agent)  # the pass that was under way is over
        assert [found.code for found in agent.sync.findings()] == ["sync-paused"]
        with pytest.raises(Conflict):
            agent.sync.run_pass()
        assert unsent(agent) == 1
        agent.sync.resume(TOMO)
        wait_for(lambda: unsent(agent) == 0)
    assert agent.sync.findings() == []


def test_acknowledged_entries_are_purged_from_the_start_only_and_the_check_stays_clean(
    agent: Services,
) -> None:
    assert unsent(agent) == 0
    record(agent)
    with agent.database.write() as tx:
        assert outbox.purge(tx, "9999") == 3
        assert outbox.purge(tx, "9999") == 0
    with agent.database.read() as reader:
        assert reader.execute("SELECT count(*) FROM sync_queue").fetchone()[0] == 1
    assert [found.code for found in agent.check() if found.code.startswith("queue")] == []


def test_what_the_server_lost_is_found_and_sent_again(agent: Services, database: Database) -> None:
    record(agent)
    agent.sync.run_pass()
    assert agent.sync.verify(deep=True).is_clean
    with database.write() as tx:
        tx.execute("DELETE FROM inspection_targets")
    assert not agent.sync.verify(tables=["inspection_targets"]).is_clean
    planned = agent.sync.repair(dry_run=True).queued
    assert planned == agent.sync.resync(["inspection_targets"]).repair.queued > 0
    agent.sync.run_pass()
    assert agent.sync.verify(deep=True).differences == []
    with pytest.raises(BadInput):
        agent.sync.verify(tables=["sqlite_master"])


def test_the_nightly_comparison_mends_by_itself(agent: Services, database: Database) -> None:
    with database.write() as tx:
        tx.execute("DELETE FROM inspection_targets")
    agent.sync.repair(automatic=True)
    agent.sync.run_pass()
    assert agent.sync.verify().is_clean


def test_a_change_at_the_centre_is_here_without_asking(database: Database, tmp_path: Path) -> None:
    """Several in turn: the first might still be met by the pass with which the agent begins."""
    (tmp_path / "agent").mkdir()
    with serving(database, tmp_path / "central") as client:
        reach, served = Reach(client), client.app
        assert isinstance(served, FastAPI)
        waiting = served.state.services.waiting
        with agent_on(tmp_path / "agent", reach) as services:
            services.sync.enrol("https://central", issue_code(database, CLOCK, "Plant 1", 3600).code, TOMO)
            reach.mend()
            with services.sync.running():
                for _ in range(3):
                    wait_for(lambda: len(waiting) == len(SPACES), lambda: reach.log[-10:])
                    with database.write() as tx:
                        name = add_user(tx)
                    wait_for(partial(knows, services, name), lambda: reach.log[-10:])
                waiting.close()


def knows(services: Services, username: str) -> bool:
    with services.database.read() as reader:
        sql = "SELECT 1 FROM users WHERE username = ?"
        return reader.execute(sql, (username,)).fetchone() is not None


def test_a_picture_that_has_to_wait_is_tried_again_when_its_time_comes(
    database: Database, objects: Objects, tmp_path: Path
) -> None:
    """Nothing else wakes the lane then: the next pass by the clock is minutes away."""
    (tmp_path / "agent").mkdir()
    with serving(database, tmp_path / "central", objects) as client:
        reach = Reach(client)
        with agent_on(tmp_path / "agent", reach) as services:
            services.masters.import_bundle(make_bundle(tmp_path / "bundle-source"), TOMO)
            services.sync.enrol("https://central", issue_code(database, CLOCK, "Plant 1", 3600).code, TOMO)
            services.sync.run_pass()
            image_id = photograph(services)
            reach.disturb("PUT store", answered(403), times=3)
            with services.sync.running():
                wait_for(partial(is_uploaded, services, image_id), lambda: reach.log[-10:])
    assert reach.count("PUT store") == 1


def is_uploaded(services: Services, image_id: str) -> bool:
    with services.database.read() as reader:
        sql = "SELECT uploaded_at IS NOT NULL FROM inspection_images WHERE id = ?"
        return bool(reader.execute(sql, (image_id,)).fetchone()[0])


@pytest.mark.parametrize("down", ["database", "object store"])
def test_what_is_up_goes_on_and_the_rest_follows(
    empty_url: str, objects: Objects, tmp_path: Path, down: str
) -> None:
    """The database down while the object store is up, and the reverse: nothing lost, nothing doubled."""
    migrate(empty_url)
    database = Database(empty_url)
    database.open()
    (tmp_path / "agent").mkdir()
    with serving(database, tmp_path / "central", objects) as client:
        reach = Reach(client)
        with agent_on(tmp_path / "agent", reach) as services:
            services.masters.import_bundle(make_bundle(tmp_path / "bundle-source"), TOMO)
            services.sync.enrol("https://central", issue_code(database, CLOCK, "Plant 1", 3600).code, TOMO)
            services.sync.run_pass()
            image_id, waiting = photograph(services), unsent(services)
            with database_down(empty_url) if down == "database" else store_down(reach):
                report = services.sync.run_pass()
            assert report.failures.keys() == {"hello" if down == "database" else "blobs"}
            assert unsent(services) == (waiting if down == "database" else 0)
            assert not is_uploaded(services, image_id)
            wait_for(lambda: not services.sync.run_pass().failures)
            assert (unsent(services), is_uploaded(services, image_id)) == (0, True)
            assert services.sync.verify(deep=True).differences == []
            assert [found for found in services.check() if found.severity == "error"] == []
            with database.snapshot() as tx:
                sql = "SELECT count(*), count(DISTINCT id), min(id::text) FROM inspection_images"
                assert tx.execute(sql).fetchall() == [(1, 1, image_id)]
    database.close()


@contextmanager
def database_down(url: str) -> Iterator[None]:
    """Nobody is let in, and those who are in are thrown out."""
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        yield
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


@contextmanager
def store_down(reach: Reach) -> Iterator[None]:
    reach.disturb("store", refused, times=100)
    yield
    reach.mend()
