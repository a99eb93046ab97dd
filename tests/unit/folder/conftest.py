"""A hot folder whose pictures a use case takes, in the test's hands."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edge_agent.capture.binding import FolderConfig
from edge_agent.capture.candidate import Candidate, Outcome
from edge_agent.capture.folder import HotFolder
from edge_agent.capture.quarantine import Quarantine
from edge_agent.clock import Clock


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
