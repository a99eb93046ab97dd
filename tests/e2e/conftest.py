"""One browser and one agent for all tests of the console; every test has a window of its own.

Rules of this file:
- The agent is the installed program on a fresh data directory with the demo's masters, and a camera that
  shows one of the demo's plates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from edge_agent.demo import BUNDLE, IMAGES
from tests.acceptance.program import Daemon, ask, daemon
from tests.e2e.bench_camera import bench_camera
from tests.e2e.browser import open_browser
from tests.e2e.windows import PATIENCE_MS, watched_page

PLATE = IMAGES / "P0001_L2611A07_SURFACE.jpg"
expect.set_options(timeout=PATIENCE_MS)  # a loaded machine is slow, not wrong


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Closed with the last test here: as long as it is open, its event loop runs in this process."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def bench() -> Iterator[str]:
    with bench_camera(PLATE) as address:
        yield address


@pytest.fixture(scope="session")
def agent(bench: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    data_dir = tmp_path_factory.mktemp("console") / "data"
    with daemon(data_dir) as running:
        furnish(data_dir, bench)
        yield running


@pytest.fixture
def page(browser: Browser, agent: Daemon) -> Iterator[Page]:
    with watched_page(browser, agent.url) as opened:
        yield opened


def furnish(data_dir: Path, bench: str) -> None:
    """The demo's masters, and a camera called `bench`."""
    for command in (("master", "import", BUNDLE), ("camera", "add", "bench", bench)):
        code, answer = ask(data_dir, *command)
        assert code == 0, answer


@pytest.fixture
def blurred(tmp_path: Path) -> Path:
    """The plate out of focus."""
    pixels = cv2.imread(str(PLATE))
    assert pixels is not None
    path = tmp_path / "blurred.png"
    assert cv2.imwrite(str(path), cv2.GaussianBlur(pixels.astype(np.uint8), (0, 0), 9))
    return path
