"""Backups are consistent while others write, verified, and can be interrupted anywhere; so can restores."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.backup import (
    BackupReport,
    RestoreReport,
    backup,
    backup_name,
    finish_restore,
    made_at,
    plan_prune,
    restore,
    verify_backup,
)
from edge_agent.check import run_check
from edge_agent.errors import AgentError, Busy, Conflict, Damaged, NotFound, Unavailable
from edge_agent.lock import data_dir_lock
from edge_agent.store import audit
from tests.store_factory import DAY, NOON, Store

Stop = Callable[[str, int, int], None]


class Interrupted(BaseException):
    """Raised by `progress`, as a Ctrl-C would be."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Store(tmp_path_factory.mktemp("template"))
    (made.data_dir / "config.toml").write_text("port = 9000\n")
    (made.data_dir / "quarantine" / "kept.jpg").write_bytes(b"?")
    made.add_masters()
    made.inspect()
    made.close()
    return made.data_dir


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Iterator[Store]:
    """One completed inspection, in a directory of its own."""
    copied = Store(shutil.copytree(template, tmp_path / "data"))
    yield copied
    copied.close()


def make(store: Store, destination: Path, **options: Any) -> BackupReport:
    return backup(store.database, store.data_dir, destination, app_version="0.1.0", **options)


def bring_back(source: Path, data_dir: Path, store: Store, **options: Any) -> RestoreReport:
    facts: dict[str, Any] = {"clock": store.clock, "pid": 1, "device_type": "desktop", "app_version": "0.1.0"}
    return restore(source, data_dir, **facts, **options)


def reopened(data_dir: Path) -> Store:
    return Store(data_dir)


def findings(store: Store) -> list[str]:
    with store.database.read() as reader:
        return [one.code for one in run_check(store.config, reader, now_s=NOON)]


def sessions(store: Store) -> int:
    with store.database.read() as reader:
        return int(reader.execute("SELECT count(*) FROM inspection_sessions").fetchone()[0])


def all_steps(run: Callable[[Stop], object]) -> list[tuple[str, int, int]]:
    seen: list[tuple[str, int, int]] = []
    run(lambda *step: seen.append(step))
    return seen


