"""The pull lane and repair from a real edge store through the real application, PostgreSQL and object store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from central_server.masters.office import Office, open_office
from central_server.objects import Objects
from central_server.store.database import Database
from central_server.store.migrations import migrate
from edge_agent.blobs import Blobs
from edge_agent.check import run_check
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.importer import Masters
from edge_agent.store import pulled
from edge_agent.store.database import insert
from edge_agent.store.schema import open_database
from edge_agent.sync import device
from edge_agent.sync.downloads import Downloads
from edge_agent.sync.push_lane import PushLane
from edge_agent.sync.repair import Repair, RepairReport
from edge_agent.sync.rounds import PullLane, refusals
from edge_agent.sync.verify import Kind, Verification, VerifyReport
from sync_protocol.tables import PRODUCTS, SPACES
from tests.bundles import ITEMS, LOOK, pipeline, write_bundle, write_model
from tests.central.caller import enrolled, serving
from tests.central.reach import Killed, Reach, flipped_reply, killed_after, killed_before, reply_lost

WHO = "tanaka"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pool() -> Iterator[InferencePool]:
    started = InferencePool()
    started.start()
    yield started
    started.close()


class Site:
    """One agent that pulls from one centre."""

    def __init__(
        self,
        data_dir: Path,
        pool: InferencePool,
        client: TestClient,
        database: Database,
        url: str,
        office: Office,
    ) -> None:
        self.url, self.office, self.reach = url, office, Reach(client)
        self.config, self.clock = load_config(data_dir, min_free_bytes=0), Clock()
        self.db = open_database(self.config.database_path, self.clock, "desktop", "test")
        blobs = Blobs(data_dir, self.clock)
        blobs.prepare()
        self.masters = Masters(self.db, blobs, pool, self.clock, self.config, lambda kind, facts: None)
        self.masters.reload()
        with self.db.read() as reader:
            [(name,)] = reader.execute("SELECT value FROM system_config WHERE key = 'device.id'").fetchall()
        incarnation = self.clock.new_id()
        caller = enrolled(client, database, json.loads(name), incarnation)
        self.central = self.reach.central(caller.token, self.clock)
        downloads = Downloads(data_dir, self.central)
        self.pull = PullLane(self.db, self.clock, self.central, self.masters.arrivals, downloads)
        self.push = PushLane(self.db, self.central, self.clock, lambda kind, facts: None)
        self.repair = Repair(self.db, self.central, self.masters.arrivals, downloads, self.clock)
        with self.db.write() as tx:
            device.keep(tx, device.Standing(incarnation))

    def close(self) -> None:
        self.db.close()
        self.reach.close()

    def at_centre(self, sql: str) -> None:
        """What somebody does in psql."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def pass_once(self) -> None:
        """As after a greeting."""
        with psycopg.connect(self.url) as connection:
            spaces = connection.execute("SELECT space, version FROM sync_spaces").fetchall()
            [(epoch,)] = connection.execute("SELECT server_epoch::text FROM server_state").fetchall()
        self.pull.told({str(space): int(str(version)) for space, version in spaces}, str(epoch))
        while self.push.step() or self.pull.step():
            pass

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.db.read() as reader:
            return [tuple(row) for row in reader.execute(sql)]

    def compare(self, *, deep: bool = True) -> VerifyReport:
        return Verification(self.db, self.central, self.config.data_dir, deep=deep).run()

    def mend(self) -> RepairReport:
        return self.repair.run(self.compare())

    def problems(self) -> list[str]:
        with self.db.read() as reader:
            return [finding.message for finding in refusals(reader)]

    def check(self) -> list[str]:
        with self.db.read() as reader:
            found = run_check(self.config, reader, now_s=self.clock.time(), daemon_running=True)
            return [f"{one.code} {one.subject}: {one.message}" for one in found]


@pytest.fixture
def site(empty_url: str, objects: Objects, tmp_path: Path, pool: InferencePool) -> Iterator[Site]:
    migrate(empty_url)
    (tmp_path / "edge").mkdir()
    with ExitStack() as stack:
        database = Database(empty_url)
        database.open()
        stack.callback(database.close)
        client = stack.enter_context(serving(database, tmp_path / "centre", objects))
        office = open_office(database, objects, Clock(), tmp_path / "office")
        made = stack.enter_context(
            closing(Site(tmp_path / "edge", pool, client, database, empty_url, office))
        )
        yield made
        made.pass_once()
        assert made.problems() == []
        assert made.check() == []
        assert made.compare().differences == []


@pytest.fixture
def line(site: Site, tmp_path: Path) -> Site:
    """A centre with a bundle, pulled by the agent."""
    site.office.bundles.import_bundle(write_bundle(tmp_path / "b"), WHO)
    site.pass_once()
    return site


