"""An agent's masters with a pull lane to a central server in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_agent.blobs import Blobs
from edge_agent.check import run_check
from edge_agent.clock import Clock
from edge_agent.config import Config, load_config
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.importer import Masters
from edge_agent.store import pulled
from edge_agent.store.database import Database
from edge_agent.store.schema import open_database
from edge_agent.sync.downloads import Downloads
from edge_agent.sync.rounds import PullLane, refusals
from tests.store_factory import Ticking
from tests.sync.fake_central import FakeCentral


@pytest.fixture(scope="session")
def pool() -> Iterator[InferencePool]:
    started = InferencePool()
    started.start()
    yield started
    started.close()


@dataclass
class Agent:
    """One installation and its server."""

    central: FakeCentral
    database: Database
    blobs: Blobs
    masters: Masters
    lane: PullLane
    config: Config
    time: Ticking
    told: list[str]

    def greet(self) -> None:
        self.lane.told(self.central.heads, self.central.epoch)

    def pass_once(self) -> int:
        """Hello, then steps until nothing is due; how many there were."""
        self.greet()
        steps = 1
        while self.lane.step():
            steps += 1
            assert steps < 1000, "the lane never comes to rest"
        return steps

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        with self.database.read() as reader:
            return [tuple(row) for row in reader.execute(f"SELECT {columns} FROM {table} ORDER BY 1")]

    def one(self, table: str, columns: str = "*") -> tuple[Any, ...]:
        [row] = self.rows(table, columns)
        return row

    def cursor(self, space: str = "masters") -> int:
        with self.database.read() as reader:
            return pulled.state(reader, space).cursor

    def problems(self) -> list[str]:
        """What the refusal says."""
        with self.database.read() as reader:
            return [finding.message for finding in refusals(reader)]

    def check(self) -> list[str]:
        with self.database.read() as reader:
            problems = self.masters.running.problems
            now_s = self.time.now
            found = run_check(self.config, reader, now_s=now_s, daemon_running=True, problems=problems)
            return [f"{one.code} {one.subject}: {one.message}" for one in found]


Open = Callable[..., Agent]


@contextmanager
def opened(
    data_dir: Path, pool: InferencePool, central: FakeCentral, beside: Executor | None = None
) -> Iterator[Agent]:
    time = Ticking()
    config, clock = load_config(data_dir, min_free_bytes=0), Clock(time=time)
    with closing(open_database(config.database_path, clock, "desktop", "test")) as database:
        blobs = Blobs(data_dir, clock)
        blobs.prepare()
        told: list[str] = []
        masters = Masters(database, blobs, pool, clock, config, lambda kind, facts: told.append(kind))
        masters.prepare()
        masters.reload()
        downloads = Downloads(data_dir, central)
        lane = PullLane(database, clock, central, masters.arrivals, downloads, beside)
        yield Agent(central, database, blobs, masters, lane, config, time, told)


@pytest.fixture
def central() -> FakeCentral:
    return FakeCentral()


@pytest.fixture
def agent(tmp_path: Path, pool: InferencePool, central: FakeCentral) -> Iterator[Agent]:
    """An empty, enrolled agent; what it holds at the end is sound."""
    (tmp_path / "data").mkdir()
    with opened(tmp_path / "data", pool, central) as made:
        yield made
        assert made.check() == []
