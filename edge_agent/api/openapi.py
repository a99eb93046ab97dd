"""Writes the OpenAPI document of the localhost API: `python -m edge_agent.api.openapi docs/openapi.json`.

Rules of this file:
- The document is a function of the code alone: no services, no settings, no clock.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge_agent.api.app import bare_app


def document() -> str:
    """The OpenAPI document as it is checked in."""
    return json.dumps(bare_app().openapi(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m edge_agent.api.openapi PATH\n")
        return 2
    Path(arguments[0]).write_text(document(), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
