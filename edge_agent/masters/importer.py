"""The masters of this device: imported from bundles, exported, their models changed and rolled back.

Rules of this file:
- Everything is verified on a private copy before anything is changed: files first, then one transaction with
  its audit entry, then the running masters are swapped. A crash between any two leaves garbage files at most.
- Foreign networks are loaded by an inference process of their own, never by the daemon.
- One change at a time (`_lock`); readers of `running` never wait. Runs under way keep the value they took,
  and the processes keep its models until the next change.
- A version is immutable: the same name and version with other content is refused, whoever brings it. The
  same content again mends files that were damaged.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from edge_agent.archive import Progress, no_progress, unpack
from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.errors import BadDefinition, Conflict, Problem
from edge_agent.events import Notify
from edge_agent.inference.documents import problems_of
from edge_agent.inference.worker import InferencePool
from edge_agent.inspection.running import Running
from edge_agent.masters import exporter
from edge_agent.masters.arrivals import Arrivals
from edge_agent.masters.bundle import Bundle, CalibrationRow, read_bundle
from edge_agent.masters.changes import CALIBRATIONS, KEYS, USERS, Present, plan_changes
from edge_agent.masters.loading import IMPORTED, load_running, read_present
from edge_agent.masters.packages import (
    file_sha256,
    imports_folder,
    in_folder,
    install_apart,
    is_same,
    is_whole,
    placed,
    read_packages,
    record_of,
    remove_tree,
    workspace,
)
from edge_agent.masters.report import TABLES, ImportReport, MastersStatus, ModelTest, make_report
from edge_agent.masters.verify import verify_bundle
from edge_agent.masters.versions import ModelVersions, find
from edge_agent.masters.writing import json_text
from edge_agent.models import Actor, ModelPackage
from edge_agent.store import audit, settings, users
from edge_agent.store import masters as store
from edge_agent.store.database import Database

K = TypeVar("K", bound=Hashable)
NOTHING = Running({}, {}, {}, {}, {})
LAST_IMPORT = "masters.imported"


class Masters:
    """Products, items, pipelines, models, people and calibrations, and what of them is in force."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        pool: InferencePool,
        clock: Clock,
        config: Config,
        notify: Notify,
    ) -> None:
        self._db, self._blobs, self._pool = database, blobs, pool
        self._clock, self._notify = clock, notify
        self._data_dir = config.data_dir
        self._lock = threading.RLock()
        self._running = NOTHING
        self.arrivals = Arrivals(
            database, blobs, pool, clock, config.data_dir, self._lock, self.reload, notify
        )
        self._versions = ModelVersions(database, pool, clock, config.data_dir, self._lock, self.reload)

    @property
    def running(self) -> Running:
        """The masters in force; take it once per run."""
        return self._running

    def prepare(self) -> None:
        """Removes what a crash in the middle of an import left behind. Call once, at start."""
        remove_tree(imports_folder(self._data_dir))

    def reload(self) -> Running:
        """Builds the running masters anew and swaps them in; the inference processes follow on their own."""
        with self._lock:
            with self._db.snapshot() as reader:
                running = load_running(reader, self._data_dir)
            spoilt = {finding.subject for finding in running.findings}
            models = still_whole(self._running.models, spoilt, self._data_dir) | dict(running.models)
            assets = still_whole(self._running.assets, spoilt, self._data_dir) | dict(running.assets)
            self._pool.configure(models, assets, reads_text=running.reads_text)
            self._running = running
        self._notify("masters", {"pipelines": len(running.pipelines), "findings": len(running.findings)})
        return running

    # ── bundles ─────────────────────────────────────────────────────────────────────────────────────

    def import_bundle(
        self, path: Path, actor: Actor, dry_run: bool = False, progress: Progress = no_progress
    ) -> ImportReport:
        """Verifies the bundle at `path` (folder or zip) whole, then brings it into force, or reports only.

        Raises BadDefinition with every problem (a dry run reports them instead), NotFound, BadInput,
        Unavailable; then nothing was changed. An exception out of `progress` stops it just as cleanly.
        """
        with self._lock, workspace(self._data_dir, self._clock.new_id()) as work:
            bundle = read_bundle(unpack(path, work / "bundle", progress))
            with self._db.snapshot() as reader:
                present = read_present(reader, self._data_dir)
            records, warnings = self._read_models(bundle, present, work / "ready", progress)
            changes = plan_changes(bundle, records, present, self._clock.now())
            verified = verify_bundle(bundle, changes, records, present)
            report = make_report(bundle, changes, records, dry_run)
            report = replace(report, problems=verified.problems, warnings=(*verified.warnings, *warnings))
            if dry_run:
                return report
            if report.problems:
                count = len(report.problems)
                raise BadDefinition(f"the bundle has {count} problem(s)", list(report.problems))
            if not changes.is_empty or (work / "ready").exists() or self._wanting_assets(bundle):
                progress("write", 0, 1)
                self._bring_in(bundle, records, actor, work)
            return report

    def export_bundle(
        self, path: Path, *, name: str = "export", version: str = "1.0.0", with_users: bool = False
    ) -> list[str]:
        """Writes what is in force as a bundle, a zip if `path` ends so; the names of its files.

        Users are written only if asked for: their entries hold password hashes. Raises Conflict
        (`exists`), Damaged (a model or asset is not whole), Unavailable.
        """
        with (
            self._lock,
            self._db.snapshot() as reader,
            workspace(self._data_dir, self._clock.new_id()) as work,
        ):
            return exporter.export(reader, self._data_dir, work, path, (name, version), with_users)

    # ── models: see versions.ModelVersions ──────────────────────────────────────────────────────────

    def install_model(
        self,
        path: Path,
        actor: Actor,
        *,
        name: str | None = None,
        version: str | None = None,
        activate: bool = False,
    ) -> ModelPackage:
        """Installs one package (folder, zip or exported .onnx) that agrees with its golden samples here.

        It becomes active if asked for, or if no version of its name is. Raises BadDefinition, Conflict
        (`version-exists`), InferenceFailed; then nothing was changed.
        """
        return self._versions.install(path, actor, name, version, activate)

    def activate_model(self, name: str, version: str, actor: Actor) -> ModelPackage:
        """Makes an installed version the one that pipelines without a version mean.

        Its golden samples run again first. Raises NotFound, BadDefinition, Damaged, InferenceFailed.
        """
        return self._versions.activate(name, version, actor)

    def rollback_model(self, name: str, actor: Actor) -> ModelPackage:
        """Activates the version that was active before. Raises as `activate_model`; Conflict if none was."""
        return self._versions.rollback(name, actor)

    def test_model(self, name: str, version: str) -> ModelTest:
        """Runs the golden samples of an installed version here, in a process apart; changes nothing.

        Raises NotFound, Damaged, InferenceFailed.
        """
        return self._versions.test(name, version)

    # ── the rest ────────────────────────────────────────────────────────────────────────────────────

    def put_calibration(
        self,
        name: str,
        um_per_px: float,
        valid_until: str,
        method: str,
        detail: Mapping[str, Any],
        actor: Actor,
    ) -> None:
        """Records the scale of a camera set-up, micrometres per pixel, and puts it in force.

        Raises BadDefinition naming every bad field.
        """
        stated = {"name": name, "um_per_px": um_per_px, "valid_until": valid_until, "method": method}
        try:
            row = CalibrationRow.model_validate(stated).model_dump(exclude={"camera"})
        except ValidationError as error:
            raise BadDefinition("the calibration cannot be used", problems_of(error, "", "")) from None
        row |= {"detail": json_text(dict(detail)), "created_at": self._clock.now()}
        with self._lock:
            with self._db.write(actor) as tx:
                store.put(tx, CALIBRATIONS, row, KEYS[CALIBRATIONS])
                facts = {"um_per_px": um_per_px, "valid_until": row["valid_until"], "method": method}
                audit.append(tx, "calibration.put", CALIBRATIONS, name, facts)
            with self._db.snapshot() as reader:
                rows = {row["name"]: row for row in store.list_calibrations(reader)}
            self._running = replace(self._running, calibrations=rows)
        self._notify("masters", {"calibration": name})

    def status(self) -> MastersStatus:
        """What there is and what is in force."""
        running = self._running
        with self._db.snapshot() as reader:
            counted = {word: store.count(reader, table) for word, table in TABLES.items() if word != "models"}
            models = store.list_models(reader)
            imported = settings.get(reader, LAST_IMPORT)
        codes = tuple(sorted(pipeline.code for pipeline in running.pipelines.values()))
        return MastersStatus(
            **counted, models=models, running=codes, findings=running.findings, imported=imported
        )

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _read_models(
        self, bundle: Bundle, present: Present, ready: Path, progress: Progress
    ) -> tuple[list[ModelPackage], list[Problem]]:
        """The bundle's packages; what is new to this machine, or damaged on it, is tried into `ready`."""
        packages, problems = read_packages(bundle.unpacked.folder, bundle.models)
        bundle.problems += problems
        records, warnings = [], []
        for done, (folder, package) in enumerate(packages.items()):
            progress("models", done, len(packages))
            record = record_of(package, self._clock.now())
            known = find(present.packages, record.name, record.version)
            if known is None or (is_same(known, record) and not is_whole(self._data_dir, known)):
                record = self._try(bundle, folder, record, ready)
            records.append(record)
            warnings += [Problem(f"models/{folder}", "", "recognised", text) for text in package.warnings]
        return records, warnings

    def _try(self, bundle: Bundle, folder: str, record: ModelPackage, ready: Path) -> ModelPackage:
        try:
            tried, _ = install_apart(self._pool, bundle.unpacked.folder / "models" / folder, ready)
        except BadDefinition as error:
            bundle.problems += in_folder(error.problems, f"models/{folder}")
            return record
        return replace(record, golden_results=tried.golden_results)

    def _wanting_assets(self, bundle: Bundle) -> dict[str, str]:
        """The bundle's assets that are not here, or here with other bytes."""
        folder = self._data_dir / "assets"
        return {
            sha256: file for sha256, file in bundle.assets.items() if file_sha256(folder / sha256) != sha256
        }

    def _bring_in(self, bundle: Bundle, records: Sequence[ModelPackage], actor: Actor, work: Path) -> None:
        for sha256, file in self._wanting_assets(bundle).items():
            (self._data_dir / "assets" / sha256).unlink(missing_ok=True)  # not what its name says
            self._blobs.put_asset((bundle.unpacked.folder / file).read_bytes())
        ready = [
            record for record in records if (work / "ready" / f"{record.name}-{record.version}").is_dir()
        ]
        with placed(self._data_dir, work, ready, self._versions.is_known):
            try:
                with self._db.write(actor) as tx:
                    self._write(tx, bundle, records, actor)
            except sqlite3.IntegrityError as error:
                raise Conflict(
                    f"Codes or ids of the bundle cross those already here ({error}).",
                    code="masters-conflict",
                    hint="Compare the bundle's ids with those of an export; nothing was changed.",
                ) from None
        self.reload()

    def _write(
        self, tx: sqlite3.Connection, bundle: Bundle, records: Sequence[ModelPackage], actor: Actor
    ) -> None:
        """Every row of the import, planned once more on what the transaction sees."""
        assert bundle.head is not None
        now = self._clock.now()
        changes = plan_changes(bundle, records, read_present(tx, self._data_dir), now)
        if changes.problems:
            raise BadDefinition("the masters here changed meanwhile", changes.problems)
        for change in changes.rows:
            if change.kind != "unchanged":
                store.put(tx, change.table, change.row, KEYS[change.table])
            if change.kind == "changed" and change.table == USERS:
                users.end_logins(tx, change.row["server_id"])
        for name, version in changes.activate.items():
            store.activate_model(tx, name, version, now)
        for key, entry in changes.imported.items():
            settings.put(tx, f"{IMPORTED}.{key}", entry, now)
        facts = {"name": bundle.head.name, "version": bundle.head.version}
        settings.put(tx, LAST_IMPORT, {**facts, "at": now, "by": actor.name}, now)
        counts = {
            word: [changes.count(table, "added"), changes.count(table, "changed")]
            for word, table in TABLES.items()
        }
        detail = {"added_changed": counts, "deactivated": changes.deactivated, "activated": changes.activate}
        audit.append(tx, "master.import", "bundle", f"{bundle.head.name} {bundle.head.version}", detail)


def still_whole(places: Mapping[K, Path], spoilt: Collection[str], data_dir: Path) -> dict[K, Path]:
    """What runs under way may still need, but for what a finding names."""
    return {key: path for key, path in places.items() if path.relative_to(data_dir).as_posix() not in spoilt}
