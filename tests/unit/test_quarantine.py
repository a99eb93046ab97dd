"""A file set aside keeps its bytes, its name and its reason; a crash leaves it in one place or the other."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.capture import files as moving
from edge_agent.capture.quarantine import Quarantine, shown
from edge_agent.clock import Clock
from edge_agent.errors import Conflict, NotFound, Unavailable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine", Clock())


def drop(folder: Path, name: str = "a.jpg", data: bytes = b"bytes") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def put(quarantine: Quarantine, *paths: Path, name: str = "line-1") -> str:
    return quarantine.put(name, paths, code="truncated", detail="Not complete.", hint="Copy it again.")


def test_a_file_moves_with_its_reason(folder: Path, quarantine: Quarantine) -> None:
    entry_id = put(quarantine, drop(folder))
    (entry,) = quarantine.list()
    assert (entry.id, entry.folder, entry.name, entry.code) == (entry_id, "line-1", "a.jpg", "truncated")
    assert (entry.detail, entry.hint, entry.size_bytes) == ("Not complete.", "Copy it again.", 5)
    assert entry.path.read_bytes() == b"bytes"
    assert not any(folder.iterdir())


def test_retry_moves_picture_and_sidecar_back(folder: Path, quarantine: Quarantine) -> None:
    entry_id = put(quarantine, drop(folder), drop(folder, "a.jpg.json", b"{}"))
    assert not any(folder.iterdir())
    assert quarantine.get(entry_id).name == "a.jpg"
    quarantine.retry(entry_id, folder)
    assert (folder / "a.jpg").read_bytes() == b"bytes"
    assert (folder / "a.jpg.json").read_bytes() == b"{}"
    assert quarantine.list() == ()
    assert quarantine.count() == 0


def test_retry_never_replaces_a_newer_file(folder: Path, quarantine: Quarantine) -> None:
    entry_id = put(quarantine, drop(folder))
    drop(folder, data=b"newer")
    with pytest.raises(Conflict) as caught:
        quarantine.retry(entry_id, folder)
    assert caught.value.code_ == "name-taken"
    assert (folder / "a.jpg").read_bytes() == b"newer"
    assert quarantine.get(entry_id).path.read_bytes() == b"bytes"


def test_retry_into_a_vanished_folder_keeps_the_entry(folder: Path, quarantine: Quarantine) -> None:
    entry_id = put(quarantine, drop(folder))
    with pytest.raises(Unavailable):
        quarantine.retry(entry_id, folder / "gone")
    assert quarantine.get(entry_id).path.read_bytes() == b"bytes"


def test_discard_deletes_only_that_entry(folder: Path, quarantine: Quarantine) -> None:
    first, second = put(quarantine, drop(folder)), put(quarantine, drop(folder, "b.jpg"))
    assert quarantine.discard(first).name == "a.jpg"
    assert [entry.id for entry in quarantine.list()] == [second]


@pytest.mark.parametrize("entry_id", ["", "..", "../folder", "x" * 300, "\ud800", "0" * 36])
def test_an_id_that_is_none_is_not_found_and_touches_nothing(
    entry_id: str, folder: Path, quarantine: Quarantine
) -> None:
    kept = drop(folder)
    for action in (quarantine.get, quarantine.discard):
        with pytest.raises(NotFound):
            action(entry_id)
    with pytest.raises(NotFound):
        quarantine.retry(entry_id, folder)
    assert kept.exists()


def test_the_newest_come_first_limited_and_by_folder(folder: Path, quarantine: Quarantine) -> None:
    ids = [put(quarantine, drop(folder, f"{n}.jpg"), name=f"line-{n % 2}") for n in range(4)]
    assert [entry.id for entry in quarantine.list()] == sorted(ids, reverse=True)
    assert len(quarantine.list(limit=2)) == 2
    assert {entry.name for entry in quarantine.list(folder="line-1")} == {"1.jpg", "3.jpg"}
    assert quarantine.count() == 4


def test_names_that_are_no_utf8_are_kept_and_shown(folder: Path, quarantine: Quarantine) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    entry_id = put(quarantine, drop(folder, name))
    assert quarantine.get(entry_id).name == "caf\\xe9 \\xff.jpg"
    quarantine.retry(entry_id, folder)
    assert [os.fsencode(file.name) for file in folder.iterdir()] == [b"caf\xe9 \xff.jpg"]


def test_a_file_named_like_our_own_is_no_problem(folder: Path, quarantine: Quarantine) -> None:
    entry = quarantine.get(put(quarantine, drop(folder, "reason.json", b"{broken")))
    assert (entry.name, entry.code) == ("reason.json", "truncated")


def test_an_entry_whose_reason_is_lost_is_still_listed(folder: Path, quarantine: Quarantine) -> None:
    entry = quarantine.get(put(quarantine, drop(folder)))
    (entry.path.parent.parent / "reason.json").write_bytes(b"\x00")
    assert quarantine.list()[0].code == "reason-lost"


def failing(call: Callable[..., Any], error: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(error, os.strerror(error))

    assert callable(call)
    return fail


def test_a_crash_before_the_move_leaves_the_file_in_the_folder(
    folder: Path, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(folder)
    with monkeypatch.context() as broken:
        broken.setattr(os, "link", failing(os.link, errno.EIO))
        with pytest.raises(OSError, match="error"):
            put(quarantine, path)
    assert path.read_bytes() == b"bytes"
    assert quarantine.list() == ()
    assert quarantine.count() == 0
    quarantine.sweep()
    assert not any((folder.parent / "quarantine").iterdir())


def test_another_file_system_is_reached_by_copy(
    folder: Path, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(folder)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    real = os.link

    def link(source: Any, target: Any, **options: Any) -> None:
        if Path(source).parent == folder:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)
    entry = quarantine.get(put(quarantine, path))
    assert entry.path.read_bytes() == b"bytes"
    assert entry.modified_at == "2001-09-09T01:46:40.000Z"
    assert [file.name for file in entry.path.parent.iterdir()] == ["a.jpg"]
    assert not path.exists()


def test_a_copy_that_fails_half_way_keeps_the_source(
    folder: Path, quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(folder)
    monkeypatch.setattr(os, "link", failing(os.link, errno.EXDEV))
    monkeypatch.setattr(os, "fsync", failing(os.fsync, errno.ENOSPC))
    with pytest.raises(OSError, match="space"):
        moving.move(path, folder / "target.jpg")
    assert [file.name for file in folder.iterdir()] == ["a.jpg"]


def test_without_hard_links_a_move_still_never_replaces(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(os.link, errno.EPERM))
    first, second = drop(folder), drop(folder, "b.jpg", b"other")
    with pytest.raises(FileExistsError):
        moving.move(first, second)
    moving.move(first, folder / "c.jpg")
    assert (folder / "c.jpg").read_bytes() == b"bytes"
    assert second.read_bytes() == b"other"


def test_shown_text_is_always_utf8() -> None:
    assert shown("a\udcffb\ud800") == "a\\xffb\ufffd"
    assert shown("製品.jpg") == "製品.jpg"
