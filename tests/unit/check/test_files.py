"""`run_check` is exact about every file that is harmed, missing or nobody's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.check import run_check
from edge_agent.errors import Problem
from edge_agent.models import Finding, Severity
from tests.store_factory import DAY, Store
from tests.unit.check.conftest import check, damage, flip, found, image_of


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (Path.unlink, "image-missing"),
        (flip, "image-changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "image-changed"),
        (lambda path: (path.unlink(), path.mkdir()), "image-unreadable"),
    ],
)
def test_a_harmed_image_is_found(store: Store, harm: Callable[[Path], object], code: str) -> None:
    subject, path = image_of(store)
    harm(path)
    assert found(store) == {(code, subject)}


def test_an_evicted_image_may_be_gone_but_not_changed(store: Store) -> None:
    subject, path = image_of(store)
    with store.database.write() as tx:
        tx.execute("UPDATE inspection_images SET uploaded_at = '2026-11-23T13:00:00.000Z'")
    content = path.read_bytes()
    path.unlink()
    assert found(store) == {("image-missing", subject)}
    with store.database.write() as tx:
        tx.execute("UPDATE inspection_images SET evicted_at = '2026-11-23T14:00:00.000Z'")
    assert check(store) == []
    path.write_bytes(content + b"!")
    assert found(store) == {("image-changed", subject)}


def test_a_row_that_leads_out_of_the_data_directory_is_found(store: Store) -> None:
    subject, path = image_of(store)
    damage(store, "UPDATE inspection_images SET file_path = '../../etc/passwd' WHERE id = ?", path.stem)
    assert ("path-outside", subject) in found(store)


@pytest.mark.parametrize(
    ("file_path", "content", "code"),
    [
        (f"images/{DAY}/018f0000-0000-7000-8000-00000000ffff.png", b"x", "image-orphan"),
        ("images/note.txt", b"x", "image-orphan"),
        ("derived/018f0000-0000-7000-8000-00000000ffff.overlay.jpg", b"x", "derived-orphan"),
        ("staging/half.part", b"x", "staging-leftover"),
    ],
)
def test_a_file_without_a_row_is_found(store: Store, file_path: str, content: bytes, code: str) -> None:
    path = store.data_dir / file_path
    path.write_bytes(content)
    written_s = path.stat().st_mtime
    assert found(store) == {(code, file_path)}
    with store.database.read() as reader:
        running = list(run_check(store.config, reader, now_s=written_s + 1, daemon_running=True))
        later = list(run_check(store.config, reader, now_s=written_s + 3600, daemon_running=True))
    assert (running, [one.code for one in later]) == ([], [code])


def test_a_copy_under_another_day_is_an_orphan(store: Store) -> None:
    _, path = image_of(store)
    other = store.data_dir / "images/2026-11-24"
    other.mkdir()
    (other / path.name).write_bytes(path.read_bytes())
    assert found(store) == {("image-orphan", f"images/2026-11-24/{path.name}")}


def test_an_empty_drawn_picture_is_found(store: Store) -> None:
    _, path = image_of(store)
    (store.data_dir / f"derived/{path.stem}.overlay.jpg").touch()
    assert found(store) == {("derived-empty", f"derived/{path.stem}.overlay.jpg")}


def test_harmed_models_are_found(store: Store) -> None:
    model = store.data_dir / "models/face-1.0.0/model.onnx"
    flip(model)
    (store.data_dir / "models/left-0.1").mkdir()
    assert found(store) == {("model-changed", "model face 1.0.0"), ("model-orphan", "models/left-0.1")}
    model.unlink()
    assert ("model-missing", "model face 1.0.0") in found(store)


def test_harmed_assets_are_found(store: Store) -> None:
    [asset] = (store.data_dir / "assets").iterdir()
    flip(asset)
    assert found(store) == {("asset-changed", f"assets/{asset.name}")}
    asset.unlink()
    assert found(store) == {("asset-missing", f"assets/{asset.name}")}


def test_a_changed_pipeline_is_found(store: Store) -> None:
    damage(store, "UPDATE pipelines SET definition = ?", json.dumps({"code": "face"}))
    assert found(store) == {("pipeline-changed", "pipeline face")}


def test_pipelines_that_do_not_compile_and_probes_are_reported(store: Store) -> None:
    problems = {"face": (Problem("", "/steps/0", "unknown-step", "There is no step."),)}
    probe = Finding("camera-silent", Severity.WARNING, "camera 0", "It does not answer.", "Plug it in.")
    findings = check(store, problems=problems, probes=[("cameras", lambda: [probe])])
    assert [one.code for one in findings] == ["pipeline-not-compiling", "camera-silent"]
    assert "/steps/0" in findings[0].message
