"""What is wrong with one hot folder right now.

Rules of this file:
- Trouble has a lane (`listing`, `deleting`, `ingest`, `step`), each at most one; it is logged when it begins and when
  it is over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from edge_agent.capture.quarantine import shown
from edge_agent.disk import NO_SPACE, disk_error
from edge_agent.models import Finding, Severity

_log = logging.getLogger(__name__)


class Troubles:
    """Of the hot folder of that name."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._open: dict[str, Finding] = {}

    def __iter__(self) -> Iterator[Finding]:
        return iter(tuple(self._open.values()))

    def cannot_delete(self, error: OSError) -> None:
        if error.errno in NO_SPACE:
            full = disk_error(error)
            self.begins("deleting", full.code_, full.detail, full.hint_)
            return
        self.begins(
            "deleting",
            "folder-not-writable",
            f"Files cannot be moved out of the folder: {error.strerror or error}.",
            "Give the agent permission to delete in this folder; nothing is inspected twice meanwhile.",
        )

    def begins(self, lane: str, code: str, message: str, hint: str) -> None:
        if lane not in self._open:
            _log.warning("hot folder %s: %s", self._folder, shown(message))
        self._open[lane] = self.finding(code, Severity.ERROR, message, hint)

    def ends(self, lane: str) -> None:
        if self._open.pop(lane, None) is not None:
            _log.info("hot folder %s: %s works again", self._folder, lane)

    def finding(self, code: str, severity: Severity, message: str, hint: str) -> Finding:
        return Finding(code, severity, f"folder {self._folder}", shown(message), hint)