def stop_at(number: int) -> Stop:
    left = [number]

    def progress(step: str, done: int, of: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted(step)

    return progress


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


# ── restoring ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_restore_brings_the_day_back_and_keeps_what_was_there(store: Store, tmp_path: Path) -> None:
    make(store, tmp_path / "b")
    lost = store.inspect()
    store.close()
    report = bring_back(tmp_path / "b", store.data_dir, store)
    back = reopened(store.data_dir)
    assert (sessions(back), findings(back)) == (1, [])
    with back.database.read() as reader:
        assert audit.list_entries(reader, limit=1)[0].action == "restore"
    back.close()
    assert report.replaced is not None
    assert (store.data_dir / "quarantine" / "kept.jpg").read_bytes() == b"?"
    with closing(sqlite3.connect(report.replaced / "edge.db")) as old:
        assert old.execute("SELECT count(*) FROM inspection_sessions WHERE id = ?", (lost,)).fetchone() == (
            1,
        )
    assert len(list(report.replaced.glob(f"images/{DAY}/*.png"))) == 2


def test_a_restore_makes_an_installation_where_none_was(store: Store, tmp_path: Path) -> None:
    make(store, tmp_path / "b")
    report = bring_back(tmp_path / "b", tmp_path / "new" / "data", store)
    assert report.replaced is None
    back = reopened(tmp_path / "new" / "data")
    assert findings(back) == []
    assert (back.data_dir / "config.toml").read_text() == "port = 9000\n"
    [image] = back.data_dir.glob("images/*/*.png")
    assert image.stat().st_nlink == 1  # its own file, never a link into the backup
    back.close()


def test_a_restored_device_goes_on_with_higher_ids(store: Store, tmp_path: Path) -> None:
    make(store, tmp_path / "b")
    bring_back(tmp_path / "b", tmp_path / "copy", store)
    copy = reopened(tmp_path / "copy")
    copy.time.now = NOON - 86_400
    with copy.database.read() as reader:
        newest = reader.execute("SELECT max(id) FROM inspection_images").fetchone()[0]
    assert copy.clock.new_id() > newest
    copy.inspect()
    assert findings(copy) == []
    copy.close()


def test_a_backup_without_images_leaves_the_images_where_they_are(store: Store, tmp_path: Path) -> None:
    make(store, tmp_path / "b", include_images=False)
    store.close()
    bring_back(tmp_path / "b", store.data_dir, store)
    back = reopened(store.data_dir)
    assert findings(back) == []
    back.close()


def test_a_running_agent_is_not_restored_over(store: Store, tmp_path: Path) -> None:
    make(store, tmp_path / "b")
    with data_dir_lock(store.data_dir, 77), pytest.raises(Busy, match="process 77"):
        bring_back(tmp_path / "b", store.data_dir, store)


def test_a_restore_can_be_interrupted_at_every_step(store: Store, tmp_path: Path) -> None:
    make(store, tmp_path / "b")
    store.inspect()
    store.close()
    original = tmp_path / "original"
    shutil.copytree(store.data_dir, original)
    steps = all_steps(
        lambda progress: bring_back(tmp_path / "b", tmp_path / "counted", store, progress=progress)
    )
    assert {step for step, _, _ in steps} == {"verify", "files", "swap"}
    for number, (step, _, _) in enumerate(steps):
        data_dir = shutil.copytree(original, tmp_path / f"cut-{number}")
        with pytest.raises(Interrupted):
            bring_back(tmp_path / "b", data_dir, store, progress=stop_at(number))
        finish_restore(data_dir)  # as the daemon does at start
        cut = reopened(data_dir)
        assert findings(cut) == []
        assert sessions(cut) == (1 if step == "swap" else 2)
        cut.close()
        assert not (data_dir / ".restore.partial").exists()


def test_a_swap_cut_off_after_any_rename_is_finished_at_the_next_start(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store, tmp_path / "b")
    store.inspect()
    store.close()
    original = shutil.copytree(store.data_dir, tmp_path / "original")
    rename, calls = os.replace, [0]
    for number in itertools.count(1):
        data_dir = shutil.copytree(original, tmp_path / f"cut-{number}")
        swapping = [False]

        def progress(step: str, done: int, of: int, swapping: list[bool] = swapping) -> None:
            swapping[0] = step == "swap"
            calls[0] = 0

        def cut(source: Path, target: Path, number: int = number, swapping: list[bool] = swapping) -> None:
            calls[0] += swapping[0]
            if calls[0] == number:
                raise Interrupted
            rename(source, target)

        monkeypatch.setattr(os, "replace", cut)
        try:
            bring_back(tmp_path / "b", data_dir, store, progress=progress)
            finished = True
        except Interrupted:
            finished = False
        monkeypatch.setattr(os, "replace", rename)
        assert finish_restore(data_dir) is not finished
        after = reopened(data_dir)
        assert (findings(after), sessions(after)) == ([], 1)
        after.close()
        [replaced] = data_dir.glob("replaced-*")
        assert {"edge.db", "images", "models", "assets", "config.toml"} <= {
            p.name for p in replaced.iterdir()
        }
        if finished:
            break
    assert number > 10  # every rename was cut once


def test_an_unreadable_journal_stops_the_start_instead_of_guessing(tmp_path: Path) -> None:
    (tmp_path / "restore.json").write_text("{")
    with pytest.raises(AgentError) as caught:
        finish_restore(tmp_path)
    assert caught.value.code_ == "restore-unfinished"
    assert (tmp_path / "restore.json").exists()


def test_without_a_restore_there_is_nothing_to_finish(tmp_path: Path) -> None:
    assert finish_restore(tmp_path) is False


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
