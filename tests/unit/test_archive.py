"""Folders and zips from outside: which names are allowed, what comes out, and every way a zip may lie."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.archive import Limits, Unpacked, no_progress, unpack
from edge_agent.errors import BadDefinition, BadInput, NotFound, Problem
from edge_agent.file_names import collisions, fault_of


def copied(source: Path, target: Path, **limits: int) -> Unpacked:
    return unpack(source, target / "copy", no_progress, Limits(**limits))


def places(problems: list[Problem]) -> set[tuple[str, str, str]]:
    return {(problem.file, problem.pointer, problem.code) for problem in problems}


# ── names ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "", "C:/x", "a\\b", "a\0b", "a\nb", "CON",
     "a/nul.txt", "a.", "a /b", "x" * 201, "\ud800.json", "lpt1", 'a"b', "a*"],
)  # fmt: skip
def test_a_name_that_could_lead_elsewhere_or_differ_between_systems_is_refused(name: str) -> None:
    assert fault_of(name)


@pytest.mark.parametrize("name", ["bundle.json", "models/a-1.0.0/golden/ok 1.png", "assets/型.png"])
def test_an_ordinary_name_is_allowed(name: str) -> None:
    assert fault_of(name) is None


@given(st.text(max_size=60))
def test_an_allowed_name_stays_inside_its_folder(name: str) -> None:
    if fault_of(name) is None:
        root = Path("/data/import")
        assert Path(os.path.normpath(root / name)).is_relative_to(root)
        assert os.path.normpath(root / name) == str(root / name)


@given(st.lists(st.text("aAbBé/", min_size=1, max_size=4), max_size=6))
def test_names_that_one_file_system_could_confuse_collide(names: list[str]) -> None:
    names = [name for name in names if fault_of(name) is None]
    bad = dict(collisions(names))
    kept = [name for name in names if name not in bad]
    assert len({name.casefold() for name in kept}) == len(kept)
    assert not any(other.casefold().startswith(f"{name.casefold()}/") for name in kept for other in kept)


def test_the_two_unicode_forms_of_a_name_collide() -> None:
    assert [name for name, _ in collisions(["caf\u00e9.png", "cafe\u0301.png"])] == ["cafe\u0301.png"]


# ── folders and zips ───────────────────────────────────────────────────────────────────────────────────


def make_zip(path: Path, *entries: tuple[str, bytes], **fields: Any) -> Path:
    """A zip of raw entries; `fields` are set on every ZipInfo."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for field, value in fields.items():
                setattr(info, field, value)
            archive.writestr(info, data)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entries", "fields", "expected"),
    [
        ([("../evil", b"x"), ("ok", b"y")], {}, {("../evil", "bad-name")}),
        ([("../evil", b"x")], {}, {("../evil", "bad-name")}),
        ([("/etc/cron.d/evil", b"x"), ("ok", b"y")], {}, {("/etc/cron.d/evil", "bad-name")}),
        ([("C:evil", b"x"), ("ok", b"y")], {}, {("C:evil", "bad-name")}),
        ([("a\\..\\evil", b"x"), ("ok", b"y")], {}, {("a\\..\\evil", "bad-name")}),
        ([("a", b"x"), ("A", b"y")], {}, {("A", "name-collision")}),
        ([("a", b"x"), ("a", b"y")], {}, {("a", "name-collision")}),
        ([("a", b"x"), ("a/b", b"y")], {}, {("a/b", "name-collision")}),
        ([("link", b"/etc/passwd")], {"external_attr": 0o120777 << 16}, {("link", "not-a-file")}),
        ([("big", b"\0" * (4 << 20))], {}, {("big", "zip-ratio")}),
    ],
)
def test_a_hostile_zip_entry_is_reported_and_never_written(
    tmp_path: Path, entries: list[tuple[str, bytes]], fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    unpacked = copied(make_zip(tmp_path / "z.zip", *entries, **fields), tmp_path)
    assert {(problem.file, problem.code) for problem in unpacked.problems} == expected
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"z.zip", *(f"copy/{name}" for name in unpacked.files)}


