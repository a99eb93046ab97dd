"""`make bench`: every measure, or those named: latency frame throughput api start queries console."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

NAMES = ("latency", "frame", "throughput", "api", "start", "queries", "console")


def main() -> None:
    wanted = sys.argv[1:] or list(NAMES)
    if unknown := set(wanted) - set(NAMES):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-", dir=Path.cwd()) as work:
            importlib.import_module(f"benchmarks.{name}").run(Path(work))


if __name__ == "__main__":
    main()
