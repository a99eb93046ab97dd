"""Bundles and packages at the centre: the devices' format and checks, on a real database and a real object store."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from central_server.masters.bundles import Bundles
from central_server.masters.masters import Masters
from central_server.masters.packages import Packages
from central_server.objects import Objects
from central_server.store.changes import pull
from central_server.store.database import Database
from central_server.store.migrations import migrate
from edge_agent.clock import Clock
from edge_agent.errors import BadDefinition, Conflict, Damaged
from tests.bundles import (
    CALIBRATIONS,
    ITEMS,
    USERS,
    pipeline,
    put_json,
    seal,
    with_template,
    write_bundle,
    write_model,
    zipped,
)

CLOCK = Clock()
WHO = "tanaka"


class Centre:
    def __init__(self, database: Database, objects: Objects) -> None:
        self.database, self.objects = database, objects
        self.masters = Masters(database, CLOCK)
        self.packages = Packages(database, objects, CLOCK)
        self.bundles = Bundles(database, self.packages, CLOCK)

    def wire(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Everything a new device would get: (table, id) → row."""
        page = pull(self.database, "masters", 0, None)
        return {(c.table, c.id): json.loads(c.data) for c in page.changes if c.operation == "put"}

    def head(self) -> int:
        return pull(self.database, "masters", 0, None).to_cursor


@pytest.fixture
def centre(empty_url: str, objects: Objects) -> Any:
    migrate(empty_url)
    database = Database(empty_url)
    database.open()
    yield Centre(database, objects)
    database.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asset") / "t.png"
    path.write_bytes(b"a reference picture")
    return path


def test_a_bundle_comes_in_whole_and_a_second_time_changes_nothing(tmp_path: Path, centre: Centre) -> None:
    folder = write_bundle(tmp_path / "b")
    report = centre.bundles.import_bundle(folder, WHO)
    assert report.problems == ()
    assert {"calibration-left-out"} <= {warning.code for warning in report.warnings}
    assert {word: count.added for word, count in report.counts.items()} == {
        "products": 1,
        "items": len(ITEMS),
        "pipelines": 1,
        "models": 1,
        "users": len(USERS),
        "calibrations": 0,
    }
    assert CALIBRATIONS
    (package,) = [row for (table, _), row in centre.wire().items() if table == "model_packages"]
    archive = tmp_path / "archive.zip"
    centre.packages.fetch(package["archive_sha256"], archive)
    assert package["archive_size"] == archive.stat().st_size
    assert set(zipfile.ZipFile(archive).namelist()) == {"model.json", "model.onnx", "golden/white.png"}
    head = centre.head()
    again = centre.bundles.import_bundle(zipped(folder, tmp_path / "b.zip"), WHO)
    assert not again.is_changed
    assert centre.head() == head


def test_a_dry_run_finds_the_same_and_changes_nothing(tmp_path: Path, centre: Centre) -> None:
    before = centre.head()
    report = centre.bundles.import_bundle(write_bundle(tmp_path / "b"), WHO, dry_run=True)
    assert (report.problems, report.dry_run, report.counts["items"].added) == ((), True, len(ITEMS))
    assert (centre.head(), centre.wire()) == (before, {})
    spoilt = write_bundle(tmp_path / "s", {"pipelines/front.json": pipeline(version="7.0.0")})
    found = centre.bundles.import_bundle(spoilt, WHO, dry_run=True).problems
    assert {(p.file, p.code) for p in found} >= {("pipelines/front.json", "missing-model")}
    with pytest.raises(BadDefinition) as caught:
        centre.bundles.import_bundle(spoilt, WHO)
    assert caught.value.problems == list(found)
    assert centre.wire() == {}


def test_a_dry_run_meets_what_only_the_database_refuses(tmp_path: Path, centre: Centre) -> None:
    long = [{"product_code": "PLATE", "product_name": "x", "version": "v" * 60}]
    bundle = write_bundle(tmp_path / "b", {"products.json": long})
    for dry_run in (True, False):
        with pytest.raises(Exception, match="too long"):
            centre.bundles.import_bundle(bundle, WHO, dry_run=dry_run)
    assert centre.wire() == {}


def test_what_leaves_the_centre_comes_in_elsewhere(tmp_path: Path, centre: Centre, template: Path) -> None:
    sha256 = centre.packages.put_asset(template, WHO)
    fixed = {"pipelines/front.json": with_template(pipeline(), sha256)}
    centre.bundles.import_bundle(write_bundle(tmp_path / "b", fixed), WHO)
    names = centre.bundles.export_bundle(tmp_path / "out.zip", with_users=True)
    assert {"products.json", "items.json", "users.json", "pipelines/front.json", f"assets/{sha256}"} <= set(
        names
    )
    assert not centre.bundles.import_bundle(tmp_path / "out.zip", WHO).is_changed
    assert "users.json" not in centre.bundles.export_bundle(tmp_path / "plain")
    with pytest.raises(Conflict):
        centre.bundles.export_bundle(tmp_path / "plain")


