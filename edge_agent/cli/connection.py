"""How a command reaches the agent: over its API, whether it runs or not.

Rules of this file:
- While the daemon runs, commands are requests to it: only the daemon writes to the database.
- While it does not, the same requests go to the same API built inside the command's own process, which holds
  the data directory's lock meanwhile. There is one implementation of every command.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.errors import AgentError, Problem, Unavailable

if TYPE_CHECKING:
    import httpx

EXIT_CODES = {401: 6, 403: 6, 404: 4, 409: 5, 503: 7}
LOCAL = "http://localhost"


class Refused(AgentError):
    """The agent's own answer to a command: a problem document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        super().__init__(detail, code=str(problem.get("code", "unknown")), hint=str(problem.get("hint", "")))
        self.problem = problem
        self.exit_status = int(problem.get("exit_code") or EXIT_CODES.get(status, 3 if status < 500 else 1))

    @property
    def problems(self) -> list[str]:
        """The faults of a definition, each with its place."""
        return [str(Problem(**found)) for found in self.problem.get("problems") or []]


@dataclass(frozen=True, slots=True)
class Connection:
    """An open way to the agent. `is_daemon`: it runs; else its parts run inside this process."""

    client: httpx.Client
    is_daemon: bool

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer of GET /api/v1PATH; None parameters are left out. Raises Refused."""
        wanted = {name: value for name, value in params.items() if value is not None}
        return self.send("GET", path, params=wanted)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.send("POST", path, **({"json": body} if body is not None else {}), **more)

    def send(self, method: str, path: str, **more: Any) -> Any:
        """Any request; the parsed JSON answer, or the bytes if it is something else. Raises Refused."""
        response = self.client.request(method, f"/api/v1{path}", **more)
        if response.is_error:
            raise Refused(response.status_code, _problem(response))
        if response.headers.get("content-type", "").startswith("application/json"):
            return response.json()
        return response.content


@contextmanager
def connect(data_dir: Path | None) -> Iterator[Connection]:
    """The daemon of the data directory if it runs, else the agent's parts in this process.

    Raises Unavailable, Damaged, Busy as the start of the agent would.
    """
    import httpx

    from edge_agent.config import load_config

    config = load_config(data_dir)
    running = _running(config.data_dir)
    if running is not None:
        headers = _headers(config.data_dir)
        with httpx.Client(base_url=running, headers=headers, timeout=httpx.Timeout(300, connect=5)) as client:
            yield Connection(client, is_daemon=True)
        return
    from edge_agent.api.app import create_app
    from edge_agent.cli.in_process import in_process
    from edge_agent.clock import Clock
    from edge_agent.daemon import running_services

    with running_services(config, Clock()) as services, asyncio.Runner() as runner:
        transport = in_process(create_app(services), runner)
        with httpx.Client(base_url=LOCAL, headers=_headers(config.data_dir), transport=transport) as client:
            yield Connection(client, is_daemon=False)


def daemon_url(data_dir: Path) -> str:
    """Where the running daemon answers. Raises Unavailable (`not-running`)."""
    url = _running(data_dir)
    if url is None:
        raise Unavailable(
            f"No agent is running on {data_dir}.", code="not-running", hint="Start it with `edge-agent run`."
        )
    return url


def _running(data_dir: Path) -> str | None:
    import httpx

    try:
        url = str(json.loads((data_dir / "run" / "agent.json").read_text("utf-8"))["url"])
        httpx.get(f"{url}/health/live", timeout=5).raise_for_status()
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return None
    return url


def _headers(data_dir: Path) -> dict[str, str]:
    token = (data_dir / "run" / "install-token").read_text("utf-8").strip()
    return {"Authorization": f"Bearer {token}", "Accept-Language": "en"}


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
