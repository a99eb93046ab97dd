"""Which commands the documentation and the operators' hints name, and which there are.

Rules of this file:
- A command named is `edge-agent WORD [WORD]` (or `central-server …`) in a code span, a fenced block or a message in
  backticks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from central_server.cli.main import app as central_app
from edge_agent.cli.main import app

NAMED = re.compile(r"(?<![\w/.-])(edge-agent|central-server)((?: --data-dir \S+)?(?: [a-z][a-z-]*){1,2})")
Tree = dict[str, dict[str, set[str]]]


def tree() -> Tree:
    """Program → command → the commands below it, empty for one that does something itself."""
    return {"edge-agent": _below(get_command(app)), "central-server": _below(get_command(central_app))}


def _below(root: Any) -> dict[str, set[str]]:
    return {name: set(getattr(command, "commands", ())) for name, command in root.commands.items()}


def unknown_commands(text: str, known: Tree) -> Iterator[str]:
    """Commands in the text that do not exist."""
    for program, named in NAMED.findall(text):
        words = re.sub(r"--data-dir \S+", "", named).split()
        below = known[program].get(words[0])
        if below is None or (below and len(words) > 1 and words[1] not in below):
            yield f"{program} {' '.join(words)}"


def code_of(markdown: str) -> str:
    """Fenced blocks and code spans only: prose may say "the edge-agent service"."""
    fenced = re.findall(r"^```\w*\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*fenced, *spans])
