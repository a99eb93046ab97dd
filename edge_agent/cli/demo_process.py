"""The demo's servers as processes of their own: started, waited for, ended with the demo."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_agent.errors import Unavailable

STOP_S = 30.0


@contextmanager
def running(command: Sequence[str], log_path: Path, name: str) -> Iterator[str]:
    """The server while the block runs; its URL. `command` prints a JSON line once it answers.

    Raises Unavailable (`demo-not-started`).
    """
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours; the server is then told to end in order
        )
    try:
        yield ready_url(process, log_path, name)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def ready_url(process: subprocess.Popen[bytes], log_path: Path, name: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Unavailable(
            f"The {name} did not start: {last_line(log_path)}",
            code="demo-not-started",
            hint=f"Look into {log_path}, or run `edge-agent doctor`.",
        )
    return str(json.loads(line)["url"])


def last_line(path: Path) -> str:
    with suppress(OSError):
        return (path.read_text("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
    return "no message"