def test_a_zip_name_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "z.zip", ("caf?.json", b"{}"), ("ok", b"y"))
    path.write_bytes(path.read_bytes().replace(b"caf?", b"caf\xe9"))
    assert {problem.code for problem in copied(path, tmp_path).problems} == {"bad-name"}


def test_an_encrypted_entry_is_reported(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "z.zip", ("a", b"x"))
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert {problem.code for problem in copied(path, tmp_path).problems} == {"encrypted"}


def test_a_file_name_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    (Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))).write_bytes(b"x")
    [problem] = copied(folder, tmp_path).problems
    assert problem.code == "bad-name"
    assert problem.file.encode() == b"caf\\udce9"


def test_links_and_devices_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("s3cret")
    (folder / "file").symlink_to(tmp_path / "secret" / "key")
    (folder / "dir").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    unpacked = copied(folder, tmp_path)
    assert places(unpacked.problems) == {(name, "", "not-a-file") for name in ("file", "dir", "pipe")}
    assert unpacked.files == {}


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"packed_bytes": 100}, "too-large"),
        ({"unpacked_bytes": 100}, "too-large"),
        ({"files": 2}, "too-many-files"),
        ({"directory_bytes": 50}, "too-large"),
    ],
)
def test_beyond_the_limits_nothing_is_unpacked(tmp_path: Path, limits: dict[str, int], code: str) -> None:
    path = make_zip(tmp_path / "z.zip", *((f"f{n}", os.urandom(100)) for n in range(4)))
    with pytest.raises(BadDefinition) as caught:
        copied(path, tmp_path, **limits)
    assert [problem.code for problem in caught.value.problems] == [code]
    assert not (tmp_path / "copy").exists()


def test_a_folder_is_bounded_too(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    for number in range(4):
        (folder / f"f{number}").write_bytes(b"x" * 100)
    for limits in ({"files": 3}, {"unpacked_bytes": 399}):
        with pytest.raises(BadDefinition):
            copied(folder, tmp_path, **limits)


def test_a_directory_that_claims_too_many_entries_is_refused_before_it_is_read(tmp_path: Path) -> None:
    data = make_zip(tmp_path / "z.zip", ("a", b"x")).read_bytes()
    at = data.rindex(b"PK\x05\x06")
    (tmp_path / "z.zip").write_bytes(data[: at + 10] + struct.pack("<H", 60_000) + data[at + 12 :])
    with pytest.raises(BadDefinition) as caught:
        copied(tmp_path / "z.zip", tmp_path)
    assert caught.value.problems[0].code == "too-many-files"


def test_a_size_that_lies_is_caught(tmp_path: Path) -> None:
    data = bytearray(make_zip(tmp_path / "z.zip", ("a", b"x" * 5000)).read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", 10)
    (tmp_path / "z.zip").write_bytes(data)
    unpacked = copied(tmp_path / "z.zip", tmp_path)
    assert sum(facts.size_bytes for facts in unpacked.files.values()) <= 10


@given(data=st.binary(max_size=300))
def test_bytes_that_are_no_zip_are_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / "z.zip").write_bytes(data)
    with pytest.raises(BadDefinition):
        copied(folder / "z.zip", folder)


@given(cut=st.integers(0, 700), byte=st.integers(0, 255))
def test_a_damaged_zip_never_escapes_as_another_error(
    cut: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"f{number}", bytes(range(200)))
    data = bytearray(buffer.getvalue())
    data[cut % len(data)] = byte
    (folder / "z.zip").write_bytes(data)
    try:
        unpacked = copied(folder / "z.zip", folder)
    except BadDefinition:
        return
    assert set(unpacked.files) <= {path.name for path in (folder / "copy").iterdir()}


def test_what_is_not_there_or_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        copied(tmp_path / "nothing", tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput):
        copied(tmp_path / "pipe", tmp_path)


def test_progress_can_stop_the_copying(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        unpack(make_zip(tmp_path / "z.zip", *((f"f{n}", b"") for n in range(4))), tmp_path / "copy", stop)
