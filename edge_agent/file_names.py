"""Which file names a bundle or package may hold: names that mean the same file on every machine.

Rules of this file:
- Pure. A name is relative, `/` between its parts, UTF-8, and as harmless on Windows as on Linux.
- Two names that one file system could take for the same file are a fault, not a surprise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

MAX_NAME_BYTES = 200
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def fault_of(name: str) -> str | None:
    """Why `name` may not be used, as the end of a sentence; None when it may."""
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not UTF-8"
    if not 1 <= size <= MAX_NAME_BYTES:
        return f"is empty or longer than {MAX_NAME_BYTES} bytes"
    if name.startswith("/"):
        return "is an absolute path"
    if found := _FORBIDDEN.search(name):
        return f"holds the character {found.group()!r}, which not every system can store"
    return next((fault for part in name.split("/") if (fault := _fault_of_part(part))), None)


def _fault_of_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "has an empty, `.` or `..` part"
    if part.endswith((" ", ".")):
        return "has a part that ends with a space or a dot, which Windows drops"
    return "has a part that Windows reserves for a device" if _RESERVED.fullmatch(part) else None


def collisions(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, why) for every name that stands twice, differs from an earlier one only in case or Unicode form,
    or uses another file as a folder."""
    seen: dict[str, tuple[str, bool]] = {}
    for name in names:
        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            path, is_file = "/".join(parts[:end]), end == len(parts)
            earlier, was_file = seen.setdefault(_folded(path), (path, is_file))
            if earlier != path:
                yield name, f"collides with {earlier}: some systems take them for the same file"
                break
            if was_file != is_file:
                yield name, f"uses {path} both as a file and as a folder"
                break
        else:
            if _is_repeated(seen, name):
                yield name, "is there twice"


def _is_repeated(seen: dict[str, tuple[str, bool]], name: str) -> bool:
    """Whether the name was met before; remembers it."""
    mark = f"\0{name}"
    repeated = mark in seen
    seen[mark] = (name, True)
    return repeated


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
