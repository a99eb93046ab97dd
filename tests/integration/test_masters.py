"""Masters on a real store and a real inference process: in force whole, or nothing changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import edge_agent
from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.errors import BadDefinition, BadInput, Conflict, Damaged, InferenceFailed, NotFound
from edge_agent.inference.jobs import Job, PlanRef
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.importer import Masters
from edge_agent.masters.users import Users
from edge_agent.models import Actor, AiResult, Role
from edge_agent.store import audit, masters, users
from edge_agent.store.database import Database
from edge_agent.store.schema import open_database
from tests import onnx_models
from tests.bundles import CALIBRATIONS, ITEMS, LOOK, USERS, pipeline, seal, write_bundle, write_model, zipped

ADMIN = Actor("admin", role=Role.ADMIN)


@pytest.fixture(scope="module")
def pool() -> Iterator[InferencePool]:
    started = InferencePool()
    started.start()
    yield started
    started.close()


@dataclass(frozen=True)
class Site:
    """One installation."""

    database: Database
    masters: Masters
    data_dir: Path
    told: list[tuple[str, Mapping[str, Any]]]

    def files(self) -> dict[str, str]:
        """Every file but the database's, by content."""
        return {
            path.relative_to(self.data_dir).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.data_dir.rglob("*"))
            if path.is_file() and not path.name.startswith("edge.db")
        }

    def rows(self) -> list[str]:
        with self.database.snapshot() as reader:
            return list(reader.iterdump())

    def actions(self) -> list[str]:
        with self.database.read() as reader:
            assert list(audit.verify(reader)) == []
            return [entry.action for entry in reversed(audit.list_entries(reader))]


@contextlib.contextmanager
def opened_site(data_dir: Path, pool: InferencePool) -> Iterator[Site]:
    config, clock = load_config(data_dir, min_free_bytes=0), Clock()
    told: list[tuple[str, Mapping[str, Any]]] = []
    with closing(open_database(config.database_path, clock, "desktop", "test")) as database:
        blobs = Blobs(data_dir, clock)
        blobs.prepare()
        built = Masters(database, blobs, pool, clock, config, lambda kind, facts: told.append((kind, facts)))
        built.prepare()
        built.reload()
        yield Site(database, built, data_dir, told)


@pytest.fixture
def site(tmp_path: Path, pool: InferencePool) -> Iterator[Site]:
    """An empty installation."""
    (tmp_path / "data").mkdir()
    with opened_site(tmp_path / "data", pool) as opened:
        yield opened


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, pool: InferencePool) -> Path:
    """A closed data directory with the good bundle in force and bright 1.1.0 installed besides."""
    folder = tmp_path_factory.mktemp("installation")
    (folder / "data").mkdir()
    with opened_site(folder / "data", pool) as opened:
        opened.masters.import_bundle(write_bundle(folder / "b"), ADMIN)
        opened.masters.install_model(write_model(folder / "m", "1.1.0"), ADMIN)
    return folder / "data"


@pytest.fixture
def used(tmp_path: Path, pool: InferencePool, installation: Path) -> Iterator[Site]:
    """An installation in use: a copy of `installation`."""
    shutil.copytree(installation, tmp_path / "used")
    with opened_site(tmp_path / "used", pool) as opened:
        yield opened


def unchanged(site: Site) -> Callable[[], bool]:
    files, rows = site.files(), site.rows()
    return lambda: (site.files(), site.rows()) == (files, rows)


