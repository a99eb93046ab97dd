"""The command line's shape: its document is the code's, every command speaks JSON, help is light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from edge_agent.cli.docs import _leaves, document
from edge_agent.cli.exits import MEANINGS, Exit
from edge_agent.cli.main import app, run
from edge_agent.errors import AgentError

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
LEAVES = {" ".join(path[1:]): command for path, command in _leaves(["edge-agent"], get_command(app))}
HEAVY = (
    "numpy",
    "cv2",
    "onnxruntime",
    "fastapi",
    "pydantic",
    "httpx",
    "rich",
    "sqlite3",
    "asyncio",
    "argon2",
)


def test_the_document_is_the_codes() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "run `make docs`"


def test_every_command_of_the_requirement_is_there() -> None:
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    wanted = "run status demo inspect session master model folder camera calibrate user audit check backup"
    assert set(f"{wanted} restore doctor version".split()) <= set(root.commands)
    assert "audit verify" in LEAVES
    assert "folder quarantine retry" in LEAVES


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_takes_json_and_says_what_it_does(name: str) -> None:
    command = LEAVES[name]
    assert any("--json" in parameter.opts for parameter in command.params)
    assert command.help
    silent = [one.name for one in command.params if one.name != "help" and not one.help]
    assert not silent, f"no help for {silent}"


def test_every_error_ends_with_a_documented_code() -> None:
    def tree(kind: type[AgentError]) -> list[type[AgentError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in tree(child))]

    assert {kind.exit_code for kind in tree(AgentError)} <= {code.value for code in MEANINGS}
    assert set(MEANINGS) == set(Exit)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, json; from edge_agent.cli.main import run; code = run(['--help']);"
        f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(child.stdout.splitlines()[-1]) == [0, []]
    assert "calibrate" in child.stdout


@pytest.mark.parametrize(
    "arguments", [["nope"], ["inspect"], ["session", "list", "--limit", "many"], ["run", "--port", "99999"]]
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("error: ")
    assert "[usage]" in shown.err
    assert shown.out == ""
