"""What is wrong with one hot folder right now.

Rules of this file:
- Trouble has a lane (`listing`, `deleting`, `ingest`, `step`), each at most one; it is logged when it begins and when
  it is over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from edge_agent.models import Finding

_log = logging.getLogger(__name__)


class Troubles:
    """Of the hot folder of that name."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._open: dict[str, Finding] = {}

    def __iter__(self) -> Iterator[Finding]:
        return iter(tuple(self._open.values()))

    def begins(self, lane: str, finding: Finding) -> None:
        if lane not in self._open:
            _log.warning("hot folder %s: %s", self._folder, finding.message)
        self._open[lane] = finding

    def ends(self, lane: str) -> None:
        if self._open.pop(lane, None) is not None:
            _log.info("hot folder %s: %s works again", self._folder, lane)
