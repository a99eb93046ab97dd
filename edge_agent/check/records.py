"""The database's part of the check: structure, audit, queue, facts, states, derived tables.

Rules of this file:
- The questions are `store.soundness`'s and `store.recounts`'; here they only get their order and become findings.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from edge_agent.check.findings import finding
from edge_agent.models import Finding
from edge_agent.store import audit, masters, recounts, soundness
from edge_agent.store.soundness import FACT_TABLES, Fault
from sync_protocol.canonical import canonical_json, sha256_hex


def record_parts(
    reader: sqlite3.Connection, *, daemon_running: bool
) -> list[tuple[str, Callable[[], Iterable[Finding]]]]:
    faults: dict[str, Callable[[], Iterator[Fault]]] = {
        "structure": lambda: soundness.structure_faults(reader),
        "queue": lambda: soundness.queue_faults(reader),
        **{table: partial(soundness.fact_faults, reader, table) for table in FACT_TABLES},
        "states": lambda: soundness.state_faults(reader, daemon_running=daemon_running),
        "verdicts": lambda: soundness.verdict_faults(reader),
        "counts": lambda: recounts.count_faults(reader),
    }
    parts: list[tuple[str, Callable[[], Iterable[Finding]]]] = [("audit", lambda: audit_findings(reader))]
    parts += [(name, partial(_findings, source)) for name, source in faults.items()]
    return [*parts, ("masters", lambda: master_findings(reader))]


def _findings(source: Callable[[], Iterator[Fault]]) -> Iterator[Finding]:
    return (finding(*fault) for fault in source())


def audit_findings(reader: sqlite3.Connection) -> Iterator[Finding]:
    return (finding("audit-broken", "audit_log", sentence) for sentence in audit.verify(reader))


def master_findings(reader: sqlite3.Connection) -> Iterator[Finding]:
    """Pipelines whose definition is not the one whose sha256 was recorded."""
    for pipeline in masters.list_pipelines(reader):
        if sha256_hex(canonical_json(pipeline.definition)) != pipeline.sha256:
            yield finding("pipeline-changed", f"pipeline {pipeline.code}", "its sha256 does not match")


def named_assets(reader: sqlite3.Connection) -> dict[str, str]:
    """sha256 → code of a pipeline in force that names it."""
    found: dict[str, str] = {}
    for pipeline in masters.list_pipelines(reader):
        for text in json.dumps(pipeline.definition).split('"sha256:')[1:]:
            found.setdefault(text[:64], pipeline.code)
    return found
