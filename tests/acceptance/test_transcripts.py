"""What the documentation shows being typed is typed here, and must print what it shows."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.pages import DOCS
from tests.documentation.transcripts import Step, agrees, transcripts

ROOT = DOCS.parent
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
FOUND = {
    f"{page.stem}-{number}": steps
    for page in PAGES
    for number, steps in enumerate(transcripts(page.read_text("utf-8")))
}


def arguments(command: str, place: Path) -> list[str]:
    """The command as a process; `make demo` without installing again, and in a directory of the test."""
    words = shlex.split(command)
    if words[:2] == ["make", "demo"]:
        extra = [word.removeprefix("ARGS=") for word in words[2:]]
        words = ["edge-agent", "demo", "--data-dir", str(place / "demo-data"), *extra]
    assert words[0] == "edge-agent", f"only our own commands are run: {command}"
    return [sys.executable, "-m", "edge_agent.cli", *words[1:]]


def test_the_documentation_shows_transcripts() -> None:
    assert {name.partition("-")[0] for name in FOUND} >= {"README", "operations"}


@pytest.mark.parametrize("steps", FOUND.values(), ids=FOUND)
def test_a_transcript_is_true(steps: list[Step], tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))},
        "EDGE_AGENT_DATA_DIR": str(tmp_path / "data"),
        "EDGE_AGENT_LANG": "en",
        "EDGE_AGENT_MIN_FREE_BYTES": "0",
        "COLUMNS": "110",
    }
    for step in steps:
        done = subprocess.run(
            arguments(step.command, tmp_path),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{step.command}: {done.stderr}"
        assert agrees(step.output, done.stdout.splitlines()), f"{step.command} printed:\n{done.stdout}"
