"""What commands print: tables for people, one JSON document for programs.

Rules of this file:
- With `--json` standard output holds exactly one JSON document (or one per line where a command streams).
- Errors go to standard error in one line: what, then what to do; the exit code says which kind.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.cli.language import spoken
from edge_agent.messages import Message

NOTHING_WRONG = {"en": "Nothing is wrong.", "ja": "異常はありません。"}


def emit_json(document: Any) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def emit_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, empty: str = "nothing") -> None:
    """Aligned columns; a missing value is left blank."""
    if not rows:
        print(empty)
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=SIMPLE, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console(highlight=False, markup=False)
    wide = console if console.is_terminal else Console(highlight=False, markup=False, width=10_000)
    wide.print(table)


def emit_facts(facts: Mapping[str, Any]) -> None:
    """One fact per line, names aligned."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        print(f"{name:<{width}}  {_cell(value)}")


def emit_findings(findings: Sequence[Mapping[str, Any]], *, empty: str = "") -> None:
    """What is wrong and what to do about it, one paragraph each."""
    for one in findings:
        print(
            f"{one['severity'].upper()} {one['subject']}: {one['message']} [{one['code']}]\n  {one['hint']}"
        )
    if not findings:
        print(empty or NOTHING_WRONG[spoken()])


def complain(
    code: str, detail: str, message: Message, problems: Sequence[str] = (), *, as_json: bool = False
) -> None:
    """The one place where an error reaches the terminal. `detail` is English; where people are told in another
    language, the title says the same in theirs."""
    if as_json:
        document = {"code": code, "detail": detail, "hint": message.hint, "problems": list(problems)}
        print(json.dumps({"error": document}, ensure_ascii=False), file=sys.stderr)
        return
    title = "" if spoken() == "en" else f"{message.title}："
    print(f"error: {title}{detail} [{code}] {message.hint}", file=sys.stderr)
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
