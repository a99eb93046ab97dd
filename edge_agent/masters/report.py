"""What an import, a model test and the masters' state say to people and programs.

Rules of this file:
- Plain immutable values; no I/O, no decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_agent.errors import Problem
from edge_agent.masters.bundle import Bundle
from edge_agent.masters.changes import Changes
from edge_agent.models import Finding, ModelPackage

TABLES = {
    "products": "inspection_targets_master",
    "items": "inspection_items_master",
    "pipelines": "pipelines",
    "models": "model_packages",
    "users": "users",
    "calibrations": "calibrations",
}
"""What people call them → the table."""


@dataclass(frozen=True, slots=True)
class Count:
    added: int = 0
    changed: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or with `dry_run` would do.

    `deactivated`: PRODUCT/ITEM no longer in the bundle. `activated`: model name → version. `golden`:
    NAME-VERSION → what its golden samples gave here (only for versions new to this machine).
    `warnings` do not stop an import, `problems` do (empty unless `dry_run`).
    """

    name: str
    version: str
    dry_run: bool
    counts: Mapping[str, Count]
    deactivated: tuple[str, ...] = ()
    activated: Mapping[str, str] = field(default_factory=dict)
    golden: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether anything was, or would be, different afterwards."""
        return any(count.added or count.changed for count in self.counts.values()) or bool(self.activated)


@dataclass(frozen=True, slots=True)
class ModelTest:
    """A model package tried on this machine; `problems` say in what it disagrees with its golden samples."""

    name: str
    version: str
    agrees: bool
    golden: list[dict[str, Any]]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class MastersStatus:
    """`imported`: the last bundle that changed anything (name, version, at, by), None if there was none.

    `running`: codes of the pipelines in force. `findings` say what is not.
    """

    products: int
    items: int
    pipelines: int
    users: int
    calibrations: int
    models: list[ModelPackage]
    running: tuple[str, ...]
    findings: tuple[Finding, ...]
    imported: Mapping[str, Any] | None


def make_report(
    bundle: Bundle, changes: Changes, records: Sequence[ModelPackage], dry_run: bool
) -> ImportReport:
    """What the changes come to, in the words people use."""
    counts = {
        word: Count(*(changes.count(table, kind) for kind in ("added", "changed", "unchanged")))
        for word, table in TABLES.items()
    }
    head = bundle.head
    return ImportReport(
        name=head.name if head else "",
        version=head.version if head else "",
        dry_run=dry_run,
        counts=counts,
        deactivated=tuple(changes.deactivated),
        activated=dict(changes.activate),
        golden={f"{r.name}-{r.version}": r.golden_results for r in records if r.golden_results},
    )
