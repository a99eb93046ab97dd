"""The port: the agent as a process that others reach, supervise and stop.

Rules of this file:
- The port is taken before anything slow starts, and announced (`run/agent.json`) only when it answers.
- systemd is told when the agent is ready, alive and stopping; elsewhere the same calls do nothing.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn

from edge_agent.api.app import create_app
from edge_agent.clock import Clock
from edge_agent.config import Config, Supervisor, read_supervisor
from edge_agent.daemon import running_services
from edge_agent.errors import Busy


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
        settings = uvicorn.Config(
            create_app(services),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )

        def ready() -> None:
            announce(config.data_dir, url)
            notify(supervisor, "READY=1")
            on_ready(url)

        stack.callback(
            notify, supervisor, "STOPPING=1"
        )  # also when a signal ends it: uvicorn raises it again
        stack.callback(withdraw, config.data_dir)
        stack.enter_context(watchdog(supervisor))
        _Server(settings, ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, settings: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(settings)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The open port. Raises Busy (`port-taken`)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise Busy(
                f"Port {port} on {host} cannot be opened ({error.strerror}).",
                code="port-taken",
                hint="Stop the program that uses it, or set another `port` in config.toml.",
            ) from None
        yield listener


def url_of(host: str, port: int) -> str:
    """How this machine's own programs reach an agent that listens on `host`."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def announce(data_dir: Path, url: str) -> None:
    """Tells the CLI where this agent answers."""
    path = data_dir / "run" / "agent.json"
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"pid": os.getpid(), "url": url}), "utf-8")
    os.replace(partial, path)


def withdraw(data_dir: Path) -> None:
    (data_dir / "run" / "agent.json").unlink(missing_ok=True)


def notify(supervisor: Supervisor, state: str) -> None:
    """One line to the service manager (sd_notify protocol)."""
    if supervisor.notify_socket is None:
        return
    address = supervisor.notify_socket.replace("@", "\0", 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)


@contextmanager
def watchdog(supervisor: Supervisor) -> Iterator[None]:
    """Says "alive" twice in every watchdog interval while the block runs."""
    if supervisor.watchdog_s is None:
        yield
        return
    stop = threading.Event()
    interval_s = supervisor.watchdog_s / 2

    def beat() -> None:
        while not stop.wait(interval_s):
            notify(supervisor, "WATCHDOG=1")

    thread = threading.Thread(target=beat, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
