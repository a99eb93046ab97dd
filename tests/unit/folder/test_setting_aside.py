"""What is no picture, or has no sidecar, leaves the folder with its reason."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from edge_agent.capture import candidate as candidate_module
from edge_agent.capture import folder as folder_module
from edge_agent.capture.candidate import Outcome
from edge_agent.capture.listing import Contents, read_directory
from tests.unit.folder.conftest import MakeStation, Station, picture

# -- quarantine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"no picture at all", "unknown-format"),
        (picture()[:-30], "truncated"),
        (picture(name="PNG")[:20], "truncated-header"),
    ],
)
def test_what_never_becomes_a_picture_is_set_aside_after_a_while(
    data: bytes, code: str, station: Station
) -> None:
    station.drop(data=data)
    station.settle()
    assert station.left() == ["a.jpg"]
    for _ in range(12):
        station.work(1.0)
    assert station.left() == []
    assert station.reasons() == {"a.jpg": code}


def test_what_can_never_be_used_is_set_aside_at_once(station: Station) -> None:
    frames = [Image.new("RGB", (8, 8), shade) for shade in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    station.drop("moving.png", buffer.getvalue())
    station.drop("large.jpg", picture(size=(400, 300)))
    station.drop("wide.png", picture(name="PNG", size=(300, 2)))
    station.restart(max_bytes=2000, max_pixels=500)
    station.settle()
    assert station.reasons() == {
        "moving.png": "animated",
        "large.jpg": "too-large",
        "wide.png": "too-many-pixels",
    }


def test_an_unmatched_name_can_be_renamed_and_retried(make: MakeStation) -> None:
    station = make(product=None, pattern=r"(?P<product>[A-Z]+)\.jpg")
    station.drop("wrong name.jpg")
    station.settle()
    station.work(10)
    (entry,) = station.quarantine.list()
    assert (entry.code, entry.folder) == ("name-unmatched", "line-1")
    station.quarantine.retry(entry.id, station.path)
    (station.path / "wrong name.jpg").rename(station.path / "PLATE.jpg")
    station.settle()
    assert list(station.ledger.values()) == ["PLATE.jpg"]


def test_what_the_use_case_rejects_is_set_aside_with_its_reason(station: Station) -> None:
    station.answer = lambda _: Outcome("rejected", "unknown-product", "No product P.", "Import the masters.")
    station.drop()
    station.settle()
    (entry,) = station.quarantine.list()
    assert (entry.code, entry.detail, entry.hint) == (
        "unknown-product", "No product P.", "Import the masters.",
    )  # fmt: skip
    assert station.folder.status().quarantined == 1


def test_names_that_are_no_utf8_pass_through(station: Station) -> None:
    station.drop(os.fsdecode(b"good\xff.jpg"))
    station.drop(os.fsdecode(b"bad\xff.jpg"), b"nothing")
    station.settle()
    station.work(10)
    assert list(station.ledger.values()) == ["good\\xff.jpg"]
    assert station.reasons() == {"bad\\xff.jpg": "unknown-format"}


def test_directories_links_and_devices_are_left_alone_and_reported(station: Station, tmp_path: Path) -> None:
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(picture())
    (station.path / "link.jpg").symlink_to(outside)
    (station.path / "directory.jpg").mkdir()
    os.mkfifo(station.path / "pipe.jpg")
    station.settle()
    station.work(60)
    assert station.left() == ["directory.jpg", "link.jpg", "pipe.jpg"]
    assert (outside.exists(), station.ledger) == (True, {})
    assert station.findings() == ["folder-ignored"]


def test_a_file_replaced_by_a_link_before_reading_is_not_followed(station: Station, tmp_path: Path) -> None:
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(picture())
    path = station.drop()
    station.work()

    def swap(directory: Path) -> Contents:
        contents = read_directory(directory)
        path.unlink()
        path.symlink_to(outside)
        return contents

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_module, "read_directory", swap)
        station.work(1.0)
    assert station.ledger == {}


def test_an_unreadable_file_is_set_aside_unread(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: int) -> tuple[bytes, os.stat_result]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(candidate_module, "read_regular", refuse)
    station.drop()
    station.settle()
    assert station.left() == ["a.jpg"]
    station.work(10)
    assert station.reasons() == {"a.jpg": "unreadable"}


# -- sidecars ------------------------------------------------------------------------------------


def test_a_picture_waits_for_its_sidecar_and_both_go_together(make: MakeStation) -> None:
    station = make(product=None, item=None, sidecar=True)
    bindings: list[str | None] = []
    station.answer = lambda candidate: bindings.append(candidate.binding.serial)
    station.drop("a.jpg")
    station.settle()
    assert station.left() == ["a.jpg"]
    station.drop("a.jpg.json", b'{"product":"P","item":"I","serial":"S1"}')
    station.folder.hint("a.jpg.json")
    station.work()
    assert (bindings, station.left()) == (["S1"], [])


def test_without_its_sidecar_a_picture_is_set_aside_and_a_broken_one_goes_along(make: MakeStation) -> None:
    station = make(product=None, item=None, sidecar=True)
    station.drop("alone.jpg")
    station.drop("broken.jpg", picture(2))
    station.drop("broken.jpg.json", b"{")
    station.settle()
    station.work(10)
    assert station.left() == []
    assert station.reasons() == {"alone.jpg": "sidecar-missing", "broken.jpg": "sidecar-broken"}