def test_a_bundle_comes_into_force_whole_and_the_second_time_changes_nothing(
    tmp_path: Path, site: Site
) -> None:
    folder = write_bundle(tmp_path / "b")
    stages: list[str] = []
    report = site.masters.import_bundle(
        folder, ADMIN, progress=lambda stage, done, total: stages.append(stage)
    )
    assert {word: (c.added, c.changed, c.unchanged) for word, c in report.counts.items()} == {
        "products": (1, 0, 0),
        "items": (2, 0, 0),
        "pipelines": (1, 0, 0),
        "models": (1, 0, 0),
        "users": (1, 0, 0),
        "calibrations": (1, 0, 0),
    }
    assert report.golden == {"bright-1.0.0": [{"image": "golden/white.png", "agrees": True}]}
    assert report.activated == {"bright": "1.0.0"}
    assert list(dict.fromkeys(stages)) == ["unpack", "models", "write"]
    running = site.masters.running
    assert [p.code for p in running.pipelines.values()] == ["front"]
    assert running.models == {("bright", "1.0.0"): site.data_dir / "models" / "bright-1.0.0"}
    assert running.calibrations["cam1"]["um_per_px"] == 12.5
    assert running.findings == ()
    status = site.masters.status()
    assert (status.products, status.items, status.users, status.running) == (1, 2, 1, ("front",))
    assert status.imported is not None
    assert (status.imported["name"], status.imported["by"]) == ("test", "admin")
    assert site.actions() == ["master.import"]
    assert not list((site.data_dir / "imports").iterdir())

    same = unchanged(site)
    again = site.masters.import_bundle(zipped(folder, tmp_path / "b.zip"), ADMIN)
    assert not again.is_changed
    assert same()
    assert site.masters.running is running


def test_a_dry_run_reports_the_same_and_writes_nothing(tmp_path: Path, site: Site) -> None:
    same = unchanged(site)
    folder = write_bundle(tmp_path / "b")
    dry = site.masters.import_bundle(folder, ADMIN, dry_run=True)
    assert same()
    assert (dry.dry_run, dry.problems) == (True, ())
    real = site.masters.import_bundle(folder, ADMIN)
    assert (dry.counts, dry.golden, dry.activated) == (real.counts, real.golden, real.activated)


@pytest.mark.parametrize("fault", ["golden", "row", "checksum", "network"])
def test_a_bad_bundle_changes_nothing_not_even_files(tmp_path: Path, used: Site, fault: str) -> None:
    folder = write_bundle(tmp_path / "bad", {"items.json": ITEMS[:1]}, models=("1.0.0", "2.0.0"))
    manifest = folder / "models" / "bright-2.0.0" / "model.json"
    document = json.loads(manifest.read_text())
    if fault == "golden":
        document["golden"][0]["expect"]["class"] = "dark"
        expected = {("models/bright-2.0.0/model.json", "/golden/0", "golden-differs")}
    elif fault == "network":
        data = b"not a network at all"
        (manifest.parent / "model.onnx").write_bytes(data)
        document |= {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        expected = {("models/bright-2.0.0/model.onnx", "", "not-onnx")}
    elif fault == "row":
        (folder / "items.json").write_text(json.dumps([{**ITEMS[0], "pipeline": "none"}]))
        expected = {("items.json", "/0/pipeline", "unknown-pipeline")}
    manifest.write_text(json.dumps(document))
    seal(folder)
    if fault == "checksum":
        (folder / "products.json").write_text((folder / "products.json").read_text() + " ")
        expected = {("bundle.json", "/files/products.json/size_bytes", "size-mismatch")}
    same, running = unchanged(used), used.masters.running
    with pytest.raises(BadDefinition) as caught:
        used.masters.import_bundle(folder, ADMIN)
    assert {(p.file, p.pointer, p.code) for p in caught.value.problems} == expected
    assert same()
    assert used.masters.running is running
    dry = used.masters.import_bundle(folder, ADMIN, dry_run=True)
    assert set(dry.problems) == set(caught.value.problems)


def test_a_network_that_kills_its_process_is_a_problem_of_its_package(tmp_path: Path, site: Site) -> None:
    """NaN is a broken answer: the warm-up refuses it in the process apart, the line goes on."""
    import numpy as np

    folder = write_bundle(tmp_path / "b", {"pipelines/front.json": pipeline()}, models=())
    data = onnx_models.constant_output(
        {"logits": np.full((1, 2), np.nan, np.float32)}, size=(16, 16), input_name="image"
    )
    package = write_model(
        folder / "models", sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), golden=[]
    )
    (package / "model.onnx").write_bytes(data)
    report = site.masters.import_bundle(seal(folder), ADMIN, dry_run=True)
    assert {problem.file.split("/")[1] for problem in report.problems} == {"bright-1.0.0"}


