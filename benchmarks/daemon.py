"""A real daemon in a process of its own, for the benchmarks that measure it from outside."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.acceptance import program

SETTINGS = "min_free_bytes = 0\nreview_share = 0.0\n"


@dataclass(frozen=True, slots=True)
class Daemon:
    """`ready_s` seconds from starting the process to the first good answer of /health/ready."""

    process: subprocess.Popen[str]
    client: httpx.Client
    ready_s: float

    def family(self) -> list[psutil.Process]:
        """The daemon and its inference processes."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def daemon(data_dir: Path) -> Iterator[Daemon]:
    """`edge-agent run` on the directory, with a client that holds its install token."""
    (data_dir / "config.toml").write_text(SETTINGS, "utf-8")
    started_s = time.perf_counter()
    with program.daemon(data_dir) as running, httpx.Client(base_url=running.url, timeout=60) as client:
        wait_until_ready(client)
        ready_s = time.perf_counter() - started_s
        token = (data_dir / "run" / "install-token").read_text("ascii")
        client.headers["Authorization"] = f"Bearer {token}"
        try:
            yield Daemon(running.process, client, ready_s)
        finally:
            running.terminate()


def wait_until_ready(client: httpx.Client) -> None:
    while client.get("/health/ready").status_code != httpx.codes.OK:
        time.sleep(0.005)
