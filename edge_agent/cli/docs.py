"""docs/cli.md from the code: every command, its arguments, its options, the exit codes.

Rules of this file:
- `python -m edge_agent.cli.docs docs/cli.md` writes it; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typer import Typer
from typer.core import TyperArgument, TyperGroup
from typer.main import get_command

from edge_agent.cli.exits import MEANINGS
from edge_agent.cli.main import app

HEAD = """# Command line

Generated from the code (`make docs`). While the agent runs, a command is a request to it; while it does
not, the same request is served inside the command's own process. `--json` prints one JSON document on standard
output (`run`: one line when it answers); errors are one line on standard error, with `--json` one JSON object
`{"error": {"code", "detail", "hint", "problems"}}`, and where work takes long one `{"progress": …}` per change.
What is wrong and what to do is said in Japanese or English: as `EDGE_AGENT_LANG` (`ja`, `en`) says, else in the
language of the terminal; codes are the same in both.
Passwords are asked for on a terminal and read from the first line of standard input elsewhere.

`edge-agent --data-dir DIR COMMAND …` (or `EDGE_AGENT_DATA_DIR`) names the data directory.

## Exit codes

| code | meaning |
| --- | --- |
"""


def document() -> str:
    """The whole file."""
    return f"{HEAD}{exit_codes()}\n## Commands\n{commands('edge-agent', app)}"


def exit_codes() -> str:
    """The rows of their table."""
    return "".join(f"| {code.value} | {meaning} |\n" for code, meaning in MEANINGS.items())


def commands(program: str, typer: Typer) -> str:
    """A section for each command of a program."""
    return "".join(_section(path, command) for path, command in _leaves([program], get_command(typer)))


def _leaves(path: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
    if not isinstance(command, TyperGroup):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _leaves([*path, name], inner)


def _section(path: list[str], command: Any) -> str:
    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    usage = " ".join([*path, *(_shown(one) for one in arguments)])
    lines = [f"\n### `{usage}`\n\n{' '.join((command.help or '').split())}\n"]
    rows = [_row(one) for one in [*arguments, *(p for p in command.params if p not in arguments)]]
    if rows:
        lines += ["\n| | |\n| --- | --- |\n", *rows]
    return "".join(lines)


def _row(parameter: Any) -> str:
    words = " ".join((parameter.help or "").replace("|", "\\|").split())
    required = " **Required.**" if parameter.required and not isinstance(parameter, TyperArgument) else ""
    return f"| `{_shown(parameter)}` | {words}{_default(parameter)}{required} |\n"


def _shown(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        return str(parameter.metavar or parameter.name)
    flags = "/".join(parameter.opts)
    if parameter.is_flag:
        return flags
    annotation = parameter.type_descriptor.annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    values = "\\|".join(choices) or parameter.metavar or "VALUE"
    return f"{flags} {values}"


def _default(parameter: Any) -> str:
    value = parameter.default
    is_said = value is None or isinstance(value, bool) or callable(value) or value in ((), [])
    return "" if is_said or isinstance(parameter, TyperArgument) else f" Default: {value}."


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), "utf-8")
