"""Which commands the documentation and the operators' hints name, and which there are.

Rules of this file:
- A command named is `edge-agent WORD [WORD]` in a code span, a fenced block or a message in backticks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from edge_agent.cli.main import app

NAMED = re.compile(r"(?<![\w/.-])edge-agent((?: --data-dir \S+)?(?: [a-z][a-z-]*){1,2})")


def tree() -> dict[str, set[str]]:
    """Command → the commands below it, empty for one that does something itself."""
    root: Any = get_command(app)
    return {name: set(getattr(command, "commands", ())) for name, command in root.commands.items()}


def unknown_commands(text: str, known: dict[str, set[str]]) -> Iterator[str]:
    """Commands in the text that do not exist."""
    for named in NAMED.findall(text):
        words = re.sub(r"--data-dir \S+", "", named).split()
        below = known.get(words[0])
        if below is None or (below and len(words) > 1 and words[1] not in below):
            yield f"edge-agent {' '.join(words)}"


def code_of(markdown: str) -> str:
    """Fenced blocks and code spans only: prose may say "the edge-agent service"."""
    fenced = re.findall(r"^```\w*\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*fenced, *spans])
