"""Kept connections: one that the other side has closed costs nothing but a second attempt."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from central_server.heads import LONGEST_LINE_BYTES, MOST_LINES, Heads


class Answering(BaseHTTPRequestHandler):
    """Closes every connection after `answers_each` answers, and says so only if `tells`."""

    protocol_version = "HTTP/1.1"
    answers_each = 0
    tells = False
    opened: list[int]

    def setup(self) -> None:
        super().setup()
        self.opened.append(0)
        self.left = self.answers_each

    def do_HEAD(self) -> None:
        self.left -= 1
        self.send_response(200 if self.path.startswith("/there") else 404)
        self.send_header("Content-Length", "7")
        self.send_header("Connection", "close" if self.tells and not self.left else "keep-alive")
        self.end_headers()
        self.close_connection = not self.left

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(each: int, *, tells: bool = False) -> Iterator[tuple[Heads, list[int]]]:
    opened: list[int] = []
    handler = type("Handler", (Answering,), {"answers_each": each, "tells": tells, "opened": opened})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        heads = Heads(f"http://127.0.0.1:{server.server_port}")
        try:
            yield heads, opened
        finally:
            heads.close()
            server.shutdown()
            thread.join()


def ask(heads: Heads, path: str) -> tuple[int, str | None]:
    status, headers = heads.ask(path, {"X-Any": "1"})
    return status, headers["content-length"]


def test_one_connection_serves_one_question_after_the_other() -> None:
    with answering(9) as (heads, opened):
        assert [ask(heads, path) for path in ("/there?a=1", "/else", "/there")] == [
            (200, "7"),
            (404, "7"),
            (200, "7"),
        ]
    assert len(opened) == 1


@pytest.mark.parametrize("tells", [True, False])
def test_a_connection_that_was_closed_meanwhile_is_replaced(tells: bool) -> None:
    with answering(1, tells=tells) as (heads, opened):
        assert [ask(heads, "/there") for _ in range(3)] == [(200, "7")] * 3
    assert len(opened) == 3


def test_who_is_not_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        heads = Heads(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConnectionRefusedError):
            ask(heads, "/there")


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"


@contextmanager
def saying(answer: bytes) -> Iterator[Heads]:
    """A server that says this to one question and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as reader:
                while reader.readline().strip():
                    pass
                connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        heads = Heads(f"http://127.0.0.1:{listening.getsockname()[1]}")
        try:
            yield heads
        finally:
            heads.close()
            thread.join()


def test_what_only_announces_an_answer_is_none() -> None:
    with saying(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + GOOD) as heads:
        assert ask(heads, "/there") == (200, "7")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        GOOD[:-2],
        GOOD[:-9],
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * LONGEST_LINE_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * MOST_LINES + b"\r\n",
    ],
    ids=["nothing", "another protocol", "no end", "half a line", "a long line", "many lines"],
)
def test_what_is_no_whole_answer_is_an_error(answer: bytes) -> None:
    with saying(answer) as heads, pytest.raises(OSError, match=r"answer|reset"):
        ask(heads, "/there")
