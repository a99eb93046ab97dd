"""The versions of model packages: installed, activated, rolled back, tried again.

Rules of this file:
- A version becomes active only after its golden samples agreed on this machine and everything that uses it
  still compiles and fits; then one transaction with its audit entry.
- Any failure leaves the active version as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent.clock import Clock
from edge_agent.errors import BadDefinition, Conflict, Damaged, NotFound
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.changes import ITEMS, KEYS, MODELS, PIPELINES, Present, model_row, packages_after
from edge_agent.masters.loading import read_present
from edge_agent.masters.packages import (
    golden_results,
    install_apart,
    is_same,
    is_whole,
    model_folder,
    placed,
    verify_apart,
    workspace,
)
from edge_agent.masters.report import ModelTest
from edge_agent.masters.verify import check_models
from edge_agent.models import Actor, ModelPackage
from edge_agent.store import audit
from edge_agent.store import masters as store
from edge_agent.store.database import Database


class ModelVersions:
    """`lock` makes changes of the masters take turns; `reload` brings a committed one into force."""

    def __init__(
        self,
        database: Database,
        pool: InferencePool,
        clock: Clock,
        data_dir: Path,
        lock: threading.RLock,
        reload: Callable[[], object],
    ) -> None:
        self._db, self._pool, self._clock, self._data_dir = database, pool, clock, data_dir
        self._lock, self._reload = lock, reload

    def install(
        self, path: Path, actor: Actor, name: str | None, version: str | None, activate: bool
    ) -> ModelPackage:
        """See `Masters.install_model`."""
        with self._lock, workspace(self._data_dir, self._clock.new_id()) as work:
            found, _ = install_apart(self._pool, path, work / "ready", name, version)
            package = replace(found, installed_at=self._clock.now())
            present = self._present()
            known = find(present.packages, package.name, package.version)
            if known and not is_same(known, package):
                raise Conflict(
                    f"{package.name} {package.version} is installed with other content.",
                    code="version-exists",
                    hint="A version never changes: give the new package a new version.",
                )
            activate = activate or all(not p.is_active for p in present.packages if p.name == package.name)
            wanted = {package.name: package.version} if activate else {}
            self._refuse_breaking(present, [package], wanted)
            whole = known is not None and is_whole(self._data_dir, known)
            if not whole or (activate and known and not known.is_active):
                files = () if whole else (package,)
                with placed(self._data_dir, work, files, self.is_known):
                    self._write(replace(known or package, golden_results=found.golden_results), wanted, actor,
                                "model.install")  # fmt: skip
                self._reload()
        return self.get(package.name, package.version)

    def activate(self, name: str, version: str, actor: Actor, action: str = "model.activate") -> ModelPackage:
        """See `Masters.activate_model`."""
        with self._lock:
            package = self.get(name, version)
            if package.is_active:
                return package
            golden = self._verify(package)
            self._refuse_breaking(self._present(), [], {name: version})
            self._write(replace(package, golden_results=golden), {name: version}, actor, action)
            self._reload()
            return self.get(name, version)

    def rollback(self, name: str, actor: Actor) -> ModelPackage:
        """See `Masters.rollback_model`."""
        with self._lock:
            with self._db.read() as reader:
                previous = store.previous_model(reader, name)
            if previous is None:
                raise Conflict(
                    f"No other version of {name} was ever active here.",
                    code="no-previous-version",
                    hint="List the installed versions and activate one of them by name.",
                )
            return self.activate(name, previous.version, actor, "model.rollback")

    def test(self, name: str, version: str) -> ModelTest:
        """See `Masters.test_model`."""
        package = self.get(name, version)
        try:
            return ModelTest(name, version, True, self._verify(package))
        except BadDefinition as error:
            return ModelTest(name, version, False, [], tuple(error.problems))

    def get(self, name: str, version: str) -> ModelPackage:
        """Raises NotFound."""
        with self._db.read() as reader:
            package = store.get_model(reader, name, version)
        if package is None:
            raise NotFound(f"There is no model {name} {version} here.", code="unknown-model")
        return package

    def is_known(self, package: ModelPackage) -> bool:
        """Whether the store has a row of this name and version."""
        with self._db.read() as reader:
            return store.get_model(reader, package.name, package.version) is not None

    def _present(self) -> Present:
        with self._db.snapshot() as reader:
            return read_present(reader, self._data_dir)

    def _write(self, package: ModelPackage, activate: Mapping[str, str], actor: Actor, action: str) -> None:
        with self._db.write(actor) as tx:
            store.put(tx, MODELS, model_row(package), KEYS[MODELS])
            for name, version in activate.items():
                store.activate_model(tx, name, version, self._clock.now())
            facts = {"sha256": package.model_sha256, "activated": bool(activate)}
            audit.append(tx, action, MODELS, f"{package.name} {package.version}", facts)

    def _refuse_breaking(
        self, present: Present, new: Sequence[ModelPackage], activate: Mapping[str, str]
    ) -> None:
        after = packages_after(present.packages, new, activate)
        pipelines, items = present.tables[PIPELINES].values(), present.tables[ITEMS].values()
        problems = check_models(pipelines, items, present.packages, after, present.assets)
        if problems:
            raise BadDefinition("pipelines or items in force cannot use this version", problems)

    def _verify(self, package: ModelPackage) -> list[dict[str, Any]]:
        """Golden results of an installed version. Raises BadDefinition, Damaged, InferenceFailed."""
        answer = verify_apart(self._pool, model_folder(self._data_dir, package.name, package.version))
        if answer["manifest"] != package.manifest:
            raise Damaged(
                f"The files of {package.name} {package.version} are not those that were installed.",
                code="model-damaged",
                hint="Install the same package again: its files are then put back.",
            )
        return golden_results(answer)


def find(packages: Sequence[ModelPackage], name: str, version: str) -> ModelPackage | None:
    return next((p for p in packages if (p.name, p.version) == (name, version)), None)
