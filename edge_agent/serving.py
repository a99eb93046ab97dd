"""The port: the agent as a process that others reach, supervise and stop.

Rules of this file:
- The port is taken before anything slow starts, and announced (`run/agent.json`) only when it answers.
- systemd is told when the agent is ready, alive and stopping; elsewhere the same calls do nothing.
- The caller makes SIGTERM an exception: uvicorn raises the signal again when it is done, and its default
  would kill the process before the database is closed.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from edge_agent import heap
from edge_agent.api.app import create_app
from edge_agent.clock import Clock
from edge_agent.config import Config, Supervisor, read_supervisor
from edge_agent.daemon import running_services
from edge_agent.listening import listening, notify, url_of

# More than browsers keep an idle connection (five minutes): none must write to one that is being closed.
KEEP_ALIVE_S = 600


def serve(config: Config, clock: Clock, on_ready: Callable[[str], None]) -> None:
    """Runs the agent until SIGINT or SIGTERM; `on_ready(url)` is called once it answers.

    Raises as `running_services`, and Busy (`port-taken`).
    """
    supervisor = read_supervisor()
    with ExitStack() as stack:
        listener = stack.enter_context(listening(config.host, config.port))
        services = stack.enter_context(running_services(config, clock))
        stack.enter_context(services.scheduled())
        url = url_of(config.host, listener.getsockname()[1])

        def ready() -> None:
            announce(config.data_dir, url)
            notify(supervisor.notify_socket, "READY=1")
            on_ready(url)

        stack.callback(withdraw, config.data_dir)
        server = _Server(create_app(services), supervisor, clock, ready)
        heap.started()
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Tells the service manager how it is. Signs of life come from the loop that answers requests: if that
    hangs, they stop and the agent is started again."""

    def __init__(self, app: FastAPI, supervisor: Supervisor, clock: Clock, ready: Callable[[], None]) -> None:
        settings = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        super().__init__(settings)
        self._app = app
        self._supervisor, self._clock, self._ready = supervisor, clock, ready
        self._next_beat_s = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; twice in every watchdog interval it says "alive"."""
        interval_s, now_s = self._supervisor.watchdog_s, self._clock.monotonic()
        if interval_s is not None and now_s >= self._next_beat_s:
            notify(self._supervisor.notify_socket, "WATCHDOG=1")
            self._next_beat_s = now_s + interval_s / 2
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify(self._supervisor.notify_socket, "STOPPING=1")
        self._app.state.streams.close()  # else every open window would cost the grace time
        await super().shutdown(sockets)


def announce(data_dir: Path, url: str) -> None:
    """Tells the CLI where this agent answers."""
    path = data_dir / "run" / "agent.json"
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"pid": os.getpid(), "url": url}), "utf-8")
    os.replace(partial, path)


def withdraw(data_dir: Path) -> None:
    (data_dir / "run" / "agent.json").unlink(missing_ok=True)
