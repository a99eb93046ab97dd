"""`make bench`: every measure, or those named, each with its own numbers: `make bench ARGS="fleet blobs 1000 200000"`.

Rules of this file:
- NAMES is the one list. Each is a module here whose docstring says what it measures, the goal and what the machine
  itself allows; its `run(work, *numbers)` prints the report. What the numbers mean stands there too.
- `benchmarks.peer` is not among them: it needs the folder of the comparison's harness, `python -m benchmarks.peer DIR`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

AGENT = ("latency", "frame", "throughput", "api", "start", "queries", "console")
CENTRE = ("central", "central_queries")
SYNCHRONISATION = ("fleet", "pull", "blobs", "backlog")
NAMES = AGENT + CENTRE + SYNCHRONISATION


def main() -> None:
    arguments = argparse.ArgumentParser(prog="benchmarks", description=f"there are: {', '.join(NAMES)}")
    arguments.add_argument("wanted", nargs="*", default=list(NAMES), metavar="NAME [NUMBER ...]")
    arguments.add_argument("--dir", type=Path, default=Path.cwd(), help="whose disk is measured")
    given = arguments.parse_args()
    for name, numbers in list(asked(given.wanted)):
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-", dir=given.dir) as work:
            importlib.import_module(f"benchmarks.{name}").run(Path(work), *numbers)


def asked(words: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Each benchmark with its numbers; ends the program at a name that there is not."""
    names = [place for place, word in enumerate(words) if not word.isdecimal()]
    if unknown := {words[place] for place in names} - set(NAMES) or set(words[: names[0] if names else None]):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    for place, after in zip(names, [*names[1:], len(words)], strict=True):
        yield words[place], [int(word) for word in words[place + 1 : after]]


if __name__ == "__main__":
    main()
