"""Markdown taken apart as far as the tests of the documentation need it.

Rules of this file:
- Only what our own pages use: ATX headings, fenced blocks, pipe tables, inline links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TABLE = re.compile(r"(?:^\|.*\|$\n?)+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language and its text."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(language, body) for language, body in FENCE.findall(text)]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", text)


def headings(text: str) -> list[tuple[int, str]]:
    """(level, words) of every heading, in order."""
    return [(len(marks), words.strip()) for marks, words in HEADING.findall(prose(text))]


def anchors(text: str) -> set[str]:
    """What `#…` may point to in the page, as GitHub makes them: letters, digits, hyphens, underscores."""
    return {
        re.sub(r"[^\w\- ]", "", words.replace("`", "").lower()).replace(" ", "-")
        for _, words in headings(text)
    }


def links(text: str) -> list[str]:
    return LINK.findall(prose(text))


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, without the line under its head."""
    return [
        [row for line in found.strip().splitlines() if (row := cells(line)) and not is_rule(row)]
        for found in TABLE.findall(prose(text))
    ]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def is_rule(row: list[str]) -> bool:
    return all(re.fullmatch(r":?-+:?", cell) for cell in row)


def broken_links(page: Path, root: Path) -> Iterator[str]:
    """Links to files or headings that are not there; addresses of the network are not looked at."""
    for link in links(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(root) or not target.exists():
            yield f"{page.name}: {link}"
        elif anchor and anchor not in anchors(target.read_text("utf-8")):
            yield f"{page.name}: {link} (no such heading)"
