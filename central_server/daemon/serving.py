"""The port: the server as a process that devices reach and a service manager supervises.

Rules of this file:
- The port is taken and the certificate looked at before anything slow starts; the port is announced, and systemd told,
  only when it answers.
- The caller makes SIGTERM an exception: uvicorn raises the signal again when it is done, and its default would kill
  the process before the embedded servers are stopped.
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import ExitStack

import uvicorn
from fastapi import FastAPI

from central_server.api.app import create_app
from central_server.config import Config, notify_socket
from central_server.daemon.backends import announced, backends
from central_server.daemon.building import built, scheduled
from edge_agent import heap
from edge_agent.clock import Clock
from edge_agent.errors import BadInput
from edge_agent.listening import listening, notify, url_of

GRACE_S = 10
# More than a device keeps an idle connection: it must not write to one that is being closed.
KEEP_ALIVE_S = 120
OTHER_FILES = 1000


def serve(config: Config, clock: Clock, on_ready: Callable[[str], None]) -> None:
    """Runs the server until SIGINT or SIGTERM; `on_ready(url)` is called once it answers.

    Raises Unavailable, BadInput (`certificate-unusable`), and Busy (`port-taken`, `already-running`).
    """
    require_certificate(config)
    allow_files(2 * config.max_listeners + OTHER_FILES)  # who waits has another connection besides
    manager = notify_socket()
    with ExitStack() as stack:
        listener = stack.enter_context(listening(config.host, config.port))
        url = url_of(config.host, listener.getsockname()[1])
        if config.tls_certificate is not None:
            url = url.replace("http:", "https:", 1)
        found = stack.enter_context(backends(config, clock))
        services = stack.enter_context(built(config, clock, found))
        stack.enter_context(scheduled(services))

        def ready() -> None:
            stack.enter_context(announced(config, found, url))
            notify(manager, "READY=1")
            on_ready(url)

        def release() -> None:
            notify(manager, "STOPPING=1")
            services.waiting.close()  # else every device that waits would cost the grace time

        server = _Server(create_app(services), config, ready, release)
        heap.started()
        server.run(sockets=[listener])


def allow_files(wanted: int) -> None:
    """Lets this process have that many files and connections open, as far as the system lets it: where the limit is
    the usual 1,024, a few hundred devices would be all that can connect."""
    if sys.platform != "win32":  # there it has no limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def require_certificate(config: Config) -> None:
    """Raises BadInput (`certificate-unusable`) when TLS is wanted and could not begin."""
    if config.tls_certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            config.tls_certificate, config.tls_key, password=""
        )
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            f"{config.tls_certificate} and {config.tls_key} cannot be used for TLS ({error}).",
            code="certificate-unusable",
            hint="Let `tls_certificate` and `tls_key` name readable PEM files that belong together; the key has no "
            "password.",
        ) from None


class _Server(uvicorn.Server):
    def __init__(
        self, app: FastAPI, config: Config, ready: Callable[[], None], release: Callable[[], None]
    ) -> None:
        settings = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=KEEP_ALIVE_S,
            ssl_certfile=config.tls_certificate,
            ssl_keyfile=config.tls_key,
        )
        super().__init__(settings)
        self._ready, self._release = ready, release

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._release()
        await super().shutdown(sockets)
