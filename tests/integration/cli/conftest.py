"""A whole agent in this process, and commands that ask it.

Rules of this file:
- One agent serves all tests, as one daemon serves all commands; each test works on data of its own.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_agent.api.app import create_app
from edge_agent.cli import options, status, upkeep
from edge_agent.cli.connection import LOCAL, Connection
from edge_agent.cli.in_process import in_process
from edge_agent.cli.main import run
from tests.api_agent import Agent, open_agent, png

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="package")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with open_agent(tmp_path_factory.mktemp("data")) as opened:
        yield opened


@pytest.fixture(scope="package")
def connection(agent: Agent) -> Iterator[Connection]:
    with asyncio.Runner() as runner:
        transport = in_process(create_app(agent.services), runner)
        with httpx.Client(base_url=LOCAL, transport=transport) as client:
            yield Connection(client, True, agent.services.install_token)


@pytest.fixture
def ask(connection: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a command with --json; its exit code and the document it printed (the error's, if it failed)."""

    @contextmanager
    def connect(_config: object) -> Iterator[Connection]:
        yield connection

    for module in (options, status, upkeep):
        monkeypatch.setattr(module, "connect", connect)
    for module in (status, upkeep):
        monkeypatch.setattr(module, "running_url", lambda _data_dir: LOCAL)

    def asking(*arguments: str | Path, stdin: str = "") -> tuple[int, Any]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        words = [str(argument) for argument in arguments]
        human = (
            run(words) if arguments[0] in ("status", "check", "sync") and "export" not in arguments else None
        )
        capsys.readouterr()
        code = run([*words, "--json"])
        shown = capsys.readouterr()
        assert human in (None, code)
        return code, json.loads(shown.out or shown.err.splitlines()[-1])

    return asking


def error_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def write(path: Path, brightness: int, salt: int) -> Path:
    path.write_bytes(png(brightness, salt=salt))
    return path
