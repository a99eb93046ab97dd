"""The port a server listens on, and the service manager that supervises it.

Rules of this file:
- The port is taken before anything slow starts.
- systemd is told when the server is ready, alive and stopping; elsewhere the same calls do nothing.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from edge_agent.errors import Busy


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The open port. Raises Busy (`port-taken`).

    The protocol is named because asyncio switches Nagle's delay off only where it is: 40 ms a reply.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
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


@contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """Different free ones. While the block runs the system gives them to nobody else; a child that is told their
    numbers may listen on them. Where two sockets cannot share a port (not Linux), they are let go at once."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
            # only now: before the bind it would let the system choose a port that somebody else holds like this
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ports = [int(one.getsockname()[1]) for one in sockets]
        if sys.platform != "linux":
            held.close()
        yield ports


def url_of(host: str, port: int) -> str:
    """How this machine's own programs reach a server that listens on `host`."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def notify(notify_socket: str | None, state: str) -> None:
    """One line to the service manager (sd_notify protocol)."""
    if notify_socket is None:
        return
    address = notify_socket.replace("@", "\0", 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)
