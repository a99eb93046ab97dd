"""A whole agent in this process: real store, real files, real inference process, a small bundle."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.api.services import Services
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.models import Actor, Role
from tests import bundles

SATO = Actor("sato", user_id=1, role=Role.INSPECTOR)


@contextmanager
def agent_on(data_dir: Path, **settings: object) -> Iterator[Services]:
    """The agent at work on that directory; the bundle is imported if it holds no masters yet."""
    defaults = {"min_free_bytes": 0, "workers": 1, "review_share": 0.0, "port": 0}
    with running_services(load_config(data_dir, **{**defaults, **settings}), Clock()) as services:
        if not services.masters.running.pipelines:
            bundle = bundles.write_bundle(
                data_dir.parent / "bundle", {"pipelines/front.json": bundles.pipeline()}
            )
            services.masters.import_bundle(bundle, Actor("test"))
        yield services


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., Services]]:
    """Starts agents on one data directory, one after another; the last one is stopped at the end."""
    with ExitStack() as stack:

        def start(**settings: object) -> Services:
            stack.close()
            return stack.enter_context(agent_on(tmp_path / "data", **settings))

        yield start


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One agent for a whole file; tests use their own sessions."""
    with agent_on(tmp_path_factory.mktemp("agent") / "data") as services:
        yield services


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """PNG bytes of one brightness; every call gives other bytes."""
    random = np.random.default_rng()

    def draw(brightness: int = 255) -> bytes:
        pixels = np.full((24, 32, 3), brightness, np.uint8)
        pixels[0, 0] = random.integers(0, 255, 3)
        pixels[0, 1] = random.integers(0, 255, 3)
        return cv2.imencode(".png", pixels)[1].tobytes()

    return draw
