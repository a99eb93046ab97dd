"""Is this installation sound? Every row, file and digest compared with what it must be.

Rules of this file:
- Only the order of the parts: each is an iterator of `Finding`, so a caller shows the first one at once and
  may stop at any time. Nothing is ever changed.
- Database parts see one commit; the files are read afterwards, outside it, so that hashing a disk full of
  pictures never keeps the log from being folded back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from edge_agent.check.files import FileCheck
from edge_agent.check.findings import finding
from edge_agent.check.records import record_parts
from edge_agent.config import Config
from edge_agent.errors import AgentError, Problem
from edge_agent.models import Finding
from edge_agent.store.database import mapped_errors
from edge_agent.store.soundness import ticking

Progress = Callable[[str, int, int | None], None]
"""part, done, of how many (None: not known); called often, may raise to stop the check."""
Part = tuple[str, Callable[[], Iterable[Finding]]]


def run_check(
    config: Config,
    reader: sqlite3.Connection,
    *,
    now_s: float,
    daemon_running: bool = False,
    problems: Mapping[str, Sequence[Problem]] | None = None,
    probes: Sequence[Part] = (),
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """Everything that is not as it must be; nothing when the installation is sound.

    `reader` is a read-only connection outside a transaction. `problems` are `Running.problems`: pipelines
    that do not compile. `probes` are further parts (models load, cameras answer): name and what to call.
    With `daemon_running`, files younger than ten minutes (by `now_s`, Unix seconds) may still be on their
    way to a row and are no orphans.
    """
    report = progress or (lambda part, done, total: None)
    files = FileCheck(config.data_dir, reader, now_s if daemon_running else None, report)
    reader.execute("BEGIN")
    try:
        yield from _run(reader, record_parts(reader, daemon_running=daemon_running), report)
    finally:
        if reader.in_transaction:
            reader.execute("ROLLBACK")
    compiled: Part = ("pipelines", lambda: pipeline_findings(problems or {}))
    yield from _run(reader, [*files.parts(), compiled, *probes], report)


def _run(reader: sqlite3.Connection, parts: Iterable[Part], report: Progress) -> Iterator[Finding]:
    """Each part in turn; what a part cannot finish because of is itself a finding."""
    for name, part in parts:
        report(name, 0, None)
        try:
            with mapped_errors(), ticking(reader, partial(report, name, 0, None)):
                yield from part()
        except AgentError as error:
            code = "database-damaged" if error.code_ == "database-damaged" else "part-unfinished"
            yield finding(code, name, error.detail)
        except OSError as error:
            yield finding("part-unfinished", name, f"{error.filename}: {error.strerror}")


def pipeline_findings(problems: Mapping[str, Sequence[Problem]]) -> Iterator[Finding]:
    for code, faults in sorted(problems.items()):
        yield finding("pipeline-not-compiling", f"pipeline {code}", "; ".join(str(fault) for fault in faults))