def test_without_an_inference_process_nothing_is_imported(tmp_path: Path, site: Site) -> None:
    closed = InferencePool()
    stopped = Masters(
        site.database,
        Blobs(site.data_dir, Clock()),
        closed,
        Clock(),
        load_config(site.data_dir),
        lambda *_: None,
    )
    same = unchanged(site)
    with pytest.raises(InferenceFailed):
        stopped.import_bundle(write_bundle(tmp_path / "b"), ADMIN)
    assert same()


@pytest.mark.parametrize("stage", ["unpack", "models", "write"])
def test_an_import_stopped_at_any_stage_leaves_nothing(tmp_path: Path, site: Site, stage: str) -> None:
    def stop(now: str, done: int, total: int) -> None:
        if now == stage:
            raise KeyboardInterrupt

    same = unchanged(site)
    with pytest.raises(KeyboardInterrupt):
        site.masters.import_bundle(write_bundle(tmp_path / "b"), ADMIN, progress=stop)
    assert same()


def test_leftovers_of_a_crash_are_removed_at_start_and_orphans_replaced(tmp_path: Path, site: Site) -> None:
    (site.data_dir / "imports" / "old" / "bundle").mkdir(parents=True)
    orphan = site.data_dir / "models" / "bright-1.0.0"
    orphan.mkdir()
    (orphan / "model.onnx").write_bytes(b"half")
    site.masters.prepare()
    assert not (site.data_dir / "imports").exists()
    site.masters.import_bundle(write_bundle(tmp_path / "b"), ADMIN)
    assert site.masters.running.findings == ()


def test_a_transaction_that_fails_takes_the_files_back(tmp_path: Path, site: Site) -> None:
    with site.database.write() as tx:
        tx.execute("CREATE TRIGGER full BEFORE INSERT ON pipelines BEGIN SELECT RAISE(ABORT, 'no'); END")
    before = site.rows()
    with pytest.raises(Conflict) as caught:
        site.masters.import_bundle(write_bundle(tmp_path / "b"), ADMIN)
    assert caught.value.code_ == "masters-conflict"
    assert site.rows() == before
    assert not list((site.data_dir / "models").iterdir())


def test_items_no_longer_in_the_bundle_are_deactivated_and_said(tmp_path: Path, used: Site) -> None:
    report = used.masters.import_bundle(write_bundle(tmp_path / "2", {"items.json": ITEMS[:1]}), ADMIN)
    assert report.deactivated == ("PLATE/led",)
    with used.database.read() as reader:
        product = masters.find_product(reader, "PLATE")
        assert product is not None
        assert [item.item_code for item in masters.list_items(reader, product.id)] == ["look"]
    used.masters.import_bundle(write_bundle(tmp_path / "3"), ADMIN)
    with used.database.read() as reader:
        assert len(masters.list_items(reader, product.id)) == 2


def test_a_pipeline_counts_its_changes(tmp_path: Path, used: Site) -> None:
    changed = {"pipelines/front.json": pipeline()}
    report = used.masters.import_bundle(write_bundle(tmp_path / "2", changed), ADMIN)
    assert {warning.code for warning in report.warnings} == {"same-version", "unused-asset"}
    with used.database.read() as reader:
        [row] = masters.list_pipelines(reader)
    assert row.version == 2
    assert used.masters.running.pipelines[row.id].sha256 == row.sha256


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_an_export_is_a_bundle_that_another_site_imports(
    tmp_path: Path, used: Site, site: Site, name: str
) -> None:
    names = used.masters.export_bundle(tmp_path / name, with_users=True)
    assert "users.json" in names
    assert not used.masters.import_bundle(tmp_path / name, ADMIN).is_changed
    site.masters.import_bundle(tmp_path / name, ADMIN)
    assert site.masters.running.pipelines.keys() == used.masters.running.pipelines.keys()
    again = tmp_path / f"again-{name}"
    site.masters.export_bundle(again, with_users=True)
    if name.endswith(".zip"):
        assert again.read_bytes() == (tmp_path / name).read_bytes()
    else:
        assert (again / "bundle.json").read_bytes() == (tmp_path / name / "bundle.json").read_bytes()


