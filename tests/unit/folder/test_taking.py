"""Each picture is taken exactly once, whole, however it came."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.capture import candidate as candidate_module
from edge_agent.capture import folder as folder_module
from edge_agent.capture import removal
from edge_agent.capture.candidate import Candidate
from edge_agent.capture.files import read_regular
from edge_agent.capture.listing import Contents, is_temporary, read_directory
from tests.unit.folder.conftest import MakeStation, Station, picture

# -- what is taken, and when --------------------------------------------------------------------


def test_a_picture_is_taken_after_two_looks_a_settle_time_apart(station: Station) -> None:
    station.drop()
    station.work()
    assert station.ledger == {}
    station.work(0.5)
    assert station.ledger == {}
    station.work(0.5)
    assert list(station.ledger.values()) == ["a.jpg"]
    assert station.left() == []
    assert station.folder.status().taken == 1


def test_old_times_do_not_prove_that_a_file_is_complete(station: Station) -> None:
    station.drop(mtime=1_000_000)
    station.work()
    assert station.left() == ["a.jpg"]


def test_a_file_still_growing_is_not_taken(station: Station) -> None:
    data = picture(size=(200, 200))
    for part in range(1, 5):
        station.drop(data=data[: len(data) * part // 5], mtime=100 + part)
        station.work(2.0)
        assert station.ledger == {}
    station.drop(data=data, mtime=200)
    station.settle()
    assert len(station.ledger) == 1
    assert station.reasons() == {}


def test_an_event_lets_a_whole_file_count_as_settled_at_once(station: Station) -> None:
    station.drop()
    station.folder.hint("a.jpg")
    station.work()
    assert station.left() == []
    assert len(station.ledger) == 1


def test_an_event_alone_never_lets_a_partial_file_through(station: Station) -> None:
    data = picture(size=(100, 100))
    station.drop(data=data[:-40])
    station.folder.hint("a.jpg")
    station.work()
    assert (station.left(), station.ledger, station.reasons()) == (["a.jpg"], {}, {})
    station.drop(data=data)
    station.folder.hint("a.jpg")
    station.work()
    assert len(station.ledger) == 1


def test_a_file_that_changes_while_it_is_read_waits(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = station.drop(mtime=100)
    station.work()
    real = read_regular

    def read(source: Path, *limit: int) -> tuple[bytes, os.stat_result]:
        os.utime(path, (200, 200))
        return real(source, *limit)

    monkeypatch.setattr(candidate_module, "read_regular", read)
    station.work(1.0)
    assert station.ledger == {}
    monkeypatch.undo()
    station.settle()
    assert len(station.ledger) == 1


@pytest.mark.parametrize(
    "name", ["a.jpg.tmp", "b.part", "c.jpg~", ".hidden.jpg", "~lock.jpg", "Thumbs.db", "x.CRDOWNLOAD"]
)
def test_temporary_files_are_left_alone(name: str, station: Station) -> None:
    station.drop(name)
    station.settle()
    station.work(60)
    assert is_temporary(name)
    assert station.left() == [name]
    assert station.ledger == {}


def test_the_candidate_says_what_the_use_case_needs(make: MakeStation) -> None:
    station = make(product=None, pattern=r"(?P<product>\w+)-(?P<serial>\d+)\.png")
    seen: list[Candidate] = []
    station.answer = seen.append
    station.drop("PLATE-17.png", picture(5, "PNG"), mtime=1_700_000_000)
    station.settle()
    (candidate,) = seen
    assert (candidate.folder, candidate.name) == ("line-1", "PLATE-17.png")
    assert (candidate.info.mime_type, candidate.info.width_px) == ("image/png", 16)
    assert (candidate.binding.product_code, candidate.binding.serial) == ("PLATE", "17")
    assert candidate.modified_at_s == 1_700_000_000
    assert candidate.data == picture(5, "PNG")


def test_batches_are_bounded_and_oldest_first_from_one_listing(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    station.answer = lambda candidate: order.append(candidate.name)
    for number in range(150):
        station.drop(f"{number:03}.jpg", picture(number), mtime=2000 - number)
    looks: list[Path] = []

    def look(path: Path) -> Contents:
        looks.append(path)
        return read_directory(path)

    monkeypatch.setattr(folder_module, "read_directory", look)
    station.settle()
    assert station.batches == [32, 32, 32, 32, 22]
    assert order == [f"{number:03}.jpg" for number in reversed(range(150))]
    assert len(looks) == 3
    assert station.left() == []


def test_a_batch_is_bounded_in_bytes_too(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "BATCH_BYTES", len(picture()) * 2)
    for number in range(5):
        station.drop(f"{number}.jpg", picture(number))
    station.settle()
    assert max(station.batches) <= 3
    assert len(station.ledger) == 5


# -- duplicates and names used again ------------------------------------------------------------


def test_a_duplicate_is_recognised_and_its_source_removed(station: Station) -> None:
    station.drop("a.jpg")
    station.drop("b.jpg")
    station.settle()
    assert (station.left(), len(station.ledger)) == ([], 1)
    assert station.folder.status().duplicates == 1


def test_a_new_picture_under_the_same_name_is_never_deleted_for_the_old_one(station: Station) -> None:
    path = station.drop("image.jpg", picture(1))

    def replace_meanwhile(candidate: Candidate) -> None:
        path.unlink()
        station.drop("image.jpg", picture(2), mtime=2000)

    station.answer = replace_meanwhile
    station.settle()
    station.answer = lambda _: None
    assert station.left() == ["image.jpg"]
    station.settle()
    assert (station.left(), len(station.ledger)) == ([], 2)


def test_two_new_pictures_in_the_moment_of_deleting_are_both_kept(station: Station) -> None:
    path = station.drop("image.jpg", picture(1))
    real = removal.identity_of

    def second_arrives(candidate: Candidate) -> None:
        station.drop("image.jpg", picture(2), mtime=2000)

    def third_arrives(status: os.stat_result) -> removal.Identity:
        if not path.exists():
            path.write_bytes(picture(3))
        return real(status)

    station.answer = second_arrives
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removal, "identity_of", third_arrives)
        station.settle()
    station.answer = lambda _: None
    for _ in range(4):
        station.settle()
    assert (station.left(), len(station.ledger)) == ([], 3)
