"""One browser and one agent for all tests of the console; every test has a window of its own.

Rules of this file:
- The agent is the installed program on a fresh data directory with the demo's masters.
- A page that breaks its own policy, asks another host or throws fails its test.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.program import Daemon, ask, daemon
from tests.e2e.browser import open_browser
from tests.e2e.windows import watched_page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    data_dir = tmp_path_factory.mktemp("console") / "data"
    with daemon(data_dir) as running:
        code, answer = ask(data_dir, "master", "import", "edge_agent/demo/bundle")
        assert code == 0, answer
        yield running


@pytest.fixture
def page(browser: Browser, agent: Daemon) -> Iterator[Page]:
    with watched_page(browser, agent.url) as opened:
        yield opened
