"""Masters on a real store and a real inference process."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.importer import Masters
from edge_agent.models import Actor, Role
from edge_agent.store import audit
from edge_agent.store.database import Database
from edge_agent.store.schema import open_database
from tests.bundles import pipeline, write_bundle, write_model

ADMIN = Actor("admin", role=Role.ADMIN)


@pytest.fixture(scope="package")
def pool() -> Iterator[InferencePool]:
    started = InferencePool()
    started.start()
    yield started
    started.close()


@dataclass(frozen=True)
class Site:
    """One installation."""

    database: Database
    masters: Masters
    data_dir: Path
    told: list[tuple[str, Mapping[str, Any]]]

    def files(self) -> dict[str, str]:
        """Every file but the database's, by content."""
        return {
            path.relative_to(self.data_dir).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.data_dir.rglob("*"))
            if path.is_file() and not path.name.startswith("edge.db")
        }

    def rows(self) -> list[str]:
        with self.database.snapshot() as reader:
            return list(reader.iterdump())

    def actions(self) -> list[str]:
        with self.database.read() as reader:
            assert list(audit.verify(reader)) == []
            return [entry.action for entry in reversed(audit.list_entries(reader))]


@contextlib.contextmanager
def opened_site(data_dir: Path, pool: InferencePool) -> Iterator[Site]:
    config, clock = load_config(data_dir, min_free_bytes=0), Clock()
    told: list[tuple[str, Mapping[str, Any]]] = []
    with closing(open_database(config.database_path, clock, "desktop", "test")) as database:
        blobs = Blobs(data_dir, clock)
        blobs.prepare()
        built = Masters(database, blobs, pool, clock, config, lambda kind, facts: told.append((kind, facts)))
        built.prepare()
        built.reload()
        yield Site(database, built, data_dir, told)


@pytest.fixture
def site(tmp_path: Path, pool: InferencePool) -> Iterator[Site]:
    """An empty installation."""
    (tmp_path / "data").mkdir()
    with opened_site(tmp_path / "data", pool) as opened:
        yield opened


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory, pool: InferencePool) -> Path:
    """A closed data directory with the good bundle in force and bright 1.1.0 installed besides."""
    folder = tmp_path_factory.mktemp("installation")
    (folder / "data").mkdir()
    with opened_site(folder / "data", pool) as opened:
        opened.masters.import_bundle(write_bundle(folder / "b"), ADMIN)
        opened.masters.install_model(write_model(folder / "m", "1.1.0"), ADMIN)
    return folder / "data"


@pytest.fixture
def used(tmp_path: Path, pool: InferencePool, installation: Path) -> Iterator[Site]:
    """An installation in use: a copy of `installation`."""
    shutil.copytree(installation, tmp_path / "used")
    with opened_site(tmp_path / "used", pool) as opened:
        yield opened


def unchanged(site: Site) -> Callable[[], bool]:
    files, rows = site.files(), site.rows()
    return lambda: (site.files(), site.rows()) == (files, rows)


LOOSE = {"pipelines/front.json": pipeline(version=None)}