def test_a_bundle_at_the_centre_is_what_the_agent_judges_by(line: Site) -> None:
    [running] = line.masters.running.pipelines.values()
    assert (running.code, running.plan.models[0].version) == ("front", "1.0.0")
    assert line.masters.running.findings == ()
    assert line.rows("SELECT username, is_active FROM users") == [("sato", 1)]
    assert len(line.rows("SELECT 1 FROM inspection_items_master")) == len(ITEMS)


def test_changes_of_every_kind_arrive(line: Site, tmp_path: Path) -> None:
    line.at_centre("UPDATE inspection_targets_master SET product_name = '板 B'")
    line.at_centre("UPDATE users SET is_active = false")
    line.at_centre("DELETE FROM inspection_items_master WHERE item_code = 'led'")
    line.pass_once()
    assert line.rows("SELECT product_name FROM inspection_targets_master") == [("板 B",)]
    assert line.rows("SELECT is_active FROM users") == [(0,)]
    assert line.rows("SELECT item_code, is_active FROM inspection_items_master ORDER BY 1") == [
        ("led", 0),
        ("look", 1),
    ]
    line.office.packages.upload(write_model(tmp_path / "m", "2.0.0"), WHO)
    definition = pipeline(version="2.0.0") | {"version": "2.0.0"}
    present = line.office.masters.get("pipeline", ("front",))
    line.office.masters.put("pipeline", ("front",), present | {"definition": definition}, WHO)
    line.pass_once()
    [running] = line.masters.running.pipelines.values()
    assert running.plan.models[0].version == "2.0.0"


def test_a_row_broken_in_psql_is_refused_until_it_is_mended(line: Site) -> None:
    criteria = json.dumps(LOOK)
    line.at_centre(
        """UPDATE inspection_items_master SET criteria = '{"rule": "?"}' WHERE item_code = 'look'"""
    )
    line.at_centre("UPDATE inspection_targets_master SET product_name = 'B'")
    line.pass_once()
    assert "inspection_items_master/" in line.problems()[0]
    assert line.rows("SELECT product_name FROM inspection_targets_master") != [("B",)]
    line.at_centre(f"UPDATE inspection_items_master SET criteria = '{criteria}' WHERE item_code = 'look'")
    line.pass_once()
    assert line.rows("SELECT product_name FROM inspection_targets_master") == [("B",)]


def test_a_server_with_another_history_is_pulled_from_zero(line: Site) -> None:
    line.at_centre("DELETE FROM inspection_items_master WHERE item_code = 'led'")
    line.at_centre("DELETE FROM sync_tombstones")
    line.at_centre("UPDATE server_state SET server_epoch = gen_random_uuid()")
    line.pass_once()
    assert line.rows("SELECT item_code FROM inspection_items_master WHERE is_active = 0") == [("led",)]
    assert len(line.masters.running.pipelines) == 1


def test_masters_edited_here_are_found_and_restored(line: Site) -> None:
    with line.db.write() as tx:
        tx.execute("UPDATE inspection_items_master SET item_name = 'x'")
        tx.execute("UPDATE users SET row_sha256 = NULL")
    (line.config.data_dir / "models" / "bright-1.0.0" / "model.onnx").write_bytes(b"rot")
    found = line.compare()
    assert {(one.table, one.kind) for one in found.differences} == {
        ("inspection_items_master", Kind.EDITED_HERE),
        ("users", Kind.MISSING_HERE),
        ("model_packages", Kind.FILE_DAMAGED),
    }
    assert line.mend().is_complete


def inspect(site: Site) -> str:
    """A target and its session."""
    [(product_id,)] = site.rows("SELECT id FROM inspection_targets_master")
    now, target_id, session_id = site.clock.now(), site.clock.new_id(), site.clock.new_id()
    target = {
        "id": target_id,
        "product_id": product_id,
        "product_code": "PLATE",
        "batch_id": "L",
        "qr_code": "q",
    }
    session = {"id": session_id, "target_id": target_id, "product_id": product_id, "work_day": now[:10]}
    with site.db.write() as tx:
        insert(tx, "inspection_targets", target | {"created_at": now, "updated_at": now})
        changing = {"started_at": now, "updated_at": now, "criteria_snapshot": "[]"}
        insert(tx, "inspection_sessions", session | changing)
    return session_id


def change(site: Site, session_id: str) -> None:
    sql = """UPDATE inspection_sessions SET status = 'IN_PROGRESS', version = version + 1, updated_at = ?
             WHERE id = ?"""
    with site.db.write() as tx:
        tx.execute(sql, (site.clock.now(), session_id))


def test_records_the_server_lost_are_sent_again_once(line: Site) -> None:
    sessions = [inspect(line) for _ in range(3)]
    change(line, sessions[0])
    line.pass_once()
    assert line.compare().differences == []
    line.at_centre(f"DELETE FROM inspection_sessions WHERE id = '{sessions[0]}'")
    line.at_centre(f"DELETE FROM inspection_sessions WHERE id = '{sessions[1]}'")
    assert {one.kind for one in line.compare(deep=False).differences} == {Kind.MISSING_THERE}
    assert line.mend().queued == 2
    line.pass_once()
    change(line, sessions[0])
    line.pass_once()


