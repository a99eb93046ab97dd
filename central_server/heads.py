"""Questions without a body to one HTTP server, over connections that are kept.

Rules of this file:
- The standard library's client and nothing around it: asked once for every image, a general one costs three times the
  processor time.
- A kept connection may have been closed by the other side meanwhile: what fails on one is asked once more on a new one.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from queue import Empty, LifoQueue
from urllib.parse import urlsplit

CONNECT_S, ANSWER_S = 3.0, 60.0


class Heads:
    """HEAD requests to the server at `url`, from any number of threads. Raises OSError, HTTPException."""

    def __init__(self, url: str, ca_file: str = "") -> None:
        self._place = urlsplit(url)
        is_tls = self._place.scheme == "https"
        self._tls = ssl.create_default_context(cafile=ca_file or None) if is_tls else None
        self._idle: LifoQueue[HTTPConnection] = LifoQueue()

    def ask(self, target: str, headers: Mapping[str, str]) -> tuple[int, HTTPMessage]:
        """Status and headers of the answer; `target`: path and query."""
        try:
            kept = self._idle.get_nowait()
        except Empty:
            return self._on(self._fresh(), target, headers)
        try:
            return self._on(kept, target, headers)
        except TimeoutError:
            raise
        except (OSError, HTTPException):
            return self._on(self._fresh(), target, headers)

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get().close()

    def _fresh(self) -> HTTPConnection:
        host, port = self._place.hostname or "", self._place.port
        made = (
            HTTPConnection(host, port, timeout=CONNECT_S)
            if self._tls is None
            else HTTPSConnection(host, port, timeout=CONNECT_S, context=self._tls)
        )
        made.connect()
        made.sock.settimeout(ANSWER_S)
        return made

    def _on(
        self, connection: HTTPConnection, target: str, headers: Mapping[str, str]
    ) -> tuple[int, HTTPMessage]:
        try:
            connection.request("HEAD", target, headers=dict(headers))
            answer = connection.getresponse()
            answer.read()  # nothing, but only then may the connection be used again
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.put(connection)
        return answer.status, answer.headers
