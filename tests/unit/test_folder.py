"""Each picture leaves the folder exactly once, whole, however it came and wherever the agent died."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_agent.capture import candidate as candidate_module
from edge_agent.capture import folder as folder_module
from edge_agent.capture import removal
from edge_agent.capture.binding import FolderConfig
from edge_agent.capture.candidate import Candidate, Outcome
from edge_agent.capture.files import read_regular
from edge_agent.capture.folder import HotFolder
from edge_agent.capture.listing import Contents, is_temporary, read_directory
from edge_agent.capture.quarantine import Quarantine
from edge_agent.capture.watching import Watch
from edge_agent.clock import Clock
from edge_agent.errors import Unavailable


def picture(shade: int = 0, name: str = "JPEG", size: tuple[int, int] = (16, 12)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade * 16 % 256, shade // 16 * 16, 90)).save(buffer, name, quality=95)
    return buffer.getvalue()


@dataclass
class Station:
    """A folder, its quarantine, a clock that only moves when told, and a ledger that plays the use case."""

    root: Path
    config: FolderConfig
    now: float = 1000.0
    ledger: dict[str, str] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    answer: Callable[[Candidate], Outcome | None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        self.clock = Clock(monotonic=lambda: self.now)
        self.quarantine = Quarantine(self.root / "quarantine", self.clock)
        self.restart()

    def restart(self, **limits: int) -> None:
        self.folder = HotFolder(self.config, self.begin, self.quarantine, self.clock, lambda: None, **limits)

    def begin(self, candidates: Sequence[Candidate]) -> Callable[[], Sequence[Outcome]]:
        return lambda: self.ingest(candidates)

    def ingest(self, candidates: Sequence[Candidate]) -> Sequence[Outcome]:
        self.batches.append(len(candidates))
        return [self.answer(candidate) or self.keep(candidate) for candidate in candidates]

    def keep(self, candidate: Candidate) -> Outcome:
        if candidate.sha256 in self.ledger:
            return Outcome("duplicate")
        self.ledger[candidate.sha256] = candidate.name
        return Outcome("taken")

    @property
    def path(self) -> Path:
        return self.config.path

    def drop(self, name: str = "a.jpg", data: bytes | None = None, *, mtime: float | None = None) -> Path:
        path = self.path / name
        path.write_bytes(picture() if data is None else data)
        if mtime is not None:
            os.utime(path, (mtime, mtime))
        return path

    def work(self, seconds: float = 0.0) -> None:
        """Lets time pass, then steps until there is nothing to do."""
        self.now += seconds
        while self.folder.step():
            pass

    def settle(self) -> None:
        """Two looks, a settle time apart."""
        self.work()
        self.work(self.config.settle_s)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())

    def reasons(self) -> dict[str, str]:
        return {entry.name: entry.code for entry in self.quarantine.list()}

    def findings(self) -> list[str]:
        return [finding.code for finding in self.folder.findings()]


MakeStation = Callable[..., Station]


@pytest.fixture
def make(tmp_path: Path) -> MakeStation:
    def build(**fields: Any) -> Station:
        path = tmp_path / "folder"
        path.mkdir()
        named = {"name": "line-1", "path": path, "product": "P", "item": "I", "settle_s": 1, "give_up_s": 10}
        return Station(tmp_path, FolderConfig.model_validate(named | fields))

    return build


@pytest.fixture
def station(make: MakeStation) -> Station:
    return make()


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


# -- things that do not work ----------------------------------------------------------------------


def test_later_leaves_the_file_says_why_and_takes_it_when_woken(station: Station) -> None:
    station.answer = lambda _: Outcome("later", "no-session", "no open session for serial 1")
    station.drop()
    station.settle()
    assert station.left() == ["a.jpg"]
    (finding,) = station.folder.findings()
    assert finding.code == "folder-waiting"
    assert "no open session" in finding.message
    tries = len(station.batches)
    for _ in range(20):
        station.work(0.1)
    assert len(station.batches) <= tries + 2, "a waiting file must not be read again and again"
    station.answer = lambda _: None
    station.folder.wake()
    station.work()
    assert (station.left(), station.findings()) == ([], [])


def test_when_nothing_can_be_stored_all_files_stay_and_the_folder_waits(station: Station) -> None:
    def full(_: Candidate) -> Outcome:
        raise Unavailable("The disk is full.", code="disk-full")

    station.answer = full
    for number in range(70):
        station.drop(f"{number}.jpg", picture(number))
    station.settle()
    assert station.findings() == ["disk-full"]
    assert station.folder.status().problem == "The disk is full."
    tries = len(station.batches)
    station.work(0.1)
    assert len(station.batches) == tries
    station.answer = lambda _: None
    station.work(1.0)
    assert (station.left(), len(station.ledger), station.findings()) == ([], 70, [])


def test_a_vanished_folder_is_reported_and_taken_up_again(station: Station) -> None:
    moved = station.path.with_name("unplugged")
    station.drop()
    station.work()
    station.path.rename(moved)
    station.work(1.0)
    assert station.findings() == ["folder-unavailable"]
    assert station.folder.wait_s() == station.config.rescan_s
    moved.rename(station.path)
    station.settle()
    assert (station.findings(), len(station.ledger)) == ([], 1)


def test_a_folder_that_may_not_be_written_is_not_inspected_twice(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    station.drop()
    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "rename", refuse)
        station.settle()
        for _ in range(5):
            station.work(10)
        assert station.batches == [1]
        assert station.left() == ["a.jpg"]
        assert station.findings() == ["folder-not-writable"]
        station.drop("a.jpg", picture(7), mtime=5000)
        station.settle()
        assert station.batches == [1, 1], "another picture under that name is taken all the same"
    station.work(1)
    station.settle()
    assert (station.left(), station.findings()) == ([], [])
    assert len(station.ledger) == 2


# -- dying anywhere ---------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nothing after this line runs."""


