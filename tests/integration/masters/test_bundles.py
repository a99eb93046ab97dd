"""A bundle comes into force whole, or nothing changes; an export is a bundle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

import edge_agent
from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.errors import BadDefinition, Conflict, InferenceFailed
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.importer import Masters
from edge_agent.store import masters
from tests import onnx_models
from tests.bundles import ITEMS, LOOK, USERS, pipeline, seal, write_bundle, write_model, zipped
from tests.integration.masters.conftest import ADMIN, LOOSE, Site, unchanged


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
