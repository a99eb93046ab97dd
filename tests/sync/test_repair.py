"""Comparing with the server and mending: every kind of difference, by its row, and nothing else touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.check import run_check
from edge_agent.errors import BadInput
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.importer import Masters
from edge_agent.store import digests, pulled
from edge_agent.store.soundness import FACT_TABLES
from edge_agent.sync import verify
from edge_agent.sync.downloads import Downloads
from edge_agent.sync.repair import Repair, RepairReport, alarms, require_tables, resync
from edge_agent.sync.verify import Kind, Verification, VerifyReport, no_progress, row_kinds
from sync_protocol.checksums import bucket_of
from tests.bundles import LOOK, write_model
from tests.store_factory import Store
from tests.sync.conftest import Agent
from tests.sync.fake_central import FakeCentral, decision, item, model, new_id, product, user


def test_the_kinds_of_a_buckets_rows() -> None:
    mine = {"a": "1", "b": "2", "c": "3", "d": "4"}
    theirs = {"a": "1", "b": "9", "d": "8", "e": "5", "f": "6"}
    assert dict(row_kinds(mine, theirs, {"d", "f"})) == {
        "b": Kind.DIFFERS,
        "c": Kind.MISSING_THERE,
        "d": Kind.EDITED_HERE,
        "e": Kind.MISSING_HERE,
        "f": Kind.EDITED_HERE,
    }


# ── masters ─────────────────────────────────────────────────────────────────────────────────────────────


def compare(agent: Agent, *, deep: bool = False) -> VerifyReport:
    return Verification(agent.database, agent.central, agent.config.data_dir, deep=deep).run()


def mend(agent: Agent, found: VerifyReport, **how: Any) -> RepairReport:
    downloads = Downloads(agent.config.data_dir, agent.central)
    repair = Repair(agent.database, agent.central, agent.masters.arrivals, downloads, agent.blobs._clock)
    return repair.run(found, **how)


def seen(report: VerifyReport) -> list[tuple[str, str, str]]:
    return [(one.table, one.row_id[-2:], one.kind) for one in report.differences]


@pytest.fixture
def filled(agent: Agent, tmp_path: Path) -> Agent:
    central = agent.central
    central.put("users", user(1))
    central.put("model_packages", model(2, write_model(tmp_path / "m"), central.blobs))
    for number in range(10, 50):
        row = central.put("inspection_targets_master", product(number))
        central.put("inspection_items_master", item(number + 40, row, LOOK))
    central.put("central_decisions", decision(3, new_id(77)))
    agent.pass_once()
    return agent


@pytest.mark.parametrize("deep", [False, True])
def test_what_was_pulled_compares_clean(filled: Agent, deep: bool) -> None:
    report = compare(filled, deep=deep)
    assert report.is_clean
    assert report.differences == []
    rows = {(one.space, one.table): one.rows for one in report.tables}
    assert rows["masters", "inspection_items_master"] == 40
    assert rows["decisions", "central_decisions"] == 1


def test_what_is_not_pulled_yet_is_no_difference(filled: Agent) -> None:
    filled.central.put("users", user(9))
    report = compare(filled)
    assert report.is_clean
    assert {one.table for one in report.tables if one.is_behind} == {
        "users", "model_packages", "assets", "pipelines", "inspection_targets_master", "inspection_items_master",
    }  # fmt: skip


def test_every_difference_of_masters_is_found_and_mended(filled: Agent) -> None:
    with filled.database.write() as tx:
        tx.execute("UPDATE inspection_targets_master SET product_name = 'x' WHERE id = ?", (new_id(10),))
        tx.execute("DELETE FROM inspection_items_master WHERE id = ?", (new_id(51),))
        tx.execute("UPDATE inspection_items_master SET row_sha256 = NULL WHERE id = ?", (new_id(52),))
        tx.execute("UPDATE inspection_targets_master SET row_sha256 = ? WHERE id = ?", ("0" * 64, new_id(13)))
        tx.execute("UPDATE central_decisions SET reason = 'x'")
    filled.central.plant("inspection_targets_master", product(99))
    del filled.central.changes["masters"]["inspection_items_master", new_id(60)]
    shallow = compare(filled)
    assert ("inspection_targets_master", "13", "differs") in seen(shallow)
    assert ("inspection_targets_master", "10", "edited-here") not in seen(shallow)
    deep = compare(filled, deep=True)
    assert set(seen(deep)) == {
        ("inspection_targets_master", "10", "edited-here"),
        ("inspection_items_master", "51", "missing-here"),
        ("inspection_items_master", "52", "missing-here"),
        ("inspection_targets_master", "99", "missing-here"),
        ("inspection_items_master", "60", "missing-there"),
        ("central_decisions", "03", "edited-here"),
    }
    planned = mend(filled, deep, dry_run=True)
    assert (planned.fetched, planned.is_complete) == (6, True)
    assert seen(compare(filled, deep=True)) == seen(deep)
    assert mend(filled, deep).is_complete
    assert seen(compare(filled, deep=True)) == []
    assert mend(filled, compare(filled)).is_complete
    assert seen(compare(filled)) == []
    assert filled.rows("inspection_items_master", "id, is_active")[10] == (new_id(60), 0)
    assert filled.rows("conflict_log", "entity_id, reason") != []
    assert filled.cursor() == filled.central.versions["masters"]


def test_files_of_masters_are_fetched_again(filled: Agent) -> None:
    folder = filled.config.data_dir / "models" / "bright-1.0.0"
    (folder / "model.onnx").write_bytes(b"rot")
    assert compare(filled).is_clean
    report = compare(filled, deep=True)
    assert seen(report) == [("model_packages", "02", "file-damaged")]
    assert mend(filled, report).is_complete
    assert compare(filled, deep=True).is_clean


def test_rows_that_cannot_be_brought_into_force_are_problems(filled: Agent) -> None:
    row = item(50, product(10), {"type": "VISUAL"})
    with filled.database.write() as tx:
        tx.execute("UPDATE inspection_items_master SET item_name = 'x' WHERE id = ?", (new_id(50),))
    filled.central.plant("inspection_items_master", row)
    report = mend(filled, compare(filled, deep=True))
    assert [problem.file for problem in report.problems] == [f"inspection_items_master/{new_id(50)}"]
    assert not report.is_complete
    assert filled.rows("inspection_items_master", "item_name")[0] == ("x",)
    with filled.database.write(local=False) as tx:
        tx.execute("UPDATE inspection_items_master SET item_name = '項目 50' WHERE id = ?", (new_id(50),))


def test_by_itself_a_bucket_is_mended_once_an_hour(filled: Agent) -> None:
    def spoil() -> VerifyReport:
        with filled.database.write() as tx:
            tx.execute("UPDATE inspection_targets_master SET product_name = 'x' WHERE id = ?", (new_id(10),))
        return compare(filled, deep=True)

    def alarmed() -> list[str]:
        with filled.database.read() as reader:
            return [finding.code for finding in alarms(reader)]

    assert mend(filled, spoil(), automatic=True).fetched == 1
    assert alarmed() == []
    second = mend(filled, spoil(), automatic=True)
    assert (second.fetched, len(second.paused)) == (0, 1)
    assert alarmed() == ["sync-differs"]
    filled.time.now += 3601
    assert mend(filled, spoil(), automatic=True).fetched == 1
    assert alarmed() == []


# ── records ─────────────────────────────────────────────────────────────────────────────────────────────


class Bench:
    """A device whose records the server has acknowledged."""

    def __init__(self, data_dir: Path, pool: InferencePool) -> None:
        self.store, self.central = Store(data_dir), FakeCentral()
        self.store.add_masters()
        self.sessions = [self.store.inspect() for _ in range(4)]
        store = self.store
        masters = Masters(
            store.database, store.blobs, pool, store.clock, store.config, lambda kind, facts: None
        )
        downloads = Downloads(data_dir, self.central)
        self.repair = Repair(store.database, self.central, masters.arrivals, downloads, store.clock)
        self.acknowledge()

    def acknowledge(self) -> None:
        """The server has everything."""
        with self.store.database.write() as tx:
            tx.execute("UPDATE sync_queue SET processed_at = 'now' WHERE processed_at IS NULL")
        with self.store.database.read() as reader:
            self.central.facts = {
                table: {one.id: one.recorded for one in digests.facts(reader, table, deep=False)}
                for table in FACT_TABLES
            }

    def compare(self, *, deep: bool = False, **how: Any) -> VerifyReport:
        return Verification(self.store.database, self.central, self.store.data_dir, deep=deep, **how).run()

    def kinds(self, *, deep: bool = False) -> list[tuple[str, str]]:
        return sorted((one.table, one.kind) for one in self.compare(deep=deep).differences)

    def queued(self) -> list[tuple[Any, ...]]:
        sql = (
            "SELECT entity_type, operation, entity_id FROM sync_queue WHERE processed_at IS NULL ORDER BY id"
        )
        with self.store.database.read() as reader:
            return [tuple(row) for row in reader.execute(sql)]

    def check(self) -> list[str]:
        with self.store.database.read() as reader:
            found = run_check(self.store.config, reader, now_s=self.store.time.now)
            return [f"{one.code} {one.subject}" for one in found if one.code != "pipeline-not-compiling"]


@pytest.fixture
def bench(tmp_path: Path, pool: InferencePool) -> Iterator[Bench]:
    (tmp_path / "bench").mkdir()
    made = Bench(tmp_path / "bench", pool)
    yield made
    made.store.close()


@pytest.mark.parametrize("deep", [False, True])
def test_acknowledged_records_compare_clean(bench: Bench, deep: bool) -> None:
    for sha256 in _blobs(bench):
        bench.central.blobs[sha256] = b""
    assert bench.compare(deep=deep).differences == []


def _blobs(bench: Bench) -> list[str]:
    with bench.store.database.write() as tx:
        tx.execute("UPDATE inspection_images SET uploaded_at = 'now'")
        return [row[0] for row in tx.execute("SELECT sha256 FROM inspection_images")]


def test_what_is_on_its_way_is_no_difference(bench: Bench) -> None:
    fresh = bench.store.inspect()
    bench.store.move(bench.sessions[0], "CANCELLED")
    assert bench.kinds() == []
    # the reply was lost: the server has them already
    bench.central.facts["inspection_sessions"] |= {fresh: "a" * 64, bench.sessions[0]: "b" * 64}
    assert bench.kinds(deep=True) == []


def test_records_the_server_lost_are_queued_again_parents_first_and_only_those(bench: Bench) -> None:
    lost = bench.sessions[1]
    with bench.store.database.read() as reader:
        [(target,)] = reader.execute(
            "SELECT target_id FROM inspection_sessions WHERE id = ?", (lost,)
        ).fetchall()
        [(image,)] = reader.execute(
            "SELECT id FROM inspection_images WHERE session_id = ?", (lost,)
        ).fetchall()
    for table, row_id in (
        ("inspection_images", image),
        ("inspection_sessions", lost),
        ("inspection_targets", target),
    ):
        del bench.central.facts[table][row_id]
    found = bench.compare()
    assert {one.kind for one in found.differences} == {Kind.MISSING_THERE}
    assert bench.repair.run(found, dry_run=True).queued == 3
    assert bench.queued() == []
    assert bench.repair.run(found).queued == 3
    assert bench.repair.run(found).queued == 0, "what is queued is not queued twice"
    assert bench.queued() == [
        ("inspection_targets", "INSERT", target),
        ("inspection_sessions", "INSERT", lost),
        ("inspection_images", "INSERT", image),
    ]
    assert bench.check() == []
    bench.acknowledge()
    assert bench.kinds(deep=True) == []
    bench.store.move(lost, "COMPLETED", "NG")
    assert bench.check() == []


def test_a_session_that_differs_is_settled_by_the_server(bench: Bench) -> None:
    bench.central.facts["inspection_sessions"][bench.sessions[0]] = "a" * 64
    found = bench.compare()
    assert [one.kind for one in found.differences] == [Kind.DIFFERS]
    assert bench.repair.run(found).queued == 1
    assert bench.queued() == [("inspection_sessions", "UPDATE", bench.sessions[0])]
    with bench.store.database.read() as reader:
        sql = "SELECT base_version FROM sync_queue ORDER BY id DESC LIMIT 1"
        assert tuple(reader.execute(sql).fetchone()) == (0,)
    assert bench.check() == []
    bench.acknowledge()
    assert bench.kinds(deep=True) == []


def test_a_record_that_differs_otherwise_is_left_to_a_person(bench: Bench) -> None:
    row_id = next(iter(bench.central.facts["ai_inspection_results"]))
    bench.central.facts["ai_inspection_results"][row_id] = "a" * 64
    report = bench.repair.run(bench.compare(), automatic=True)
    assert [one.row_id for one in report.left] == [row_id]
    assert bench.queued() == []
    with bench.store.database.read() as reader:
        assert [finding.subject for finding in alarms(reader)] == ["facts/ai_inspection_results"]


def test_what_lost_a_conflict_is_no_fault(bench: Bench) -> None:
    session = bench.sessions[0]
    bench.central.facts["inspection_sessions"][session] = "a" * 64
    with bench.store.database.write() as tx:
        pulled.add_conflict(tx, ("inspection_sessions", session), "{}", "{}", "superseded", ("c", "now"))
    found = bench.compare()
    assert ([one.kind for one in found.differences], found.is_clean) == ([Kind.SUPERSEDED], True)


def test_records_only_the_server_has_are_told_and_left(bench: Bench) -> None:
    bench.central.facts["inspection_targets"][new_id(5)] = "a" * 64
    found = bench.compare()
    assert [one.kind for one in found.differences] == [Kind.MISSING_HERE]
    assert found.is_clean
    assert bench.repair.run(found).is_complete


def test_a_record_changed_outside_is_never_sent(bench: Bench) -> None:
    session = bench.sessions[0]
    with bench.store.forged() as tx:
        tx.execute("UPDATE inspection_sessions SET reason = 'forged' WHERE id = ?", (session,))
    del bench.central.facts["inspection_sessions"][session]
    found = bench.compare(deep=True)
    assert {one.kind for one in found.differences} == {Kind.MISSING_THERE, Kind.CHANGED_HERE}
    report = bench.repair.run(found)
    assert (report.queued, [one.kind for one in report.left]) == (0, [Kind.CHANGED_HERE])
    assert bench.queued() == []


def test_photographs_the_object_store_lost_are_sent_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, *held = _blobs(bench)
    bench.central.blobs |= dict.fromkeys(held, b"")
    monkeypatch.setattr(verify, "NEWEST_PHOTOGRAPHS", 0)
    assert bench.kinds() == []
    found = bench.compare(deep=True)
    monkeypatch.undo()
    assert bench.compare().differences == found.differences, "the newest are asked for without --deep too"
    assert [(one.space, one.kind) for one in found.differences] == [("blobs", Kind.MISSING_THERE)]
    assert bench.repair.run(found).uploads == 1
    with bench.store.database.read() as reader:
        [(sha256,)] = reader.execute(
            "SELECT sha256 FROM inspection_images WHERE uploaded_at IS NULL"
        ).fetchall()
    assert sha256 == lost


def test_work_can_be_watched_and_stopped(bench: Bench) -> None:
    class Stopped(Exception):
        pass

    def stop_at(wanted: str) -> Callable[[str, int, int | None], None]:
        def progress(step: str, done: int, total: int | None) -> None:
            if step == wanted:
                raise Stopped

        return progress

    with pytest.raises(Stopped):
        bench.compare(progress=stop_at("inspection_images"))
    bench.central.facts["inspection_targets"].clear()
    with pytest.raises(Stopped):
        bench.repair.run(bench.compare(), progress=stop_at("inspection_targets"))
    assert bench.queued() == []


def test_a_resync_discards_nothing_unsent(bench: Bench) -> None:
    unsent = bench.store.inspect()
    before = bench.queued()
    row_id = next(iter(bench.central.facts["inspection_targets"]))
    del bench.central.facts["inspection_targets"][row_id]
    report = resync(bench.store.database, bench.repair, None, bench.compare(), progress=no_progress)
    assert report.spaces == ("decisions", "masters")
    assert report.repair.queued == 1
    assert bench.queued() == [*before, ("inspection_targets", "INSERT", row_id)]
    assert any(unsent == entry[2] for entry in before)
    with bench.store.database.read() as reader:
        assert pulled.state(reader, "masters").detail == {"from_zero": "a resync was asked for"}
    assert bench.check() == []


def test_only_the_tables_asked_for(bench: Bench) -> None:
    bench.central.facts["inspection_targets"].clear()
    bench.central.facts["inspection_sessions"].clear()
    report = bench.compare(tables=["inspection_sessions"])
    assert {one.table for one in report.tables} == {"inspection_sessions"}
    with pytest.raises(BadInput):
        require_tables(["inspection_sessions", "sqlite_master"])
    done = resync(bench.store.database, bench.repair, ["inspection_sessions"], report, progress=no_progress)
    assert (done.spaces, done.repair.queued) == ((), 4)


def test_buckets_are_those_of_the_protocol(bench: Bench) -> None:
    bench.central.facts["inspection_targets"].clear()
    assert all(one.bucket == bucket_of(one.row_id) for one in bench.compare().differences)
