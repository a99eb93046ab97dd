"""Two completed inspections and one under way, and how to harm and check them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.check import run_check
from edge_agent.models import Finding
from tests.store_factory import DAY, NOON, Store


@pytest.fixture(scope="package")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Store(tmp_path_factory.mktemp("template"))
    made.add_masters()
    made.inspect()
    made.inspect(ai="NG", human="NG", final="NG")
    made.inspect(final=None)
    made.close()
    return made.data_dir


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Iterator[Store]:
    """Two completed inspections and one under way, in a directory of its own."""
    copied = Store(shutil.copytree(template, tmp_path / "data"))
    yield copied
    copied.close()


def check(store: Store, **options: Any) -> list[Finding]:
    with store.database.read() as reader:
        return list(run_check(store.config, reader, now_s=NOON, **options))


def found(store: Store, **options: Any) -> set[tuple[str, str]]:
    return {(one.code, one.subject) for one in check(store, **options)}


def damage(store: Store, sql: str, *args: object) -> None:
    with store.forged() as connection:
        assert connection.execute(sql, args).rowcount > 0


def value(store: Store, sql: str, *args: object) -> str:
    with store.database.read() as reader:
        return str(reader.execute(sql, args).fetchone()[0])


def soundness_last(tx: sqlite3.Connection) -> int:
    return int(tx.execute("SELECT count(*) FROM audit_log WHERE content_sha256 <> ''").fetchone()[0])


def image_of(store: Store) -> tuple[str, Path]:
    image_id = value(store, "SELECT min(id) FROM inspection_images")
    return f"image {image_id}", store.data_dir / f"images/{DAY}/{image_id}.png"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
