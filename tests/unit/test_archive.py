"""Unpacking: what comes out, and every way a zip may lie."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from edge_agent.errors import BadDefinition
from edge_agent.inference import archive
from edge_agent.inference.archive import unpack


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def codes(source: Path, target: Path) -> list[str]:
    target.mkdir()
    with pytest.raises(BadDefinition) as caught:
        unpack(source, target)
    assert list(target.iterdir()) == []
    return [problem.code for problem in caught.value.problems]


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("prefix", ["", "m-1.0/"])
def test_a_zip_comes_out_as_it_went_in_without_its_top_folder(tmp_path: Path, prefix: str) -> None:
    files = {"model.json": b"{}", "golden/1.png": b"x" * 5000}
    source = make_zip(tmp_path / "m.zip", {prefix + name: data for name, data in files.items()})
    (tmp_path / "out").mkdir()
    unpack(source, tmp_path / "out")
    assert listing(tmp_path / "out") == files


def test_a_folder_is_copied(tmp_path: Path) -> None:
    (tmp_path / "in" / "golden").mkdir(parents=True)
    (tmp_path / "in" / "golden" / "1.png").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "in", tmp_path / "out")
    assert listing(tmp_path / "out") == {"golden/1.png": b"x"}


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "c:evil", "a\\evil", "a//b", "nul\x01"]
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    source = make_zip(tmp_path / "m.zip", {name: b"x", "ok": b"y"})
    assert codes(source, tmp_path / "out") == ["bad-path"]
    assert not (tmp_path / "evil").exists()


def test_names_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    assert codes(make_zip(tmp_path / "m.zip", {"a": b"", "A": b""}), tmp_path / "out") == ["duplicate-name"]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as packed:
        entry = zipfile.ZipInfo("model.onnx")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(entry, "/etc/passwd")
    assert codes(tmp_path / "m.zip", tmp_path / "out") == ["not-a-file"]


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "model.onnx").symlink_to("/etc/passwd")
    assert codes(tmp_path / "in", tmp_path / "out") == ["not-a-file"]


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    assert codes(make_zip(tmp_path / "m.zip", {"a": bytes(5000)}), tmp_path / "out") == ["too-large"]


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    source = make_zip(tmp_path / "m.zip", {str(number): b"" for number in range(5)})
    assert codes(source, tmp_path / "out") == ["too-many-files"]


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + bytes(50)])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.zip").write_bytes(data)
    assert codes(tmp_path / "m.zip", tmp_path / "out") == ["bad-zip"]
