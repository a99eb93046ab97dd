"""The installed central server: started on an empty directory, asked, killed, started again, stopped."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from edge_agent.clock import Clock
from sync_protocol.messages import EnrollReply, HelloReply
from sync_protocol.wire import pack, read, unpack, write
from tests.acceptance import program
from tests.acceptance.program import Daemon
from tests.central.caller import SEALED, enrol_request, hello_request

PROGRAM = program.PROGRAM.with_name("central-server")
UNAVAILABLE, NOT_FOUND, BAD_INPUT = 7, 4, 3
CLOCK = Clock()
T = TypeVar("T")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that `nobody`, who the embedded servers run as under root, may pass through."""
    made = Path(tempfile.mkdtemp(prefix="central-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def ask(place: Path, *arguments: str) -> tuple[int, Any]:
    done = program.command(place / "data", *arguments, "--json", program=PROGRAM)
    return done.returncode, json.loads(done.stdout or done.stderr)


def server(place: Path, *arguments: str) -> Any:
    return program.daemon(place / "data", *arguments, program=PROGRAM)


def children_of(daemon: Daemon) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(daemon.process.pid).children(recursive=True)
    return found


def post(daemon: Daemon, path: str, document: bytes, token: str = "none") -> bytes:
    headers = SEALED | {"Authorization": f"Bearer {token}"}
    answer = httpx.post(
        f"{daemon.url}/api/v1{path}", content=pack(document), headers=headers, timeout=program.WAIT_S
    )
    assert answer.status_code == 200, answer.text
    return unpack(answer.content, "")


def test_a_server_is_started_used_killed_and_started_again(place: Path) -> None:
    device, incarnation = CLOCK.new_id(), CLOCK.new_id()
    hello = write(hello_request(device, incarnation))
    with server(place) as first:
        ready = httpx.get(f"{first.url}/health/ready", timeout=program.WAIT_S)
        assert ready.json() == {"status": "ready"}
        code, issued = ask(place, "device", "code", "--site", "Plant 1")
        assert code == 0
        reply = read(
            EnrollReply, post(first, "/devices/enroll", write(enrol_request(device, issued["code"])))
        )
        before = read(HelloReply, post(first, "/sync/hello", hello, reply.token))
        assert_nothing_is_open_to_others(place / "data")
        started = children_of(first)
        assert {name for child in started for name in said(child.name)} >= {"postgres", "weed"}
        if os.geteuid() == 0:
            assert {name for child in started for name in said(child.username)} == {"nobody"}
        assert loopback_only(started)
        first.kill()
        _, alive = psutil.wait_procs(started, timeout=program.WAIT_S)
        assert alive == []
    assert ask(place, "status")[0] == UNAVAILABLE
    with server(place) as second:
        after = read(HelloReply, post(second, "/sync/hello", hello, reply.token))
        assert after.server_epoch == before.server_epoch
        assert after.server_epoch != ask(place, "epoch", "renew", "--yes")[1]["server_epoch"]
        code, document = ask(place, "device", "list")
        assert [one["state"] for one in document["devices"]] == ["enrolled"]
        assert ask(place, "device", "revoke", device)[0] == 0
        assert ask(place, "device", "revoke", "nobody")[0] == NOT_FOUND
        assert ask(place, "migrate") == (0, {"applied": []})
        assert ask(place, "status")[1]["devices_revoked"] == 1
        code, refused = ask(place, "run", "--port", "0")
        assert (code, refused["error"]["code"]) == (UNAVAILABLE, "already-running")
        started = children_of(second)
        assert second.terminate() == 0
        assert psutil.wait_procs(started, timeout=0)[1] == []


def assert_nothing_is_open_to_others(data_dir: Path) -> None:
    secrets = [data_dir / "secrets", data_dir / "run", data_dir / "postgresql", data_dir / "objects"]
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in secrets] == [0] * len(secrets)


def said(ask: Callable[[], T]) -> list[T]:
    """What a process says of itself; nothing of one that has ended: PostgreSQL's own come and go."""
    try:
        return [ask()]
    except psutil.NoSuchProcess:
        return []


def loopback_only(processes: list[psutil.Process]) -> bool:
    listening = [
        connection.laddr.ip
        for process in processes
        for connections in said(partial(process.net_connections, "inet"))
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
    ]
    return bool(listening) and set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("setting", "word"),
    [("CENTRAL_SERVER_HOST=0.0.0.0", "tls_certificate"), ("CENTRAL_SERVER_TLS_KEY=/k", "go together")],
)
def test_unsafe_settings_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, word: str
) -> None:
    name, value = setting.split("=")
    monkeypatch.setenv(name, value)
    code, document = ask(tmp_path, "run", "--port", "0")
    assert (code, document["error"]["code"]) == (BAD_INPUT, "bad-settings")
    assert word in str(document["error"]["problems"])


def test_a_wrong_database_is_named(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:9/none"
    code, document = ask(
        tmp_path, "run", "--port", "0", "--database-url", url, "--s3-endpoint", "http://[::1]:9"
    )
    assert (code, document["error"]["code"]) == (UNAVAILABLE, "database-unavailable")
