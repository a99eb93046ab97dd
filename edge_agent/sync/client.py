"""The HTTP client by which the central server and its object store are reached.

Rules of this file:
- Only encrypted addresses, but for this machine itself; only trusted certificates.
- Who closes the client never waits for the other end.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import httpx

from edge_agent.errors import BadInput

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CONNECT_S, ANSWER_S = 5.0, 30.0
KEPT_IDLE_S = 90.0  # less than the server keeps a connection, so that it is never closed while we write


class _Breakable(httpx.Client):
    """Its `close` ends the requests under way too: nobody waits for an answer that may never come.

    Closing a socket does not wake the thread that reads from it; shutting it down does.
    """

    def __init__(self, **settings: Any) -> None:
        self._streams: WeakSet[Any] = WeakSet()
        self._is_ending, self._lock = False, threading.Lock()
        super().__init__(**settings, event_hooks={"request": [self._traced]})

    @property
    def is_closed(self) -> bool:
        return self._is_ending or super().is_closed

    def close(self) -> None:
        with self._lock:
            self._is_ending = True
            streams = tuple(self._streams)
        for stream in streams:
            with suppress(OSError):  # it has ended by itself
                socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)
        super().close()

    def _traced(self, request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": self._heard}

    def _heard(self, event: str, facts: Mapping[str, Any]) -> None:
        with self._lock:
            if self._is_ending:
                raise RuntimeError("the client is being closed")
            if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
                self._streams.add(facts["return_value"])


def open_client(base_url: str, ca_file: Path | None = None) -> httpx.Client:
    """A client that trusts the public authorities and, if given, those in `ca_file` (PEM). Closing it breaks off the
    requests under way (`link-closed`).

    Proxies of the environment are asked, except for this machine itself. Raises BadInput (`ca-file-unusable`).
    """
    is_local = is_loopback(base_url)
    return _Breakable(
        verify=_trust(ca_file),
        trust_env=not is_local,
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=KEPT_IDLE_S),
    )


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK


def server_url(text: str) -> str:
    """The server's address without a trailing slash. Raises BadInput (`server-url-invalid`, `tls-required`)."""
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_usable = is_usable and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise BadInput(
            f"{text!r} is not a server's address.",
            code="server-url-invalid",
            hint="Give it as https://HOST or https://HOST:PORT.",
        )
    if parts.scheme == "http" and not is_loopback(url):
        raise BadInput(
            f"{url} is not encrypted.",
            code="tls-required",
            hint="Use https://; for a private certificate authority set `central_ca_file`.",
        )
    return url


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise BadInput(
                f"The certificates in {ca_file} cannot be used ({error}).",
                code="ca-file-unusable",
                hint="Let `central_ca_file` name a readable PEM file.",
            ) from None
    return context
