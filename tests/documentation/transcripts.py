"""Transcripts in the documentation (`console` blocks), compared with what the commands really print.

Rules of this file:
- A line `$ …` is a command; what follows, up to the next, is what it printed.
- `…` alone on a line stands for any lines, within a line for any text. Numbers may differ, words may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.documentation.markdown import blocks

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]\d+)?(?!\w)")


@dataclass(frozen=True, slots=True)
class Step:
    command: str
    output: tuple[str, ...]


def transcripts(markdown: str) -> Iterator[list[Step]]:
    """Every `console` block as its steps."""
    for block in blocks(markdown):
        if block.language == "console":
            parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
            if parts[0].strip():
                raise ValueError(f"a transcript begins with a command, not {parts[0]!r}")
            yield [Step(lines[0], tuple(lines[1:])) for lines in map(str.splitlines, parts[1:])]


def plain(lines: Sequence[str]) -> list[str]:
    """Lines without what may differ: numbers, widths of columns, empty lines."""
    narrow = (re.sub(r"─+", "─", re.sub(r"\s+", " ", line)).strip() for line in lines)
    return [NUMBER.sub("N", line) for line in narrow if line]


def agrees(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether the transcript shows what was printed."""
    pattern = "".join(line_pattern(line) for line in plain(expected))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in plain(printed))) is not None


def line_pattern(line: str) -> str:
    if line == "…":
        return r"(?:.*\n)*?"
    return ".*".join(map(re.escape, line.split("…"))) + r"\n"