def test_a_session_that_differs_is_settled(line: Site) -> None:
    session_id = inspect(line)
    change(line, session_id)
    line.pass_once()
    line.at_centre("""UPDATE inspection_sessions SET row_sha256 = insert_sha256, status = 'PENDING', version = 1,
                      updated_at = started_at - interval '1 second'""")
    assert {one.kind for one in line.compare().differences} == {Kind.DIFFERS}
    assert line.mend().queued == 1
    line.pass_once()
    with psycopg.connect(line.url) as connection:
        assert connection.execute("SELECT status, version FROM inspection_sessions").fetchall() == [
            ("IN_PROGRESS", 2)
        ]


def test_decisions_of_the_centre_come_down(line: Site) -> None:
    session_id = inspect(line)
    line.pass_once()
    line.at_centre(f"""INSERT INTO central_decisions (id, session_id, final_result, reason, decided_by, version)
                       SELECT gen_random_uuid(), '{session_id}', 'NG', '見直し', id, 1 FROM users""")
    line.pass_once()
    assert line.rows("SELECT session_id, final_result FROM central_decisions") == [(session_id, "NG")]


@pytest.mark.parametrize("fault", [killed_before, killed_after, reply_lost, flipped_reply])
@pytest.mark.parametrize("place", ["/sync/pull", "/download", "store"])
def test_whatever_happens_on_the_way_the_masters_are_whole(
    site: Site, tmp_path: Path, fault: Any, place: str
) -> None:
    from edge_agent.sync.lane import SyncFailed

    site.office.bundles.import_bundle(write_bundle(tmp_path / "b"), WHO)
    site.reach.disturb(place, fault)
    with pytest.raises((Killed, SyncFailed)):
        site.pass_once()
    assert (site.rows("SELECT 1 FROM users"), site.masters.running.pipelines) == ([], {})
    site.pass_once()
    assert len(site.masters.running.pipelines) == 1


def test_the_state_says_when_it_was_pulled(line: Site) -> None:
    with line.db.read() as reader:
        state = pulled.state(reader, "masters")
    assert state.cursor > 0
    assert state.last_sync_timestamp is not None


# ── one of the two is a schema version ahead ────────────────────────────────────────────────────────────

MASTERS_VIEW = re.search(
    r"CREATE (VIEW sync_masters.*?;)", (REPOSITORY / "schema/postgresql.sql").read_text(), re.DOTALL
)


def serve_masters(site: Site, old: str = "", new: str = "") -> None:
    """The view that devices pull, with this in it changed; a product changes too, and so is sent anew."""
    assert MASTERS_VIEW is not None
    assert not old or MASTERS_VIEW[1].count(old) == 1
    site.at_centre(f"CREATE OR REPLACE {MASTERS_VIEW[1].replace(old, new) if old else MASTERS_VIEW[1]}")
    site.at_centre("UPDATE inspection_targets_master SET product_name = product_name || '+'")


def test_an_older_device_judges_by_what_it_has_until_it_is_updated(line: Site) -> None:
    before = line.rows("SELECT * FROM inspection_targets_master")
    of_products = "version) AS r)\nFROM inspection_targets_master"
    serve_masters(line, of_products, f"version, 12 AS weight_g{of_products.removeprefix('version')}")
    line.pass_once()
    [problem] = line.problems()
    assert "/weight_g" in problem
    assert "[schema-newer]" in problem
    assert line.rows("SELECT * FROM inspection_targets_master") == before
    assert len(line.masters.running.pipelines) == 1
    serve_masters(line)  # it knows every column again
    line.pass_once()
    assert line.problems() == []
    assert line.rows("SELECT * FROM inspection_targets_master") != before


def test_a_newer_device_takes_the_rows_of_an_older_server(
    line: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.at_centre("UPDATE inspection_targets_master SET description = 'long'")
    line.pass_once()
    newer = replace(PRODUCTS, later=("description",))
    monkeypatch.setitem(SPACES["masters"], PRODUCTS.name, newer)
    serve_masters(
        line,
        "created_by, description, id, is_active::int, product_code",
        "created_by, id, is_active::int, product_code",
    )
    line.pass_once()
    assert line.problems() == []
    assert line.rows("SELECT DISTINCT description FROM inspection_targets_master") == [(None,)]
    assert line.compare().differences == []
    assert line.rows("SELECT * FROM conflict_log") == []
    serve_masters(line)  # the server was updated
    line.pass_once()
    assert line.rows("SELECT DISTINCT description FROM inspection_targets_master") == [("long",)]
    assert line.rows("SELECT * FROM conflict_log") == []
