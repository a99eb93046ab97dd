"""The installed program as people and service managers start it.

Rules of this file:
- Everything is a process; nothing of the agent is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).parent / "edge-agent"
WAIT_S = 180  # what a command may take on a machine with much else to do


@dataclass
class Daemon:
    process: subprocess.Popen[str]
    url: str

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(WAIT_S)

    def kill(self) -> None:
        """SIGKILL: no chance to write anything."""
        self.process.kill()
        self.process.wait(WAIT_S)


def command(
    data_dir: Path, *arguments: str | Path, stdin: str = "", program: Path = PROGRAM
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "--data-dir", data_dir, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def ask(data_dir: Path, *arguments: str | Path, stdin: str = "") -> tuple[int, Any]:
    """Exit code and the document printed: the answer, or the error."""
    done = command(data_dir, *arguments, "--json", stdin=stdin)
    return done.returncode, json.loads(done.stdout or done.stderr)


@contextmanager
def daemon(data_dir: Path, *arguments: str, program: Path = PROGRAM) -> Iterator[Daemon]:
    """A running agent on a free port; killed at the end if it still runs."""
    log = (data_dir.parent / "agent.log").open("a")
    process = subprocess.Popen(
        [program, "--data-dir", data_dir, "run", "--port", "0", "--json", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the program did not start: {Path(log.name).read_text()}"
        ready = json.loads(line)
        assert ready["pid"] == process.pid
        yield Daemon(process, ready["url"])
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(WAIT_S)
        process.stdout.close()
        log.close()
