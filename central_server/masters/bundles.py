"""Bundles at the centre: the format devices import from a stick, verified by the same code, brought in or written.

Rules of this file:
- Everything is verified on a private copy; objects are stored before rows; all rows are one transaction, planned once
  more on what it sees. A dry run does the same and rolls back.
- Calibrations belong to a device's camera: they are left out, and said to be.
- Of a person only what differs from the bundle imported before is applied (docs/adr/0006).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from central_server.masters.packages import (
    SPACE,
    Packages,
    Packed,
    pack_package,
    put_assets,
    trying,
    unpack_package,
    write_models,
)
from central_server.masters.present import (
    items_of,
    pipelines_of,
    products_of,
    read_present,
)
from central_server.store import masters as store
from central_server.store import operator_log, operators
from central_server.store.database import Connection, Database
from edge_agent.archive import Progress, no_progress, unpack
from edge_agent.clock import Clock
from edge_agent.disk import disk_errors
from edge_agent.errors import BadDefinition, Conflict, Problem
from edge_agent.inference.package import Package
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.bundle import Bundle, read_bundle
from edge_agent.masters.changes import (
    CALIBRATIONS,
    MODELS,
    PIPELINES,
    USERS,
    Changes,
    Present,
    Row,
    plan_changes,
)
from edge_agent.masters.packages import in_folder, install_apart, read_packages, record_of
from edge_agent.masters.report import ImportReport, make_report
from edge_agent.masters.verify import verify_bundle
from edge_agent.masters.writing import (
    assets_of,
    bundle_documents,
    finish,
    wanted_packages,
    write_document,
)
from edge_agent.models import ModelPackage


class Rollback(Exception):
    """Ends the transaction of a dry run."""


class Bundles:
    """Imports and exports all masters at once."""

    def __init__(self, database: Database, packages: Packages, clock: Clock) -> None:
        self._database, self._packages, self._clock = database, packages, clock

    def import_bundle(
        self, path: Path, actor: str, *, dry_run: bool = False, progress: Progress = no_progress
    ) -> ImportReport:
        """Verifies the bundle at `path` (folder or zip) whole, then brings it in, or reports only.

        Raises BadDefinition with every problem (a dry run reports them instead), Conflict, NotFound, BadInput,
        Unavailable; then no row was changed. An exception out of `progress` stops it just as cleanly.
        """
        with self._packages.workspace() as work:
            bundle = read_bundle(unpack(path, work / "bundle", progress))
            with self._database.snapshot() as tx:
                present = as_bundles_see(read_present(tx))
            records, new = self._read_models(bundle, present, work, progress)
            report = self._judged(bundle, records, present, dry_run=dry_run)
            if report.problems and not dry_run:
                raise BadDefinition(
                    f"the bundle has {len(report.problems)} problem(s)", list(report.problems)
                )
            if report.problems:
                return report
            progress("write", 0, 1)
            if not dry_run:
                self._keep_objects(bundle, new)
            self._bring_in(bundle, records, new, actor, dry_run=dry_run)
            return report

    def export_bundle(
        self, path: Path, *, name: str = "export", version: str = "1.0.0", with_users: bool = False
    ) -> list[str]:
        """Writes the active masters as a bundle, a zip if `path` ends so; the names of its files.

        Users are written only if asked for: their entries hold password hashes. Raises Conflict (`exists`), Damaged
        (an object is not what its name says), Unavailable.
        """
        if path.exists():
            raise Conflict(f"{path} is already there.", code="exists", hint="Name a place that is free.")
        with self._database.snapshot() as tx:
            present = read_present(tx)
            archives = {
                (row["name"], row["version"]): row["archive_sha256"] for row in store.rows(tx, MODELS)
            }
        pipelines, products = pipelines_of(present), products_of(present)
        packages = wanted_packages(pipelines, present.packages)
        people = present.tables[USERS].values() if with_users else []
        items = [item for product in products for item in items_of(present, product.id)]
        with self._packages.workspace() as work, disk_errors():
            scratch = work / "bundle"
            scratch.mkdir()
            for file, document in bundle_documents(products, items, pipelines, [], people):
                write_document(scratch / file, document)
            for one in packages:
                archive = work / f"{one.name}-{one.version}.zip"
                self._packages.fetch(archives[one.name, one.version], archive)
                unpack_package(archive, scratch / "models" / f"{one.name}-{one.version}")
            for sha256 in sorted({asset for one in pipelines for asset in assets_of(one.definition)}):
                (scratch / "assets").mkdir(exist_ok=True)
                self._packages.fetch(sha256, scratch / "assets" / sha256)
            return finish(scratch, path, packages, (name, version))

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────

    def _read_models(
        self, bundle: Bundle, present: Present, work: Path, progress: Progress
    ) -> tuple[list[ModelPackage], list[Packed]]:
        """The bundle's packages, and of them those that are new here, tried and packed."""
        packages, problems = read_packages(bundle.unpacked.folder, bundle.models)
        bundle.problems += problems
        records = {folder: record_of(package, self._clock.now()) for folder, package in packages.items()}
        known = {(one.name, one.version) for one in present.packages}
        untried = {f: p for f, p in packages.items() if (records[f].name, records[f].version) not in known}
        if not untried:
            return list(records.values()), []
        with trying() as pool:
            tried = dict(_try(pool, bundle, untried, work, progress))
        return list((records | tried).values()), [pack_package(record, work) for record in tried.values()]

    def _judged(
        self, bundle: Bundle, records: Sequence[ModelPackage], present: Present, *, dry_run: bool
    ) -> ImportReport:
        changes = plan_changes(bundle, records, present, self._clock.now())
        verified = verify_bundle(bundle, changes, records, present)
        left_out = [
            placed.problem(
                "", "calibration-left-out", f"{placed.row.name} belongs to a device: not kept here"
            )
            for placed in bundle.calibrations
        ]
        bundle.calibrations = []
        report = make_report(bundle, _without_calibrations(changes), records, dry_run)
        return replace(report, problems=verified.problems, warnings=(*verified.warnings, *left_out))

    def _keep_objects(self, bundle: Bundle, new: Sequence[Packed]) -> None:
        for packed in new:
            self._packages.keep(packed.path, packed.sha256)
        for sha256, file in bundle.assets.items():
            self._packages.keep(bundle.unpacked.folder / file, sha256)

    def _bring_in(
        self,
        bundle: Bundle,
        records: Sequence[ModelPackage],
        new: Sequence[Packed],
        actor: str,
        *,
        dry_run: bool,
    ) -> None:
        try:
            with self._database.write() as tx:
                store.lock(tx, SPACE)
                present = as_bundles_see(read_present(tx))
                changes = plan_changes(bundle, records, present, self._clock.now())
                problems = verify_bundle(bundle, changes, records, present).problems
                if problems:
                    raise BadDefinition("the masters here changed meanwhile", list(problems))
                _write(tx, bundle, changes, new, present, actor)
                if dry_run:
                    raise Rollback
        except Rollback:
            return