def test_an_export_holds_no_password_hash_unless_asked_and_replaces_nothing(
    tmp_path: Path, used: Site
) -> None:
    assert "users.json" not in used.masters.export_bundle(tmp_path / "out.zip")
    assert USERS[0]["password_hash"].encode() not in (tmp_path / "out.zip").read_bytes()
    with pytest.raises(Conflict):
        used.masters.export_bundle(tmp_path / "out.zip")


# ── models ─────────────────────────────────────────────────────────────────────────────────────────────

LOOSE = {"pipelines/front.json": pipeline(version=None)}


def plan_version(site: Site) -> str:
    [running] = site.masters.running.pipelines.values()
    [model] = running.plan.models
    assert json.loads(running.definition)["steps"][0]["with"]["version"] == model.version
    return model.version


def test_a_pipeline_without_a_version_follows_activation_and_rollback(tmp_path: Path, used: Site) -> None:
    used.masters.import_bundle(write_bundle(tmp_path / "b", LOOSE), ADMIN)
    before = used.masters.running
    assert [(p.version, p.is_active) for p in used.masters.status().models] == [
        ("1.0.0", True),
        ("1.1.0", False),
    ]
    assert plan_version(used) == "1.0.0"
    active = used.masters.activate_model("bright", "1.1.0", ADMIN)
    assert (active.is_active, active.golden_results) == (
        True,
        [{"image": "golden/white.png", "agrees": True}],
    )
    assert plan_version(used) == "1.1.0"
    [old] = before.pipelines.values()
    assert old.plan.models[0].version == "1.0.0"
    assert used.masters.rollback_model("bright", ADMIN).version == "1.0.0"
    assert plan_version(used) == "1.0.0"
    assert used.masters.rollback_model("bright", ADMIN).version == "1.1.0"
    assert used.actions()[2:] == ["master.import", "model.activate", "model.rollback", "model.rollback"]
    again = used.masters.import_bundle(write_bundle(tmp_path / "again", LOOSE), ADMIN)
    assert not again.is_changed
    assert plan_version(used) == "1.1.0"


def test_a_new_version_in_a_bundle_becomes_active_unless_the_bundle_says_another(
    tmp_path: Path, site: Site
) -> None:
    versions = ("1.9.0", "1.10.0")
    report = site.masters.import_bundle(write_bundle(tmp_path / "1", LOOSE, models=versions), ADMIN)
    assert report.activated == {"bright": "1.10.0"}
    named = write_bundle(tmp_path / "2", LOOSE, models=("2.0.0",), active={"bright": "1.9.0"})
    assert site.masters.import_bundle(named, ADMIN).activated == {"bright": "1.9.0"}
    with pytest.raises(BadDefinition) as caught:
        site.masters.import_bundle(write_bundle(tmp_path / "3", active={"bright": "3.0.0"}), ADMIN)
    assert {(p.pointer, p.code) for p in caught.value.problems} >= {("/active/bright", "missing-model")}


def test_a_version_never_changes(tmp_path: Path, used: Site) -> None:
    folder = write_bundle(tmp_path / "2", models=())
    other = write_model(folder / "models", thresholds={"score": 0.6})
    same = unchanged(used)
    with pytest.raises(BadDefinition) as caught:
        used.masters.import_bundle(seal(folder), ADMIN)
    assert [problem.code for problem in caught.value.problems] == ["model-immutable"]
    with pytest.raises(Conflict) as refused:
        used.masters.install_model(other, ADMIN)
    assert refused.value.code_ == "version-exists"
    assert same()


