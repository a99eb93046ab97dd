"""Agents' push lanes against the real application on a real PostgreSQL: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.conninfo import make_conninfo

from central_server.devices import issue_code
from central_server.facts import TABLES
from central_server.store.database import Database
from central_server.store.migrations import migrate
from edge_agent.models import Actor
from edge_agent.store import settings
from edge_agent.store.soundness import queue_faults
from edge_agent.sync import device, enrolment
from edge_agent.sync.device import Standing
from edge_agent.sync.engine import Engine, Memory, PassReport
from edge_agent.sync.enrolment import Asked
from edge_agent.sync.hello import Hello
from edge_agent.sync.lane import Kind
from edge_agent.sync.push_lane import PushLane
from edge_agent.sync.verify import Verification
from sync_protocol.canonical import canonical_row, sha256_hex
from tests.central.caller import serving
from tests.central.devices import CLOCK, MASTER_IDS
from tests.central.reach import Reach, answered, flipped, refused, reply_lost
from tests.store_factory import Store, Ticking

FACTS = tuple(TABLES)


class Agent:
    """A device with a real store, enrolled by the product's own code."""

    def __init__(self, data_dir: Path, database: Database, app: TestClient, *, offset_s: float = 0) -> None:
        data_dir.mkdir(exist_ok=True)
        self.store = Store(data_dir, Ticking(CLOCK.time() + offset_s), MASTER_IDS)
        with self.store.database.read() as reader:
            is_new = reader.execute("SELECT 1 FROM users").fetchone() is None
            self.device_id = str(settings.get(reader, "device.id"))
        if is_new:
            self.store.add_masters()
        self.connect(database, app)

    def connect(self, database: Database, app: TestClient) -> None:
        """From now on this is the server; as after a restart."""
        self.server, self.reach = database, Reach(app)
        token = enrolment.read_token(self.store.data_dir)
        self.central = central = self.reach.central(token, self.store.clock)
        self.memory = Memory(self.store.database, self.store.clock)
        self.hello = Hello(self.store.database, central, self.store.clock, self.device_id)
        push = PushLane(self.store.database, central, self.store.clock, lambda _kind, _facts: None)
        self.engine = Engine(self.hello, [push], self.memory, self.store.clock, lambda _seconds: None)

    def enrol(self, app: TestClient) -> None:
        code = issue_code(self.server, CLOCK, "Plant 1", 3600).code
        central = self.reach.central("", self.store.clock)
        asked = Asked("https://central", code, "tablet")
        enrolment.enrol(
            central, asked, self.store.database, self.store.clock, self.store.data_dir, Actor("tomo")
        )
        self.connect(self.server, app)

    def run(self) -> PassReport:
        """A pass now, whatever waits; a greeting first."""
        self.hello.want()
        self.memory.forget(self.engine.names)
        return self.engine.run_pass()

    def queue(self, columns: str = "*", where: str = "1") -> list[tuple[Any, ...]]:
        with self.store.database.read() as reader:
            rows = reader.execute(f"SELECT {columns} FROM sync_queue WHERE {where} ORDER BY id").fetchall()
        return [tuple(row) for row in rows]

    def standing(self) -> Standing:
        with self.store.database.read() as reader:
            return device.standing_of(reader)

    def require_all_arrived(self) -> None:
        """Every entry is acknowledged, and the server has every row, once, as it was frozen last."""
        assert self.queue("id, error_code, error_detail", "processed_at IS NULL") == []
        for table in FACTS:
            frozen = dict(self.queue("entity_id, sha256", f"entity_type = '{table}'"))
            with self.server.snapshot() as tx:
                sql = f"SELECT id::text, encode(row_sha256, 'hex') FROM {table} WHERE device_id = %s"
                rows = tx.execute(sql.encode(), (self.device_id,)).fetchall()
            assert {row[0]: row[1] for row in rows} == frozen, table

    def require_agreement(self) -> None:
        """That, and both sides find it so: the queue is sound, a deep comparison finds nothing."""
        self.require_all_arrived()
        compared = Verification(
            self.store.database, self.central, self.store.data_dir, deep=True, tables=FACTS[:2] + FACTS[3:]
        )
        assert compared.run().differences == []
        with self.store.database.read() as reader:
            assert list(queue_faults(reader)) == []

    def close(self) -> None:
        self.store.close()