def as_bundles_see(present: Present) -> Present:
    """A bundle knows a pipeline by its code only; the name is the centre's own and no difference."""
    pipelines = {key: row | {"name": row["code"]} for key, row in present.tables[PIPELINES].items()}
    return replace(present, tables={**present.tables, PIPELINES: pipelines})


def _try(
    pool: InferencePool, bundle: Bundle, packages: dict[str, Package], work: Path, progress: Progress
) -> Iterator[tuple[str, ModelPackage]]:
    """Those of the packages that load here and agree with their golden samples; the others are problems."""
    for done, folder in enumerate(packages):
        progress("models", done, len(packages))
        try:
            record, _ = install_apart(pool, bundle.unpacked.folder / "models" / folder, work / "ready")
        except BadDefinition as error:
            bundle.problems += in_folder(error.problems, f"models/{folder}")
            continue
        yield folder, record


def _write(
    tx: Connection, bundle: Bundle, changes: Changes, new: Sequence[Packed], present: Present, actor: str
) -> None:
    files = bundle.unpacked.files
    put_assets(tx, present, {sha256: files[file].size_bytes for sha256, file in bundle.assets.items()})
    write_models(tx, present, new, changes.activate)
    for change in _without_calibrations(changes).rows:
        if change.table == MODELS or change.kind == "unchanged":
            continue
        if change.kind == "added":
            store.insert(tx, change.table, change.row)
        else:
            store.update(tx, change.table, _kept(change.table, change.row))
        if change.kind == "changed" and change.table == USERS:
            operators.end_logins(tx, change.row["server_id"])
    for key, entry in changes.imported.items():
        if key.startswith(f"{USERS}."):
            store.remember_imported(tx, key, entry)
    assert bundle.head is not None
    detail = {"deactivated": changes.deactivated, "activated": changes.activate}
    operator_log.note(tx, actor, "master.import", f"{bundle.head.name} {bundle.head.version}", detail)


def _kept(table: str, row: Row) -> Row:
    """A pipeline's name is the centre's own: a bundle only knows its code."""
    return {name: value for name, value in row.items() if not (table == PIPELINES and name == "name")}


def _without_calibrations(changes: Changes) -> Changes:
    return replace(changes, rows=[change for change in changes.rows if change.table != CALIBRATIONS])


def report_document(report: ImportReport) -> dict[str, Any]:
    """What an import did, as JSON."""
    counts = {
        word: {"added": count.added, "changed": count.changed, "unchanged": count.unchanged}
        for word, count in report.counts.items()
    }
    return {
        "name": report.name,
        "version": report.version,
        "dry_run": report.dry_run,
        "counts": counts,
        "deactivated": list(report.deactivated),
        "activated": dict(report.activated),
        "problems": problem_documents(report.problems),
        "warnings": problem_documents(report.warnings),
    }


def problem_documents(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """Problems as JSON."""
    return [
        {"file": one.file, "pointer": one.pointer, "code": one.code, "message": one.message}
        for one in problems
    ]
