"""Models and the pipelines that follow them: in force whole, or nothing changed."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from edge_agent.errors import BadDefinition, Conflict, Damaged, NotFound
from edge_agent.inference.jobs import Job, PlanRef
from edge_agent.inference.worker import InferencePool
from edge_agent.models import AiResult
from tests import onnx_models
from tests.bundles import LOOK, seal, write_bundle, write_model, zipped
from tests.integration.masters.conftest import ADMIN, LOOSE, Site, unchanged


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
