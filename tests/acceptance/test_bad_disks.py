"""Disks and clocks that fail: an answer with code and hint, and nothing lost.

Rules of this file:
- The whole agent with its real parts; disks are really full, really read-only.
- Every refusal is checked for what it left behind: nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.api.services import Services
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.errors import Busy, Unavailable
from edge_agent.inspection.sessions import SessionView
from edge_agent.models import Actor, AiResult
from edge_agent.store import images
from tests import bundles
from tests.acceptance.conftest import Disk
from tests.acceptance.handling import Picture, add, add_folder, everything, noise, sound, start, state_of
from tests.integration.conftest import agent_on
from tests.waiting import WAIT_S, wait_for


def test_a_full_disk_refuses_uploads_and_loses_nothing(disk: Disk) -> None:
    with agent_on(disk.path / "data") as services:
        view = start(services, "S1")
        first = add(services, view, noise(1))
        assert first.verdict.result(WAIT_S) is not None
        disk.fill(leave_bytes=8192)
        before = everything(services)
        for seed in (2, 3):
            with pytest.raises(Unavailable) as caught:
                add(services, view, noise(seed))
            assert caught.value.code_ == "disk-full"
            assert caught.value.hint_
        assert everything(services) == before
        assert services.blobs.read(first.image.file_path) == noise(1)
        disk.free()
        again = add(services, view, noise(2))
        verdict = again.verdict.result(WAIT_S)
        assert verdict is not None
        assert verdict.overall_result is AiResult.OK
        wait_for(lambda: services.pool.state.running == 0)
        sound(services)


def test_a_full_disk_stops_the_folder_until_there_is_space(disk: Disk, tmp_path: Path) -> None:
    hot = tmp_path / "hot"
    hot.mkdir()
    with agent_on(disk.path / "data") as services:
        disk.fill(leave_bytes=300_000)
        for seed in range(10, 20):
            (hot / f"{seed}.png").write_bytes(noise(seed))
        (hot / "text.png").write_bytes(b"no picture" * 40_000)
        add_folder(services, "hot", hot, product="PLATE", item="look", session="auto", give_up_s=0.0)
        wait_for(lambda: "disk-full" in {finding.code for finding in services.findings()})
        left = len([*hot.glob("[0-9]*")])  # first: what goes meanwhile has its row by then
        assert left + everything(services)[0] >= 10
        wait_for(lambda: everything(services)[2] == 0, lambda: "what was begun is not taken back")
        disk.free()
        services.folders.reload()
        wait_for(lambda: not [*hot.iterdir()], lambda: (services.findings(), [*hot.iterdir()]))
        for seed in range(10, 20):
            assert state_of(services, noise(seed)) == ("inspected", "OK")
        [entry] = services.folders.quarantined()
        assert (entry.name, entry.code) == ("text.png", "unknown-format")
        assert len([*(services.config.data_dir / "quarantine").iterdir()]) == 1
        wait_for(lambda: services.pool.state.running == 0)
        sound(services)


def limit_pages(services: Services, more: int) -> None:
    """SQLite itself finds the disk full after so many more pages; 0 lifts the limit."""
    with services.database.maintenance() as writer:
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages + more if more else 1 << 30}")


def test_a_database_without_space_keeps_no_files(
    start_agent: Callable[..., Services], picture: Picture
) -> None:
    services = start_agent()
    view = start(services, "S1")
    before = everything(services)[1]
    limit_pages(services, 1)

    def fill() -> None:
        for _ in range(50):
            add(services, view, picture())

    with pytest.raises(Unavailable) as caught:
        fill()
    assert caught.value.code_ == "disk-full"
    rows, files, staged = everything(services)
    assert (files - before, staged) == (rows, 0)
    limit_pages(services, 0)
    add(services, view, picture()).verdict.result(WAIT_S)
    with services.database.read() as reader:
        wait_for(lambda: not images.unfinished(reader, 1))  # the recorder tries again by itself
    wait_for(lambda: services.pool.state.running == 0)
    sound(services)


def test_a_verdict_waits_for_the_disk(
    start_agent: Callable[..., Services], picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is there, the verdict finds the disk full: it is written as soon as there is space."""
    services = start_agent()
    view = start(services, "S1")
    monkeypatch.setattr("edge_agent.inspection.intake.outcome_now", lambda run: None)
    refused: list[int] = []
    write = services.database.write

    def full(actor: Actor, **more: Any) -> Any:
        import threading

        if threading.current_thread().name == "recorder" and len(refused) < 2:
            refused.append(1)
            raise Unavailable("The disk is full; the change was not made.", code="disk-full")
        return write(actor, **more)

    monkeypatch.setattr(services.database, "write", full)
    verdict = add(services, view, picture()).verdict.result(WAIT_S)
    assert len(refused) == 2
    assert verdict is not None
    assert verdict.overall_result is AiResult.OK


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "data-dir-read-only"),
        (errno.EACCES, "data-dir-read-only"),
        (errno.EIO, "disk-error"),
        (errno.EFBIG, "disk-error"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_whatever_the_disk_refuses_has_a_code_and_leaves_nothing(
    agent: Services, picture: Picture, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: str
) -> None:
    """Where nothing can be mounted, and for what no mount gives: the system's own answers, put in its mouth."""
    view, before = start(agent, f"{call}-{code}"), everything(agent)

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    data = picture()
    with monkeypatch.context() as broken:
        broken.setattr(f"edge_agent.blobs.os.{call}", refuse)
        with pytest.raises(Unavailable) as caught:
            add(agent, view, data)
    assert caught.value.code_ == code
    assert caught.value.hint_
    assert everything(agent) == before
    assert add(agent, view, data).verdict.result(WAIT_S) is not None


def test_masters_need_space_and_say_so(disk: Disk, tmp_path: Path) -> None:
    with agent_on(disk.path / "data") as services:
        version, running = services.masters.status().imported, services.masters.running
        folder = bundles.write_bundle(
            tmp_path / "more",
            {"pipelines/front.json": bundles.pipeline()},
            version="2.0.0",
            models=("1.0.0", "2.0.0"),
        )
        for leave in (0, 40_000):
            disk.fill(leave_bytes=leave)
            with pytest.raises(Unavailable) as caught:
                services.masters.import_bundle(folder, Actor("test"))
            assert caught.value.code_ == "disk-full", caught.value
            disk.free()
        assert services.masters.status().imported == version
        assert services.masters.running is running
        assert not [*(services.config.data_dir / "imports").glob("*")]
        services.masters.import_bundle(folder, Actor("test"))
        sound(services)


def test_a_full_disk_refuses_a_backup_and_leaves_none(disk: Disk) -> None:
    with agent_on(disk.path / "data") as services:
        add(services, start(services, "S1"), noise(1)).verdict.result(WAIT_S)
        disk.fill(leave_bytes=50_000)
        with pytest.raises(Unavailable) as caught:
            services.make_backup(None)
        assert caught.value.code_ == "disk-full"
        assert not [*(services.config.data_dir / "backups").iterdir()]
        disk.free()
        assert services.make_backup(None)["files"]


def test_a_read_only_directory_is_named_at_start(disk: Disk) -> None:
    with agent_on(disk.path / "data"):
        pass
    disk.remount("ro")
    try:
        with pytest.raises(Unavailable) as caught, agent_on(disk.path / "data"):
            pass
    finally:
        disk.remount("rw")
    assert caught.value.code_ == "data-dir-read-only"
    assert caught.value.hint_
    with agent_on(disk.path / "data") as services:
        sound(services)


def test_two_agents_never_share_a_directory(agent: Services) -> None:
    with pytest.raises(Busy) as caught, running_services(load_config(agent.config.data_dir), Clock()):
        pass
    assert caught.value.code_ == "already-running"
    assert str(os.getpid()) in str(caught.value)
    assert caught.value.hint_
    start(agent, "still-alive")


def test_a_clock_set_back_turns_nothing_round(tmp_path: Path, picture: Picture) -> None:
    """The newest image decides an item, also when the clock says it is the oldest, also after a restart."""
    now = [1_800_000_000.0]
    data = tmp_path / "data"
    with agent_on(data):
        pass
    config = load_config(data, min_free_bytes=0, workers=1, review_share=0.0)
    with running_services(config, Clock(time=lambda: now[0])) as services:
        view = start(services, "S1")
        dark = add(services, view, picture(0))
        dark.verdict.result(WAIT_S)
        now[0] -= 400 * 86_400
        bright = add(services, view, picture(255))
        bright.verdict.result(WAIT_S)
        assert bright.image.id > dark.image.id
        assert verdict_of(services, view) == ("OK", bright.image.id)
    now[0] -= 400 * 86_400
    with running_services(config, Clock(time=lambda: now[0])) as services:
        again = add(services, view, picture(0))
        again.verdict.result(WAIT_S)
        assert again.image.id > bright.image.id
        assert verdict_of(services, view) == ("NG", again.image.id)
        assert services.make_backup(None)["findings"] == []
        wait_for(lambda: services.pool.state.running == 0)
        sound(services)


def verdict_of(services: Services, view: SessionView) -> tuple[str, str | None]:
    verdict = services.sessions.view(view.session.id).items[0].verdict
    assert verdict is not None
    return verdict.ai_result, verdict.image_id