def kill_on_call(patch: pytest.MonkeyPatch, target: Any, name: str, number: int) -> None:
    """Dies around a call of `target.name`: 1 before the first, 2 after it, 3 before the second, and so on."""
    real, calls = getattr(target, name), [0]

    def call(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == (number + 1) // 2 and number % 2:
            raise Killed
        result = real(*arguments, **options)
        if calls[0] == (number + 1) // 2:
            raise Killed
        return result

    patch.setattr(target, name, call)


KILL_POINTS = [
    (target, name)
    for target, name in [
        (os, "link"), (os, "fsync"), (Path, "rename"), (Path, "unlink"), (Path, "lstat"), (Path, "mkdir"),
        (candidate_module, "read_regular"), (folder_module, "remove"), (Quarantine, "put"), (Station, "keep"),
        (Station, "ingest"),
    ]
]  # fmt: skip


@settings(max_examples=60)
@given(
    kills=st.lists(st.tuples(st.sampled_from(KILL_POINTS), st.integers(1, 12)), min_size=1, max_size=4),
    sidecar=st.booleans(),
)
def test_killed_anywhere_no_file_is_lost_and_none_taken_twice(
    kills: list[tuple[tuple[Any, str], int]], sidecar: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("station")
    path = root / "folder"
    path.mkdir()
    fixed: dict[str, Any] = {"sidecar": True} if sidecar else {"product": "P", "item": "I"}
    config = FolderConfig.model_validate({"name": "n", "path": path, "settle_s": 0, "give_up_s": 0, **fixed})
    station = Station(root, config)
    good = {f"{number}.jpg": picture(number) for number in range(4)}
    bad = {"broken.jpg": picture()[:-9], "note.txt": b"not a picture"}
    for name, data in {**good, **bad}.items():
        station.drop(name, data)
        if sidecar:
            station.drop(name + ".json", b'{"product":"P","item":"I"}')
    for (target, name), number in kills:
        with pytest.MonkeyPatch.context() as patch:
            kill_on_call(patch, target, name, number)
            try:
                station.work(1.0)
            except Killed:
                station.restart()
                station.quarantine.sweep()
    for _ in range(3):
        station.work(1.0)
    assert sorted(station.ledger.values()) == sorted(good)
    assert {entry.name for entry in station.quarantine.list()} >= set(bad)
    assert not set(station.reasons()) & set(good)
    assert [name for name in station.left() if not name.endswith(".json")] == []


# -- the loop with real events ----------------------------------------------------------------------


def test_the_loop_takes_what_is_closed_or_renamed_without_waiting_for_the_rescan(
    make: MakeStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = make(settle_s=60, rescan_s=3600)
    taken, stop = threading.Semaphore(0), threading.Event()
    station.answer = lambda _: taken.release()
    watching = threading.Event()
    real = Watch.follow

    def follow(watch: Watch) -> None:
        real(watch)
        watching.set()

    monkeypatch.setattr(Watch, "follow", follow)
    folder = station.folder
    thread = threading.Thread(target=folder.run, args=(stop,))
    thread.start()
    try:
        assert watching.wait(20)
        station.drop("written.jpg", picture(1))
        assert taken.acquire(timeout=20)
        station.drop("renamed.jpg.tmp", picture(2)).rename(station.path / "renamed.jpg")
        assert taken.acquire(timeout=20)
    finally:
        stop.set()
        folder.wake()
        thread.join(timeout=20)
    assert not thread.is_alive()
    assert sorted(station.ledger.values()) == ["renamed.jpg", "written.jpg"]


def test_the_loop_outlives_a_failing_step_and_says_so(make: MakeStation) -> None:
    station = make(settle_s=0)
    stop, failed = threading.Event(), threading.Event()

    def break_down(_: Candidate) -> Outcome:
        failed.set()
        raise RuntimeError("a bug")

    station.answer = break_down
    station.drop()
    thread = threading.Thread(target=station.folder.run, args=(stop,))
    thread.start()
    assert failed.wait(20)
    stop.set()
    station.folder.wake()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert station.findings() == ["folder-failed"]
    assert station.left() == ["a.jpg"]
