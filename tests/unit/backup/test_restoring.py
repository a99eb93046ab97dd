"""A restore brings the day back, and can be interrupted anywhere."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.backup import (
    finish_restore,
)
from edge_agent.errors import AgentError, Busy
from edge_agent.lock import data_dir_lock
from edge_agent.store import audit
from tests.store_factory import DAY, NOON, Store
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
