"""Backups are consistent while others write, verified, and can be interrupted anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.backup import (
    backup_name,
    made_at,
    plan_prune,
    verify_backup,
)
from edge_agent.errors import Conflict, Damaged, NotFound, Unavailable
from tests.store_factory import DAY, Store
from tests.unit.backup.conftest import (
    Interrupted,
    all_steps,
    bring_back,
    findings,
    make,
    reopened,
    sessions,
    stop_at,
)

# ── making ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backup_holds_everything_the_database_names_and_verifies(store: Store, tmp_path: Path) -> None:
    report = make(store, tmp_path / "b")
    assert report.findings == ()
    tops = {path.split("/")[0] for path in report.manifest.files}
    assert tops == {"edge.db", "config.toml", "models", "assets", "images"}
    assert verify_backup(tmp_path / "b") == report.manifest
    assert (
        report.size_bytes
        == sum(f.stat().st_size for f in (tmp_path / "b").rglob("*") if f.is_file())
        - (tmp_path / "b" / "manifest.json").stat().st_size
    )


def test_a_backup_is_one_commit_though_others_write_meanwhile(store: Store, tmp_path: Path) -> None:
    def write_meanwhile(step: str, done: int, of: int) -> None:
        if step in ("database", "files"):
            store.inspect()

    for _ in range(3):
        store.inspect()
    before = sessions(store)
    make(store, tmp_path / "b", progress=write_meanwhile)
    assert sessions(store) > before
    bring_back(tmp_path / "b", tmp_path / "copy", store)
    copy = reopened(tmp_path / "copy")
    assert findings(copy) == []
    assert sessions(copy) <= before + 1
    copy.close()


def test_images_are_linked_on_the_same_disk_and_everything_else_copied(store: Store, tmp_path: Path) -> None:
    report = make(store, tmp_path / "b")
    links = {path: (tmp_path / "b" / path).stat().st_nlink for path in report.manifest.files}
    assert {path for path, count in links.items() if count > 1} == {
        p for p in links if p.startswith("images/")
    }
    assert report.linked_files == 1


def test_images_are_copied_where_links_cannot_be_made(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(source: object, target: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    assert make(store, tmp_path / "b").linked_files == 0
    verify_backup(tmp_path / "b")


def test_a_backup_without_images_is_the_database_and_the_masters(store: Store, tmp_path: Path) -> None:
    report = make(store, tmp_path / "b", include_images=False)
    assert not any(path.startswith("images/") for path in report.manifest.files)
    assert "models/face-1.0.0/model.onnx" in report.manifest.files


def test_an_existing_folder_is_never_overwritten(store: Store, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(Conflict) as caught:
        make(store, tmp_path / "b")
    assert caught.value.code_ == "backup-exists"


@pytest.mark.parametrize(
    ("harmed", "code"),
    [
        (f"images/{DAY}/*.png", "image"),
        ("models/face-1.0.0/model.onnx", "model"),
        ("assets/*", "asset"),
    ],
)
def test_harm_in_the_source_is_reported_and_the_rest_is_saved(
    store: Store, tmp_path: Path, harmed: str, code: str
) -> None:
    [path] = store.data_dir.glob(harmed)
    path.write_bytes(b"harmed")
    report = make(store, tmp_path / "changed")
    assert [one.code for one in report.findings] == [f"{code}-changed"]
    path.unlink()
    report = make(store, tmp_path / "missing")
    assert [one.code for one in report.findings] == [f"{code}-missing"]
    assert path.relative_to(store.data_dir).as_posix() not in report.manifest.files
    verify_backup(tmp_path / "missing")


def test_an_uploaded_image_that_was_evicted_is_no_finding(store: Store, tmp_path: Path) -> None:
    with store.database.write() as tx:
        tx.execute("UPDATE inspection_images SET uploaded_at = ?1, evicted_at = ?1", (store.clock.now(),))
    [path] = store.data_dir.glob(f"images/{DAY}/*.png")
    path.unlink()
    assert make(store, tmp_path / "b").findings == ()


def test_a_backup_can_be_interrupted_at_every_step(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "backups"
    steps = all_steps(lambda progress: make(store, place / "whole", progress=progress))
    assert {step for step, _, _ in steps} == {"database", "files", "verify"}
    for number in range(len(steps)):
        with pytest.raises(Interrupted):
            make(store, place / "cut", progress=stop_at(number))
        assert [path.name for path in place.iterdir()] == ["whole"]
    assert findings(store) == []


def test_what_a_kill_left_is_swept_up_by_the_next_backup(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "backups"
    (place / ".backup-000001-20261123T040506Z.partial" / "images").mkdir(parents=True)
    (place / ".other.partial").mkdir()
    make(store, place / "b")
    assert {path.name for path in place.iterdir()} == {"b", ".other.partial"}  # not ours


# ── verifying ───────────────────────────────────────────────────────────────────────────────────────────


def write_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    change(document)
    (folder / "manifest.json").write_text(json.dumps(document))


BREAK: dict[str, Callable[[Path], object]] = {
    "a changed byte": lambda b: next(b.glob("models/*/model.onnx")).write_bytes(b"weights of fAce 1.0.0"),
    "a missing file": lambda b: (b / "config.toml").unlink(),
    "a truncated database": lambda b: os.truncate(b / "edge.db", 4096),
    "no JSON": lambda b: (b / "manifest.json").write_text("{"),
    "a list": lambda b: (b / "manifest.json").write_text("[]"),
    "another schema": lambda b: write_manifest(b, lambda d: d.update(schema="backup/9")),
    "no database": lambda b: write_manifest(b, lambda d: d.update(files={})),
    "a path outside": lambda b: write_manifest(
        b, lambda d: d["files"].update({"../x": {"size_bytes": 1, "sha256": ""}})
    ),
    "an absolute path": lambda b: write_manifest(
        b, lambda d: d["files"].update({"/etc/passwd": {"size_bytes": 1, "sha256": ""}})
    ),
    "a drive letter": lambda b: write_manifest(
        b, lambda d: d["files"].update({"C:x": {"size_bytes": 1, "sha256": ""}})
    ),
}


@pytest.mark.parametrize("harm", BREAK)
def test_a_harmed_backup_is_refused_and_the_installation_untouched(
    store: Store, tmp_path: Path, harm: str
) -> None:
    make(store, tmp_path / "b")
    store.close()
    BREAK[harm](tmp_path / "b")
    before = sorted(path for path in store.data_dir.rglob("*"))
    with pytest.raises(Damaged) as caught:
        bring_back(tmp_path / "b", store.data_dir, store)
    assert caught.value.code_ == "backup-damaged"
    assert sorted(path for path in store.data_dir.rglob("*")) == before


def test_a_folder_that_is_no_backup_is_not_found(store: Store, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere", store.config.database_path):
        with pytest.raises(NotFound) as caught:
            verify_backup(place)
        assert caught.value.code_ == "no-backup"


def test_a_backup_of_a_newer_program_is_refused(store: Store, tmp_path: Path) -> None:
    with store.database.write() as tx:
        tx.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('edge', '9999_x', '')"
        )
    with pytest.raises(Unavailable, match="9999_x") as caught:
        make(store, tmp_path / "b")
    assert caught.value.code_ == "backup-newer"


# ── rotation ────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(0, 4_000_000_000), max_size=20, unique=True), st.integers(0, 10))
def test_rotation_keeps_the_newest(instants: list[int], keep: int) -> None:
    """Whatever the clock did between them."""
    names = ["mine", "backup-later", "backup-999999-20261399T000000Z"]
    for instant in instants:
        names.append(backup_name(names, instant))
    made = names[3:]
    assert [made_at(name) for name in made] == instants
    assert plan_prune(reversed(names), keep) == (made[: max(0, len(made) - keep)] if keep else [])
