"""Questions without a body to one HTTP server, over connections that are kept.

Rules of this file:
- Sockets and nothing around them: asked once for every image, where an HTTP client costs several times the processor
  time. An answer to HEAD ends with its headers, so there is nothing to an answer but lines.
- A kept connection may have been closed by the other side meanwhile: what fails on one is asked once more on a new one.
- Nothing is read without a limit.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from queue import Empty, LifoQueue
from urllib.parse import urlsplit

CONNECT_S, ANSWER_S = 3.0, 60.0
LONGEST_LINE_BYTES, MOST_LINES = 16 << 10, 100
STATUS = re.compile(r"HTTP/1\.[01] (\d{3})(?: |$)")


@dataclass(frozen=True, slots=True)
class _Connection:
    socket: socket.socket
    reader: BufferedReader

    def close(self) -> None:
        self.reader.close()
        self.socket.close()


class Heads:
    """HEAD requests to the server at `url`, from any number of threads. Raises OSError."""

    def __init__(self, url: str, ca_file: str = "") -> None:
        place = urlsplit(url)
        is_tls = place.scheme == "https"
        self._address = (place.hostname or "", place.port or (443 if is_tls else 80))
        self._tls = ssl.create_default_context(cafile=ca_file or None) if is_tls else None
        self._idle: LifoQueue[_Connection] = LifoQueue()

    def ask(self, target: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        """Status and headers (names in small letters) of the answer; `target`: path and query. `headers` name the
        host."""
        said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        question = f"HEAD {target} HTTP/1.1\r\n{said}\r\n".encode("latin-1")
        try:
            kept = self._idle.get_nowait()
        except Empty:
            return self._on(self._fresh(), question)
        try:
            return self._on(kept, question)
        except TimeoutError:
            raise
        except OSError:
            return self._on(self._fresh(), question)

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get().close()

    def _fresh(self) -> _Connection:
        made = socket.create_connection(self._address, CONNECT_S)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                made = self._tls.wrap_socket(made, server_hostname=self._address[0])
            made.settimeout(ANSWER_S)
        except BaseException:
            made.close()
            raise
        return _Connection(made, made.makefile("rb"))

    def _on(self, connection: _Connection, question: bytes) -> tuple[int, dict[str, str]]:
        try:
            connection.socket.sendall(question)
            status, headers = _answer(connection.reader)
            while status < 200:  # 100 and the like announce another
                status, headers = _answer(connection.reader)
        except BaseException:
            connection.close()
            raise
        if headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._idle.put(connection)
        return status, headers


def _answer(reader: BufferedReader) -> tuple[int, dict[str, str]]:
    found = STATUS.match(_line(reader))
    if found is None:
        raise OSError("the answer is not HTTP/1")
    headers: dict[str, str] = {}
    for _ in range(MOST_LINES):
        line = _line(reader)
        if not line:
            return int(found[1]), headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise OSError(f"the answer has more than {MOST_LINES} headers")


def _line(reader: BufferedReader) -> str:
    line = reader.readline(LONGEST_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise OSError("the connection ended in the middle of an answer, or a header is too long")
    return line.decode("latin-1").rstrip("\r\n")
