"""Whatever fails and wherever the agent dies, each picture leaves the folder exactly once."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.capture import candidate as candidate_module
from edge_agent.capture import folder as folder_module
from edge_agent.capture.binding import FolderConfig
from edge_agent.capture.candidate import Candidate, Outcome
from edge_agent.capture.quarantine import Quarantine
from edge_agent.capture.watching import Watch
from edge_agent.errors import Unavailable
from tests.unit.folder.conftest import MakeStation, Station, picture
from tests.waiting import WAIT_S

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
        assert watching.wait(WAIT_S)
        station.drop("written.jpg", picture(1))
        assert taken.acquire(timeout=WAIT_S)
        station.drop("renamed.jpg.tmp", picture(2)).rename(station.path / "renamed.jpg")
        assert taken.acquire(timeout=WAIT_S)
    finally:
        stop.set()
        folder.wake()
        thread.join(timeout=WAIT_S)
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
    assert failed.wait(WAIT_S)
    stop.set()
    station.folder.wake()
    thread.join(timeout=WAIT_S)
    assert not thread.is_alive()
    assert station.findings() == ["folder-failed"]
    assert station.left() == ["a.jpg"]
