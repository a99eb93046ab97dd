"""What a browser loads before the inspector can begin."""

from __future__ import annotations

import gzip
import re

from edge_agent.api.console import built_dir

MOST_BYTES = 350 * 1024


def first_load_bytes() -> int:
    """Gzipped size of the page and of every script and style it names; the rest is loaded on demand."""
    page = (built_dir() / "index.html").read_text("utf-8")
    named = re.findall(r'(?:src|href)="\./(assets/[^"]+)"', page)
    assert named, "the page names no script"
    files = [page.encode(), *((built_dir() / name).read_bytes() for name in named)]
    return sum(len(gzip.compress(file, 9)) for file in files)
