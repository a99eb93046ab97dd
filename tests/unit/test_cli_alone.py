"""Commands that need no agent, and the pieces the others are made of."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge_agent import __version__
from edge_agent.cli import demo, inspection, sessions
from edge_agent.cli.exits import Exit
from edge_agent.cli.main import run
from edge_agent.cli.output import emit_facts, emit_table
from edge_agent.cli.packages import ONNX_TYPE, ZIP_TYPE, as_package
from edge_agent.clock import Clock
from edge_agent.errors import BadInput, Conflict
from edge_agent.store.schema import open_database

Captured = pytest.CaptureFixture[str]


def ask(capsys: Captured, *arguments: str | Path) -> tuple[int, Any]:
    """Exit code and the JSON document: the answer, or the error."""
    code = run([*map(str, arguments), "--json"])
    shown = capsys.readouterr()
    return code, json.loads(shown.out or shown.err)


# ── without an agent ────────────────────────────────────────────────────────────────────────────────────


def test_version(capsys: Captured) -> None:
    code, document = ask(capsys, "version")
    assert (code, document["version"]) == (0, __version__)


def test_hash_is_what_a_bundle_takes(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import PasswordHasher

    monkeypatch.setattr("sys.stdin", io.StringIO("open sesame\n"))
    code, document = ask(capsys, "user", "hash")
    assert code == 0
    assert PasswordHasher().verify(document["password_hash"], "open sesame")


def test_status_of_nothing_starts_nothing(capsys: Captured, tmp_path: Path) -> None:
    code, document = ask(capsys, "--data-dir", tmp_path / "not-yet", "status")
    assert (code, document["is_running"]) == (Exit.UNAVAILABLE, False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [("port = 'many'", "/port"), ("colour = 'red'", "/colour"), ("port = ", ""), ("\x00", "")],
)
def test_settings_at_fault_are_named(capsys: Captured, tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    code, document = ask(capsys, "--data-dir", tmp_path, "status")
    assert (code, document["error"]["code"]) == (Exit.BAD_INPUT, "bad-settings")
    assert document["error"]["problems"][0].startswith(f"config.toml{'#' + place if place else ''}: ")


# ── check of a directory nobody works on ────────────────────────────────────────────────────────────────


def made(data_dir: Path) -> Path:
    open_database(data_dir / "edge.db", Clock(), "desktop", __version__).close()
    return data_dir


def test_check_of_a_sound_directory(capsys: Captured, tmp_path: Path) -> None:
    code, document = ask(capsys, "--data-dir", made(tmp_path), "check")
    assert (code, document["findings"]) == (0, [])


def test_check_of_a_damaged_database_reports(capsys: Captured, tmp_path: Path) -> None:
    made(tmp_path)
    data = bytearray((tmp_path / "edge.db").read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    (tmp_path / "edge.db").write_bytes(data)
    code, document = ask(capsys, "--data-dir", tmp_path, "check")
    assert code == Exit.FINDINGS
    assert "database-damaged" in {one["code"] for one in document["findings"]}
    assert all(one["hint"] for one in document["findings"])


def test_check_of_what_is_no_database_at_all_reports(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "edge.db").write_bytes(b"not a database" * 1000)
    code, document = ask(capsys, "--data-dir", tmp_path, "check")
    assert code == Exit.FINDINGS
    assert "database-damaged" in {one["code"] for one in document["findings"]}


def test_check_names_a_changed_row(capsys: Captured, tmp_path: Path) -> None:
    made(tmp_path)
    with sqlite3.connect(tmp_path / "edge.db") as foreign:
        foreign.execute("CREATE TABLE intruder (x)")
    foreign.close()
    code, document = ask(capsys, "--data-dir", tmp_path, "check")
    assert (code, [one["code"] for one in document["findings"]]) == (Exit.FINDINGS, ["schema-changed"])


def test_check_of_nothing(capsys: Captured, tmp_path: Path) -> None:
    code, document = ask(capsys, "--data-dir", tmp_path, "check")
    assert (code, document["error"]["code"]) == (Exit.NOT_FOUND, "no-installation")


def test_restore_needs_a_yes_and_a_backup(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    place = ("--data-dir", tmp_path / "data", "restore", tmp_path / "no-backup")
    assert ask(capsys, *place)[1]["error"]["code"] == "not-confirmed"
    code, document = ask(capsys, *place, "--yes")
    assert (code, document["error"]["code"]) == (Exit.NOT_FOUND, "no-backup")
    assert list(tmp_path.iterdir()) == []


# ── calibration boards ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["checkerboard", "aruco", "charuco"])
def test_a_board_as_written_measures_as_printed(capsys: Captured, tmp_path: Path, kind: str) -> None:
    board = tmp_path / "board.png"
    shape = ("--kind", kind, "--columns", "8", "--rows", "6", "--square-mm", "10")
    assert ask(capsys, "calibrate", "board", board, *shape, "--dpi", "127")[0] == 0  # 5 px per mm
    code, document = ask(capsys, "calibrate", board, *shape)
    assert (code, document["is_stored"]) == (0, False)
    assert document["um_per_px"] == pytest.approx(200, rel=0.002)


def test_a_board_replaces_no_file(capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "board.pdf"
    file.write_bytes(b"precious")
    code, document = ask(capsys, "calibrate", "board", file, "--dpi", "60")
    assert (code, document["error"]["code"]) == (Exit.BAD_INPUT, "file-unreadable")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"precious"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["board", "board.gif"], "board-format"),
        (["board", "board.png", "--columns", "1"], "bad-board"),
        (["board", "board.png", "--square-mm", "0.1"], "board-size"),
        (["nowhere.png"], "file-unreadable"),
        (["--columns", "5"], "bad-source"),
        (["a.png", "--camera", "b"], "bad-source"),
    ],
)
def test_calibrate_says_what_is_wrong(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    exit_code, document = ask(capsys, "calibrate", *arguments)
    assert (exit_code, document["error"]["code"]) == (Exit.BAD_INPUT, code)
    assert list(tmp_path.iterdir()) == []


# ── packages ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_sent_as_a_zip_with_its_links_as_links(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    (folder / "deep" / "er" / "写真.png").write_bytes(b"x" * 3_000_000)
    (folder / "secret").symlink_to("/etc/passwd")
    (folder / "etc").symlink_to("/etc")
    with as_package(folder) as package, zipfile.ZipFile(package.content) as archive:
        assert package.content_type == ZIP_TYPE
        found = {info.filename: info for info in archive.infolist()}
        assert set(found) == {"bundle.json", "deep/er/写真.png", "secret", "etc"}
        assert archive.read("deep/er/写真.png") == b"x" * 3_000_000
        assert archive.read("secret") == b"/etc/passwd"
        assert found["secret"].external_attr >> 28 == 0o12  # a symbolic link


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"onnx")
    with as_package(tmp_path / "net.onnx") as package:
        assert (package.content.read(), package.content_type) == (b"onnx", ONNX_TYPE)


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="no regular file"), as_package(tmp_path):
        pytest.fail("it must not be sent")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"), as_package(tmp_path / "nothing.zip"):
        pytest.fail("it must not be sent")


# ── the demo's directory ────────────────────────────────────────────────────────────────────────────────


def test_the_demo_empties_only_its_own(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    demo.prepare(place)
    (place / "data").mkdir()
    (place / "data" / "old").write_text("old")
    (place / "hot-folder" / "old").write_text("old")
    (place / "notes.txt").write_text("mine")
    demo.prepare(place)
    assert {path.name for path in place.iterdir()} == {demo.MARKER, "hot-folder", "notes.txt"}
    assert list((place / "hot-folder").iterdir()) == []


def test_the_demo_does_not_follow_a_link_out(tmp_path: Path) -> None:
    place, other = tmp_path / "demo", tmp_path / "other"
    demo.prepare(place)
    other.mkdir()
    (other / "precious").write_text("precious")
    (place / "data").symlink_to(other)
    demo.prepare(place)
    assert (other / "precious").read_text() == "precious"
    assert not (place / "data").exists()


def test_the_demo_touches_no_other_directory(tmp_path: Path) -> None:
    (tmp_path / "hot-folder").mkdir()
    (tmp_path / "hot-folder" / "precious").write_text("precious")
    with pytest.raises(Conflict, match="not a demo"):
        demo.prepare(tmp_path)
    assert (tmp_path / "hot-folder" / "precious").exists()
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(Conflict, match="not a demo"):
        demo.prepare(file)


def test_the_demo_knows_what_must_come_out() -> None:
    pattern, samples = demo.expected_verdicts()
    assert {sample.expected for sample in samples} == {"OK", "NG", "REVIEW"}
    assert "(?P<serial>" in pattern


# ── small decisions ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("led=true", ("led", True)), ("n=1.5", ("n", 1.5)), ("s=a=b", ("s", "a=b")), ("s=", ("s", ""))],
)
def test_answers_of_a_checklist(text: str, parsed: tuple[str, object]) -> None:
    assert sessions.answer(text) == parsed


@pytest.mark.parametrize("text", ["led", "=true"])
def test_what_is_no_answer(text: str) -> None:
    with pytest.raises(BadInput, match="KEY=VALUE"):
        sessions.answer(text)


def test_instants_become_utc() -> None:
    assert sessions.instant("2026-11-23T09:00:00+09:00") == "2026-11-23T00:00:00.000Z"
    assert sessions.instant("2026-11-23") == "2026-11-23T00:00:00.000Z"
    with pytest.raises(BadInput, match="no instant"):
        sessions.instant("yesterday")


def test_how_an_inspection_ends() -> None:
    ok, ng, bad = ({"verdict": v, "exit_code": c} for v, c in (("OK", 0), ("NG", 0), (None, 3)))
    assert inspection.exit_of([ok, ng], fail_on_ng=False) == Exit.DONE
    assert inspection.exit_of([ok, ng], fail_on_ng=True) == Exit.FINDINGS
    assert inspection.exit_of([ok], fail_on_ng=True) == Exit.DONE
    assert inspection.exit_of([ng, bad], fail_on_ng=True) == Exit.BAD_INPUT


def test_a_table_keeps_what_looks_like_markup(capsys: Captured) -> None:
    emit_table(("a", "b"), [{"a": "[red]x[/red]", "b": 0.12345}, {"a": None, "b": "長い名前" * 40}])
    shown = capsys.readouterr().out
    assert "[red]x[/red]" in shown
    assert "0.123" in shown
    assert "長い名前" * 40 in shown


def test_no_facts_are_no_error(capsys: Captured) -> None:
    emit_facts({})
    assert capsys.readouterr().out == ""