@pytest.fixture(scope="module")
def app(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(database, tmp_path_factory.mktemp("central")) as client:
        yield client


@pytest.fixture
def make(database: Database, app: TestClient, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    made: list[Agent] = []

    def making(name: str = "agent", **more: Any) -> Agent:
        made.append(Agent(tmp_path / name, database, app, **more))
        if not (made[-1].store.data_dir / "run" / "central-token").exists():
            made[-1].enrol(app)
        return made[-1]

    yield making
    for agent in made:
        agent.close()


@pytest.fixture
def agent(make: Callable[..., Agent]) -> Agent:
    return make()


def test_enrolled_and_sent(agent: Agent) -> None:
    for _ in range(30):
        agent.store.inspect()
    agent.store.inspect(human="NG", final="NG")
    report = agent.run()
    assert (report.failures, report.has_more) == ({}, False)
    agent.require_agreement()
    assert agent.reach.count("/sync/push") < 6
    token = enrolment.token_path(agent.store.data_dir)
    assert token.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "faults",
    [
        [reply_lost],
        [reply_lost, reply_lost, reply_lost, refused],
        [flipped],
        [answered(200, "<html>log in</html>")],
        [answered(status) for status in (401, 403, 408, 429, 500, 503)],
        [answered(413), answered(413)],
    ],
)
def test_whatever_happens_on_the_way_everything_arrives_once(agent: Agent, faults: list[Any]) -> None:
    for _ in range(5):
        agent.store.inspect()
    for fault in faults:
        agent.reach.disturb("/sync/push", fault)
    for _ in range(20):
        agent.run()
        agent.store.time.now += 400
    agent.require_agreement()
    with agent.server.snapshot() as tx:
        sql = "SELECT count(*), count(DISTINCT op_id) FROM tauri_sync_queue WHERE device_id = %s"
        assert tx.execute(sql, (agent.device_id,)).fetchall() == [(len(agent.queue("id")),) * 2]


def forge(agent: Agent, entry_id: int, **fields: Any) -> None:
    """Another program changed what was queued, checksum and all."""
    [(data,)] = agent.queue("data", f"id = {entry_id}")
    forged = canonical_row(json.loads(data) | fields).decode()
    with agent.store.forged() as connection:
        connection.execute(
            "UPDATE sync_queue SET data = ?, sha256 = ? WHERE id = ?",
            (forged, sha256_hex(forged.encode()), entry_id),
        )


def test_a_poisoned_row_in_the_middle_of_a_batch_dies_alone(agent: Agent) -> None:
    for _ in range(5):
        agent.store.inspect()
    sick = agent.queue("id", "entity_type = 'ai_inspection_results'")[2][0]
    forge(agent, sick, confidence=7.5)
    agent.run()
    assert agent.queue("id, error_code", "processed_at IS NULL") == [(sick, "row-invalid")]


def test_a_dead_parent_holds_its_children_until_it_is_queued_again(agent: Agent) -> None:
    sick = agent.store.inspect()
    agent.store.inspect()
    [(entry_id, data)] = agent.queue("id, data", f"entity_id = '{sick}' AND operation = 'INSERT'")
    forge(agent, entry_id, work_day="the day before")
    agent.run()
    assert agent.queue("id", "dead_at IS NOT NULL") == [(entry_id,)]
    assert len(agent.queue("id", f"held_by = {entry_id}")) > 4
    assert agent.queue("id", "processed_at IS NULL AND dead_at IS NULL AND held_by IS NULL") == []
    with agent.store.forged() as connection:
        connection.execute(
            "UPDATE sync_queue SET data = ?, sha256 = ?, dead_at = NULL WHERE id = ?",
            (data, sha256_hex(data.encode()), entry_id),
        )
    agent.run()
    agent.require_agreement()


def test_a_row_of_a_newer_schema_waits_for_the_server_to_be_updated(agent: Agent) -> None:
    agent.store.inspect()
    [(entry_id, data)] = agent.queue("id, data", "entity_type = 'inspection_images'")
    forge(agent, entry_id, lens="35 mm")
    agent.run()
    [(code, is_dead)] = agent.queue("error_code, dead_at IS NOT NULL", f"id = {entry_id}")
    assert (code, is_dead) == ("schema-newer", 0)
    with agent.store.forged() as connection:
        connection.execute(
            "UPDATE sync_queue SET data = ?, sha256 = ? WHERE id = ?",
            (data, sha256_hex(data.encode()), entry_id),
        )
    agent.store.time.now += 400
    agent.run()
    agent.require_agreement()


def test_a_revoked_device_keeps_its_queue_and_goes_on_after_enrolling_again(
    agent: Agent, app: TestClient
) -> None:
    agent.store.inspect()
    agent.run()
    with agent.server.write() as tx:
        tx.execute("UPDATE devices SET revoked_at = now() WHERE device_id = %s", (agent.device_id,))
    agent.store.inspect()
    waiting = agent.queue("id", "processed_at IS NULL")
    assert agent.run().failures["hello"].kind is Kind.AUTH
    assert agent.queue("id", "processed_at IS NULL") == waiting
    agent.enrol(app)
    agent.run()
    agent.require_agreement()


@pytest.mark.parametrize("years", [-5, 5])
def test_a_clock_five_years_off(make: Callable[..., Agent], years: int) -> None:
    agent = make(f"off-{years}", offset_s=years * 365 * 86_400)
    agent.store.inspect()
    agent.run()
    agent.require_agreement()
    assert abs(agent.standing().clock_offset_ms / 86_400_000 + years * 365) < 1


def test_two_agents_that_met_the_same_target_offline_both_keep_what_they_saw(
    make: Callable[..., Agent],
) -> None:
    agents = [make("one"), make("two")]
    for agent in agents:
        agent.store.inspect()
        [(target,)] = agent.queue("id", "entity_type = 'inspection_targets'")
        forge(agent, target, qr_code="PLATE;SAME", serial_no="SAME")
    for agent in agents:
        agent.run()
        agent.require_all_arrived()
    with agents[0].server.snapshot() as tx:
        sql = "SELECT device_id FROM inspection_targets WHERE qr_code = 'PLATE;SAME'"
        found = {row[0] for row in tx.execute(sql.encode()).fetchall()}
    assert found == {agent.device_id for agent in agents}


def test_a_cloned_disk_goes_on_as_a_second_life_of_the_device(make: Callable[..., Agent]) -> None:
    original = make("original")
    original.store.inspect()
    original.run()
    original.store.database.close()
    shutil.copytree(original.store.data_dir, original.store.data_dir.parent / "clone")
    original, clone = make("original"), make("clone")
    for agent in (original, clone, original, clone):
        agent.store.inspect()
        agent.run()
        assert agent.queue("id, error_code", "processed_at IS NULL") == []
    assert original.standing().incarnation != clone.standing().incarnation
    with original.server.snapshot() as tx:
        found = {str(row[0]) for row in tx.execute("SELECT op_id::text FROM tauri_sync_queue").fetchall()}
    assert {row[0] for agent in (original, clone) for row in agent.queue("op_id")} <= found


@pytest.mark.parametrize("is_epoch_new", [True, False])
def test_a_server_restored_from_yesterday(cluster: str, tmp_path: Path, *, is_epoch_new: bool) -> None:
    def named(name: str) -> str:
        return make_conninfo(cluster, dbname=name)

    def admin(sql: str) -> None:
        with psycopg.connect(cluster, autocommit=True) as connection:
            connection.execute(sql.encode())

    today, yesterday = f"today_{is_epoch_new}".lower(), f"yesterday_{is_epoch_new}".lower()
    admin(f"CREATE DATABASE {today}")
    migrate(named(today))
    agent: Agent | None = None
    for number in (1, 2):
        database = Database(named(today))
        database.open()
        with serving(database, tmp_path / "central") as app:
            if agent is None:
                agent = Agent(tmp_path / "agent", database, app)
                agent.enrol(app)
            agent.connect(database, app)
            for _ in range(3):
                agent.store.inspect()
                agent.run()
            agent.require_agreement()
        database.close()
        if number == 1:
            admin(f"CREATE DATABASE {yesterday} TEMPLATE {today}")
    assert agent is not None
    if is_epoch_new:
        with psycopg.connect(named(yesterday)) as connection:
            connection.execute("UPDATE server_state SET server_epoch = gen_random_uuid()")
    database = Database(named(yesterday))
    database.open()
    with serving(database, tmp_path / "central") as app:
        agent.connect(database, app)
        agent.run()
        agent.store.inspect()
        agent.run()
        agent.require_agreement()
        assert agent.standing().lost_after_ack is None
    database.close()
    agent.close()
    for name in (today, yesterday):
        admin(f"DROP DATABASE {name} WITH (FORCE)")