def test_a_version_that_breaks_what_uses_it_is_not_activated(tmp_path: Path, used: Site) -> None:
    used.masters.import_bundle(write_bundle(tmp_path / "b", LOOSE), ADMIN)
    classes = {"decoder": "classify", "activation": "softmax", "classes": ["light", "dark"]}
    package = write_model(tmp_path / "m", "2.0.0", output=classes, golden=[])
    used.masters.install_model(package, ADMIN)
    with pytest.raises(BadDefinition) as caught:
        used.masters.activate_model("bright", "2.0.0", ADMIN)
    assert [problem.code for problem in caught.value.problems] == ["breaks-item"]
    assert plan_version(used) == "1.0.0"


def test_a_package_may_be_a_zip_or_an_exported_network(tmp_path: Path, site: Site) -> None:
    packed = zipped(write_model(tmp_path / "m"), tmp_path / "bright-1.0.0.zip")
    assert site.masters.install_model(packed, ADMIN).is_active
    names = ["bright", "dark"]
    network = tmp_path / "export.onnx"
    network.write_bytes(
        onnx_models.constant_output(
            {"output0": __import__("numpy").array([[0.9, 0.1]], "float32")},
            metadata=onnx_models.ultralytics_metadata("classify", names),
        )
    )
    found = site.masters.install_model(network, ADMIN, name="yolo", version="1.0.0")
    assert (found.name, found.task, found.manifest["output"]["classes"]) == ("yolo", "classify", names)


def test_a_model_that_disagrees_is_not_installed(tmp_path: Path, site: Site) -> None:
    golden = [{"image": "golden/white.png", "expect": {"class": "dark"}}]
    same = unchanged(site)
    with pytest.raises(BadDefinition):
        site.masters.install_model(write_model(tmp_path / "m", golden=golden), ADMIN)
    assert same()


def test_unknown_models_are_said(site: Site) -> None:
    with pytest.raises(NotFound):
        site.masters.activate_model("none", "1.0.0", ADMIN)
    with pytest.raises(NotFound):
        site.masters.test_model("none", "1.0.0")
    with pytest.raises(Conflict):
        site.masters.rollback_model("none", ADMIN)


