"""How a command reaches the agent: over its API, whether it runs or not.

Rules of this file:
- While the daemon runs, commands are requests to it: only the daemon writes to the database.
- While it does not, the same requests go to the same API built inside the command's own process, which holds
  the data directory's lock meanwhile. There is one implementation of every command.
- The token goes only to a process that holds the data directory: whoever took the port of an agent that
  crashed never sees it. No proxy is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edge_agent.cli.language import spoken
from edge_agent.errors import AgentError, Denied, Problem, Unavailable
from edge_agent.messages import Message

if TYPE_CHECKING:
    import httpx

    from edge_agent.config import Config

EXIT_CODES = {401: 6, 403: 6, 404: 4, 409: 5, 503: 7}
LOCAL = "http://localhost"
ANSWER_S = 60.0
CONNECT_S = 5.0
ALIVE_S = 20.0
"""Within this an agent answers that lives, whatever else its machine has to do."""


class Refused(AgentError):
    """The agent's own answer to a command: a problem document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        super().__init__(detail, code=str(problem.get("code", "unknown")), hint=str(problem.get("hint", "")))
        self.problem = problem
        self.exit_status = int(problem.get("exit_code") or EXIT_CODES.get(status, 3 if status < 500 else 1))

    @property
    def message(self) -> Message:
        """In the language that was asked for."""
        return Message(str(self.problem.get("title", "")), self.hint_)

    @property
    def problems(self) -> list[str]:
        """The faults of a definition, each with its place."""
        return [str(Problem(**found)) for found in self.problem.get("problems") or []]


@dataclass(frozen=True, slots=True)
class Connection:
    """An open way to the agent. `is_daemon`: it runs; else its parts run inside this process."""

    client: httpx.Client
    is_daemon: bool
    token: str

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer of GET /api/v1PATH; None parameters are left out. Raises as `send`."""
        wanted = {name: value for name, value in params.items() if value is not None}
        return self.send("GET", path, params=wanted)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.send("POST", path, **({"json": body} if body is not None else {}), **more)

    def send(self, method: str, path: str, *, answer_s: float | None = ANSWER_S, **more: Any) -> Any:
        """Any request; the parsed JSON answer, or the bytes if it is something else (or nothing).

        `answer_s` None: it may take as long as it takes. Raises Refused, Unavailable (`agent-unreachable`).
        """
        import httpx

        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        timeout = httpx.Timeout(answer_s, connect=CONNECT_S)
        try:
            response = self.client.request(method, f"/api/v1{path}", headers=headers, timeout=timeout, **more)
        except httpx.HTTPError as error:
            raise unreachable(error) from None
        if response.is_error:
            raise Refused(response.status_code, _problem(response))
        if response.content and response.headers.get("content-type", "").startswith("application/json"):
            return response.json()
        return response.content

    @contextmanager
    def logged_in(self, username: str, password: str) -> Iterator[Connection]:
        """The same way as a person, for the time of the block. Raises Refused."""
        login = self.post("/auth/login", {"username": username, "password": password})
        personal = replace(self, token=str(login["token"]))
        try:
            yield personal
        finally:
            personal.post("/auth/logout")


@contextmanager
def connect(config: Config) -> Iterator[Connection]:
    """The daemon of the data directory if it runs, else the agent's parts in this process.

    Raises Unavailable, Damaged, Busy as the start of the agent would.
    """
    url = running_url(config.data_dir)
    if url is not None:
        with open_client(url) as client:
            yield Connection(client, True, _token(config.data_dir))
        return
    import asyncio

    import httpx

    from edge_agent.api.app import create_app
    from edge_agent.cli.in_process import in_process
    from edge_agent.clock import Clock
    from edge_agent.daemon import running_services

    with running_services(config, Clock()) as services, asyncio.Runner() as runner:
        transport = in_process(create_app(services), runner)
        with httpx.Client(base_url=LOCAL, headers=wishes(), transport=transport) as client:
            yield Connection(client, False, services.install_token)


def wishes() -> dict[str, str]:
    """The headers of every request."""
    return {"Accept-Language": spoken()}


def open_client(url: str) -> httpx.Client:
    """A client for the agent at `url`, past any proxy the environment names."""
    import httpx

    return httpx.Client(base_url=url, headers=wishes(), trust_env=False)


def running_url(data_dir: Path) -> str | None:
    """Where the agent that holds the data directory answers; None if there is none that does."""
    import httpx

    from edge_agent.lock import is_running

    try:
        url = str(json.loads((data_dir / "run" / "agent.json").read_text("utf-8"))["url"])
        if not is_running(data_dir):
            return None
        with open_client(url) as client:
            client.get("/health/live", timeout=ALIVE_S).raise_for_status()
    except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError, httpx.InvalidURL):
        return None
    return url


def quoted(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def unreachable(error: Exception) -> Unavailable:
    return Unavailable(
        f"The agent did not answer ({type(error).__name__}).",
        code="agent-unreachable",
        hint="Look at `edge-agent status`; what was sent may have been done all the same.",
    )


def _token(data_dir: Path) -> str:
    try:
        return (data_dir / "run" / "install-token").read_text("utf-8").strip()
    except OSError as error:
        raise Denied(
            f"The install token cannot be read ({error.strerror}).",
            code="token-unreadable",
            hint="Run the command as the user that runs the agent.",
        ) from None


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