def test_an_object_that_is_not_what_its_name_says_stops_an_export(tmp_path: Path, centre: Centre) -> None:
    centre.bundles.import_bundle(write_bundle(tmp_path / "b"), WHO)
    (package,) = centre.masters.list("model")
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"something else")
    centre.objects.put_file(wrong, package["archive_sha256"])
    with pytest.raises(Damaged):
        centre.bundles.export_bundle(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_changed_here_stands_until_the_bundle_changes(tmp_path: Path, centre: Centre) -> None:
    bundle = write_bundle(tmp_path / "b")
    centre.bundles.import_bundle(bundle, WHO)
    sato = centre.masters.get("user", ("sato",))
    centre.masters.put("user", ("sato",), {**sato, "full_name": "here"}, WHO)
    shown = centre.masters.get("pipeline", ("front",))
    centre.masters.put("pipeline", ("front",), {**shown, "name": "正面", "description": "d"}, WHO)
    assert not centre.bundles.import_bundle(bundle, WHO).is_changed
    assert centre.masters.get("user", ("sato",))["full_name"] == "here"
    put_json(bundle / "pipelines" / "front.json", {**pipeline(), "version": "1.1.0"})
    seal(bundle)
    assert centre.bundles.import_bundle(bundle, WHO).counts["pipelines"].changed == 1
    after = centre.masters.get("pipeline", ("front",))
    assert (after["name"], after["description"], after["definition_version"]) == ("正面", "d", "1.1.0")
    assert after["version"] == shown["version"] + 1


def test_an_item_no_longer_in_the_bundle_is_switched_off(tmp_path: Path, centre: Centre) -> None:
    centre.bundles.import_bundle(write_bundle(tmp_path / "b"), WHO)
    report = centre.bundles.import_bundle(write_bundle(tmp_path / "c", {"items.json": ITEMS[:1]}), WHO)
    assert report.deactivated == ("PLATE/led",)
    assert centre.masters.get("item", ("PLATE", "led"))["is_active"] is False


# ── packages ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_version_is_active_and_a_later_one_when_asked_for(tmp_path: Path, centre: Centre) -> None:
    assert centre.packages.upload(write_model(tmp_path / "1"), WHO) == ("bright", "1.0.0")
    centre.packages.upload(zipped(write_model(tmp_path / "2", "1.1.0"), tmp_path / "bright-1.1.0.zip"), WHO)
    assert {m["version"]: m["is_active"] for m in centre.masters.list("model", with_inactive=True)} == {
        "1.0.0": True,
        "1.1.0": False,
    }
    head = centre.head()
    centre.masters.set_active("model", ("bright", "1.1.0"), WHO, None, is_active=True)
    page = pull(centre.database, "masters", head, page_epoch(centre))
    assert [(json.loads(c.data)["version"], json.loads(c.data)["is_active"]) for c in page.changes] == [
        ("1.0.0", 0),
        ("1.1.0", 1),
    ]


def page_epoch(centre: Centre) -> str:
    return pull(centre.database, "masters", 0, None).server_epoch


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sha256": "0" * 64}, "sha256-mismatch"),
        ({"golden": [{"image": "golden/white.png", "expect": {"class": "dark"}}]}, "golden-differs"),
        ({"input": {"name": "picture", "size_px": [16, 16]}}, "input-name"),
        ({"name": ""}, "bad-value"),
    ],
)
def test_a_package_that_does_not_hold_is_refused(
    tmp_path: Path, centre: Centre, changes: dict[str, Any], code: str
) -> None:
    folder = write_model(tmp_path, **changes) if "name" not in changes else write_model(tmp_path)
    if "name" in changes:
        document = json.loads((folder / "model.json").read_text())
        put_json(folder / "model.json", document | changes)
    with pytest.raises(BadDefinition) as caught:
        centre.packages.upload(folder, WHO)
    assert code in {problem.code for problem in caught.value.problems}
    assert centre.wire() == {}


def test_a_version_never_changes(tmp_path: Path, centre: Centre) -> None:
    centre.packages.upload(write_model(tmp_path / "1"), WHO)
    head = centre.head()
    centre.packages.upload(write_model(tmp_path / "2"), WHO)
    assert centre.head() == head
    with pytest.raises(Conflict) as caught:
        centre.packages.upload(write_model(tmp_path / "3", licence="other"), WHO)
    assert caught.value.code_ == "version-exists"


def test_a_model_that_a_pipeline_needs_stays(tmp_path: Path, centre: Centre) -> None:
    centre.bundles.import_bundle(
        write_bundle(tmp_path / "b", {"pipelines/front.json": pipeline(version=None)}), WHO
    )
    with pytest.raises(BadDefinition) as caught:
        centre.masters.set_active("model", ("bright", "1.0.0"), WHO, None, is_active=False)
    assert {problem.code for problem in caught.value.problems} == {"breaks-pipeline"}


def test_a_store_that_lost_what_it_took_leaves_no_row(
    tmp_path: Path, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centre.objects, "put_file", lambda path, sha256: None)
    with pytest.raises(Exception, match="missing"):
        centre.packages.upload(write_model(tmp_path), WHO)
    assert centre.wire() == {}
