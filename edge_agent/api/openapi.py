"""Writes the localhost API's OpenAPI document, and the table of `docs/api.md` beside it.

    python -m edge_agent.api.openapi docs/openapi.json

Rules of this file:
- Both are functions of the code alone: no services, no settings, no clock.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge_agent.api.app import bare_app
from edge_agent.api.contract import role_table

BEGIN, END = "<!-- operations: make docs -->", "<!-- end -->"


def document() -> str:
    """The OpenAPI document as it is checked in."""
    return json.dumps(bare_app().openapi(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def with_table(text: str) -> str:
    """The text of `docs/api.md` with its table as the code says it."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{role_table(bare_app().openapi())}{END}{tail}"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m edge_agent.api.openapi PATH\n")
        return 2
    path = Path(arguments[0])
    path.write_text(document(), "utf-8")
    guide = path.with_name("api.md")
    if guide.exists():
        guide.write_text(with_table(guide.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