@pytest.mark.parametrize("file", ["model.onnx", "model.json"])
def test_a_model_whose_files_changed_is_not_loaded_until_it_is_imported_again(
    tmp_path: Path, used: Site, file: str
) -> None:
    folder = write_bundle(tmp_path / "b")
    path = used.data_dir / "models" / "bright-1.0.0" / file
    good = path.read_bytes()
    path.write_bytes(good.replace(b"softmax", b"sigmoid") if file == "model.json" else good[:-1] + b"x")
    running = used.masters.reload()
    assert running.pipelines == {}
    assert running.models == {}
    assert [finding.code for finding in running.findings] == ["model-damaged", "pipeline-not-running"]
    with pytest.raises(Damaged):
        used.masters.export_bundle(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    used.masters.import_bundle(folder, ADMIN)
    assert used.masters.running.findings == ()
    assert used.masters.test_model("bright", "1.0.0").agrees


def test_an_asset_whose_bytes_changed_is_not_used_until_it_is_imported_again(
    tmp_path: Path, used: Site
) -> None:
    folder = write_bundle(tmp_path / "b")
    [asset] = (used.data_dir / "assets").iterdir()
    asset.write_bytes(b"another picture")
    assert [f.code for f in used.masters.reload().findings] == ["asset-damaged", "pipeline-not-running"]
    used.masters.import_bundle(folder, ADMIN)
    assert used.masters.running.findings == ()


def test_testing_a_model_says_in_what_it_disagrees(tmp_path: Path, used: Site) -> None:
    golden = used.data_dir / "models" / "bright-1.0.0" / "golden" / "white.png"
    import cv2
    import numpy as np

    cv2.imwrite(str(golden), np.zeros((8, 8, 3), np.uint8))
    tested = used.masters.test_model("bright", "1.0.0")
    assert not tested.agrees
    assert [problem.code for problem in tested.problems] == ["golden-differs"]


def test_readers_never_see_half_a_change(tmp_path: Path, used: Site) -> None:
    used.masters.import_bundle(write_bundle(tmp_path / "b", LOOSE), ADMIN)
    stop, seen = threading.Event(), set()

    def look() -> None:
        while not stop.is_set():
            running = used.masters.running
            [pipeline_] = running.pipelines.values()
            seen.add({(m.name, m.version) for m in pipeline_.plan.models} == running.models.keys())

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for version in ("1.1.0", "1.0.0"):
            used.masters.activate_model("bright", version, ADMIN)
    finally:
        stop.set()
        reader.join()
    assert seen == {True}


def test_a_run_under_way_finishes_with_the_old_plan_after_a_swap(
    tmp_path: Path, used: Site, pool: InferencePool
) -> None:
    used.masters.import_bundle(write_bundle(tmp_path / "b", LOOSE), ADMIN)
    [before] = used.masters.running.pipelines.values()
    used.masters.activate_model("bright", "1.1.0", ADMIN)
    [after] = used.masters.running.pipelines.values()
    picture = used.data_dir / "models" / "bright-1.0.0" / "golden" / "white.png"
    for running in (before, after):
        job = Job(
            picture=picture,
            plan=PlanRef(running.plan.sha256, running.definition),
            criteria=LOOK,
            scan={},
            calibration=None,
            now="2026-11-23T00:00:00.000Z",
            deadline_s=60.0,
            derived=None,
        )
        result = pool.submit(job).result.result()
        assert result is not None
        assert result.overall_result is AiResult.OK


# ── people and calibrations ────────────────────────────────────────────────────────────────────────────


def test_a_calibration_is_in_force_at_once(site: Site) -> None:
    site.masters.put_calibration(
        "cam1", 10.0, "2027-01-01T09:00:00+09:00", "checkerboard", {"corners": 54}, ADMIN
    )
    row = site.masters.running.calibrations["cam1"]
    assert (row["um_per_px"], row["valid_until"], row["detail"]) == (
        10.0,
        "2027-01-01T00:00:00.000Z",
        {"corners": 54},
    )
    assert site.actions() == ["calibration.put"]
    with pytest.raises(BadDefinition) as caught:
        site.masters.put_calibration("", -1, "tomorrow", "checkerboard", {}, ADMIN)
    assert {p.pointer for p in caught.value.problems} == {"/name", "/um_per_px", "/valid_until"}


def test_a_calibration_measured_here_survives_the_next_import(tmp_path: Path, used: Site) -> None:
    used.masters.put_calibration("cam1", 10.0, "2027-06-01T00:00:00Z", "checkerboard", {}, ADMIN)
    used.masters.import_bundle(write_bundle(tmp_path / "2", {"items.json": ITEMS[:1]}), ADMIN)
    assert used.masters.running.calibrations["cam1"]["um_per_px"] == 10.0
    newer = {"calibrations.json": [{**CALIBRATIONS[0], "um_per_px": 14.0}]}
    used.masters.import_bundle(write_bundle(tmp_path / "3", newer), ADMIN)
    assert used.masters.running.calibrations["cam1"]["um_per_px"] == 14.0


def test_people_are_added_and_changed_with_an_audit_entry(site: Site) -> None:
    people = Users(site.database, Clock())
    added = people.add("sato", "佐藤", Role.ADMIN, "correct horse", ADMIN)
    assert (added.username, added.role, added.is_active) == ("sato", Role.ADMIN, True)
    with pytest.raises(Conflict):
        people.add("sato", "Another", Role.INSPECTOR, "correct horse", ADMIN)
    with pytest.raises(BadInput):
        people.add("abe", "阿部", Role.INSPECTOR, "short", ADMIN)
    with pytest.raises(BadDefinition) as caught:
        people.add(" x", "", Role.INSPECTOR, "correct horse", ADMIN, email="nowhere")
    assert {problem.pointer for problem in caught.value.problems} == {"/username", "/full_name", "/email"}
    with pytest.raises(Conflict):
        people.set_active("sato", False, ADMIN)
    people.set_password("sato", "battery staple", ADMIN)
    with site.database.read() as reader:
        found = users.find_user(reader, "sato")
    from argon2 import PasswordHasher

    assert found is not None
    assert PasswordHasher().verify(found[1], "battery staple")
    people.add("abe", "阿部", Role.ADMIN, "correct horse", ADMIN)
    assert not people.set_active("sato", False, ADMIN).is_active
    assert people.set_active("sato", True, ADMIN).is_active
    assert site.actions() == ["user.add", "user.password", "user.add", "user.disable", "user.enable"]
    with pytest.raises(NotFound):
        people.set_password("nobody", "battery staple", ADMIN)


def test_an_imported_user_keeps_the_password_changed_here_and_logins_end_when_it_changes(
    tmp_path: Path, used: Site
) -> None:
    Users(used.database, Clock()).set_password("sato", "battery staple", ADMIN)
    with used.database.write() as tx:
        found = users.find_user(tx, "sato")
        assert found is not None
        users.add_login(tx, "t" * 64, found[0].id, "2026-11-23T00:00:00.000Z", "2099-01-01T00:00:00.000Z")
    used.masters.import_bundle(write_bundle(tmp_path / "2", {"items.json": ITEMS[:1]}), ADMIN)
    now = "2026-11-23T00:00:01.000Z"
    with used.database.read() as reader:
        kept = users.find_user(reader, "sato")
        assert kept is not None
        assert kept[1] == found[1]
        assert users.user_of_login(reader, "t" * 64, now) is not None
    rehashed = [{**USERS[0], "password_hash": USERS[0]["password_hash"].replace("t=3", "t=4")}]
    used.masters.import_bundle(write_bundle(tmp_path / "3", {"users.json": rehashed}), ADMIN)
    with used.database.read() as reader:
        changed = users.find_user(reader, "sato")
        assert changed is not None
        assert changed[1] == rehashed[0]["password_hash"]
        assert users.user_of_login(reader, "t" * 64, now) is None


def test_criteria_are_stored_as_verified(tmp_path: Path, used: Site) -> None:
    with used.database.read() as reader:
        product = masters.find_product(reader, "PLATE")
        assert product is not None
        assert masters.list_items(reader, product.id)[0].criteria == LOOK


def test_a_full_disk_changes_nothing(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    same = unchanged(site)
    monkeypatch.setattr("edge_agent.masters.packages.os.rename", full)
    from edge_agent.errors import Unavailable

    with pytest.raises(Unavailable) as caught:
        site.masters.import_bundle(write_bundle(tmp_path / "b", LOOSE), ADMIN)
    assert caught.value.code_ == "disk-full"
    shutil.rmtree(site.data_dir / "assets")
    (site.data_dir / "assets").mkdir()
    assert same()


def test_the_demo_bundle_imports_and_its_export_is_the_same(tmp_path: Path, site: Site) -> None:
    bundle = Path(edge_agent.__file__).parent / "demo" / "bundle"
    report = site.masters.import_bundle(bundle, ADMIN)
    assert report.counts["items"].added == 4
    assert all(result["agrees"] for results in report.golden.values() for result in results)
    assert site.masters.running.findings == ()
    site.masters.export_bundle(tmp_path / "out.zip", with_users=True)
    assert not site.masters.import_bundle(tmp_path / "out.zip", ADMIN).is_changed
