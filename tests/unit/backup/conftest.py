"""One completed inspection to back up, and steps at which to be interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.backup import (
    BackupReport,
    RestoreReport,
    backup,
    restore,
)
from edge_agent.check import run_check
from tests.store_factory import NOON, Store

Stop = Callable[[str, int, int], None]


class Interrupted(BaseException):
    """Raised by `progress`, as a Ctrl-C would be."""


@pytest.fixture(scope="package")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Store(tmp_path_factory.mktemp("template"))
    (made.data_dir / "config.toml").write_text("port = 9000\n")
    (made.data_dir / "quarantine" / "kept.jpg").write_bytes(b"?")
    made.add_masters()
    made.inspect()
    made.close()
    return made.data_dir


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Iterator[Store]:
    """One completed inspection, in a directory of its own."""
    copied = Store(shutil.copytree(template, tmp_path / "data"))
    yield copied
    copied.close()


def make(store: Store, destination: Path, **options: Any) -> BackupReport:
    return backup(store.database, store.data_dir, destination, app_version="0.1.0", **options)


def bring_back(source: Path, data_dir: Path, store: Store, **options: Any) -> RestoreReport:
    facts: dict[str, Any] = {"clock": store.clock, "pid": 1, "device_type": "desktop", "app_version": "0.1.0"}
    return restore(source, data_dir, **facts, **options)


def reopened(data_dir: Path) -> Store:
    return Store(data_dir)


def findings(store: Store) -> list[str]:
    with store.database.read() as reader:
        return [one.code for one in run_check(store.config, reader, now_s=NOON)]


def sessions(store: Store) -> int:
    with store.database.read() as reader:
        return int(reader.execute("SELECT count(*) FROM inspection_sessions").fetchone()[0])


def all_steps(run: Callable[[Stop], object]) -> list[tuple[str, int, int]]:
    seen: list[tuple[str, int, int]] = []
    run(lambda *step: seen.append(step))
    return seen


def stop_at(number: int) -> Stop:
    left = [number]

    def progress(step: str, done: int, of: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted(step)

    return progress
