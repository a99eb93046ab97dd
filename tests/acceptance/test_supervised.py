"""The agent under a service manager: it says when it is ready, alive and stopping, and stops in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.lock import is_running
from tests.waiting import WAIT_S

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no sd_notify on Windows")
WATCHDOG_USEC = "400000"


@contextmanager
def notified(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(WAIT_S)
        yield listener


def wait_for(listener: socket.socket, message: str) -> list[str]:
    """Every message up to and with the one waited for."""
    heard: list[str] = []
    while message not in heard:
        heard.append(listener.recv(256).decode())
    return heard


def test_systemd_hears_ready_alive_and_stopping(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": WATCHDOG_USEC,
        "EDGE_AGENT_PORT": "0",
    }
    command = [sys.executable, "-m", "edge_agent.cli", "--data-dir", str(data_dir), "run"]
    with notified(tmp_path / "notify") as listener:
        agent = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            assert [one for one in wait_for(listener, "READY=1") if one != "WATCHDOG=1"] == ["READY=1"]
            for _ in range(2):
                assert wait_for(listener, "WATCHDOG=1")
            agent.send_signal(signal.SIGTERM)
            assert set(wait_for(listener, "STOPPING=1")) <= {"WATCHDOG=1", "STOPPING=1"}
            _, errors = agent.communicate(timeout=WAIT_S)
        finally:
            agent.kill()
    assert agent.returncode == 0, errors.decode()
    assert not is_running(data_dir)
    assert not (data_dir / "run" / "agent.json").exists()
    assert not (data_dir / "edge.db-wal").exists(), "the database was not closed"
