"""A real daemon in a process of its own, for the benchmarks that measure it from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from edge_agent.listening import listening


@dataclass(frozen=True, slots=True)
class Daemon:
    """`ready_s` seconds from starting the process to the first good answer of /health/ready."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    ready_s: float

    def family(self) -> list[psutil.Process]:
        """The daemon and its inference processes."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def daemon(data_dir: Path) -> Iterator[Daemon]:
    """`edge-agent run` on the directory, with a client that holds its install token."""
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    settings = {
        "EDGE_AGENT_PORT": str(port),
        "EDGE_AGENT_MIN_FREE_BYTES": "0",
        "EDGE_AGENT_REVIEW_SHARE": "0",
    }
    command = [sys.executable, "-m", "edge_agent.cli", "--data-dir", str(data_dir), "run"]
    started = time.perf_counter()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=quiet, stderr=quiet)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(client, process)
            ready_s = time.perf_counter() - started
            token = (data_dir / "run" / "install-token").read_text("ascii")
            client.headers["Authorization"] = f"Bearer {token}"
            yield Daemon(process, client, ready_s)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            if client.get("/health/ready").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            if process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {process.returncode}") from None
        time.sleep(0.005)
