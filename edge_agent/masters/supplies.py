"""The files of a round on their way in: which models and assets it needs, and models tried before it counts.

Rules of this file:
- A model is tried on this machine, golden samples and all, before anything is written; only what the round leaves in
  force is needed.
- Nothing of the database is changed here. Files of a round that is refused are garbage at most.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_agent.archive import LIMITS
from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.packages import (
    file_sha256,
    golden_results,
    in_folder,
    install_apart,
    is_whole,
    model_folder,
    verify_apart,
)
from edge_agent.masters.round import Round
from edge_agent.masters.verify import uses_of
from edge_agent.masters.versions import find
from edge_agent.models import ModelPackage
from edge_agent.store import masters as store
from edge_agent.store import pulled
from edge_agent.store.database import Database
from sync_protocol.tables import ASSETS, MODEL_PACKAGES, PIPELINES, PulledTable

MAX_ASSET_BYTES = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
Files = Callable[[str], Path]
"""sha256 → the verified file with these bytes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob that must be here before the round can be applied; `size` in bytes, `subject` the wire row."""

    sha256: str
    size: int
    subject: str


@dataclass(frozen=True, slots=True)
class Need:
    """A model of the server that would be in force; `is_here`: its verified files are."""

    row: Mapping[str, Any]
    is_here: bool

    @property
    def place(self) -> str:
        return f"{MODEL_PACKAGES.name}/{self.row['id']}"


class Supplies:
    """What a round needs beside its rows. Built by `Arrivals`."""

    def __init__(
        self, database: Database, blobs: Blobs, pool: InferencePool, clock: Clock, data_dir: Path
    ) -> None:
        self._db, self._blobs, self._pool = database, blobs, pool
        self._clock, self._data_dir = clock, data_dir

    def wanted(self, made: Round) -> list[Wanted]:
        """The blobs that the round needs and that are not here. Raises BadDefinition."""
        if not made.touches(MODEL_PACKAGES, ASSETS, PIPELINES):
            return []
        with self._db.snapshot() as reader:
            needs = self._needs(reader, made)
            assets = self._wanting_assets(reader, made)
        archives = [
            Wanted(need.row["archive_sha256"], need.row["archive_size"], need.place)
            for need in needs
            if not need.is_here
        ]
        found = [*archives, *assets]
        problems = [problem for one in found for problem in _unfit(one)]
        if problems:
            raise BadDefinition("the round names files that cannot be fetched", problems)
        return found

    def _needs(self, reader: sqlite3.Connection, made: Round) -> list[Need]:
        """The server's models that would be active, or that a pipeline in force would name."""
        rows = wire_rows(reader, made, MODEL_PACKAGES)
        touched = made.puts[MODEL_PACKAGES.name]
        used = {key for row in _active_pipelines(reader, made) for key in uses_of(row["definition"])[0]}
        installed = store.list_models(reader)
        needs = []
        for row in rows:
            if row["is_active"] or (row["name"], row["version"]) in used:
                known = find(installed, row["name"], row["version"])
                _refuse_other_content(row, known)
                is_here = known is not None and (row["id"] not in touched or is_whole(self._data_dir, known))
                needs.append(Need(row, is_here))
        return needs

    def _wanting_assets(self, reader: sqlite3.Connection, made: Round) -> list[Wanted]:
        """The assets that pipelines of the round name, known to the server and not whole here."""
        rows = {row["sha256"]: row for row in wire_rows(reader, made, ASSETS)}
        used = {
            sha256
            for row in made.rows(PIPELINES)
            if row["is_active"]
            for sha256 in uses_of(row["definition"])[1]
        }
        folder = self._data_dir / "assets"
        return [
            Wanted(sha256, rows[sha256]["size"], f"{ASSETS.name}/{rows[sha256]['id']}")
            for sha256 in sorted(used & rows.keys())
            if file_sha256(folder / sha256) != sha256
        ]

    def put_assets(self, made: Round, files: Files) -> None:
        if not made.touches(PIPELINES):
            return
        with self._db.snapshot() as reader:
            wanting = self._wanting_assets(reader, made)
        for one in wanting:
            (self._data_dir / "assets" / one.sha256).unlink(missing_ok=True)  # not what its name says
            self._blobs.put_asset(files(one.sha256).read_bytes())

    def try_models(self, made: Round, work: Path, files: Files) -> list[ModelPackage]:
        """Packages of the round that were tried here just now: new ones into `work/ready`, and those that become
        active once more. Raises BadDefinition with every model's problems."""
        if not made.touches(MODEL_PACKAGES, PIPELINES):
            return []
        with self._db.snapshot() as reader:
            needs, installed = self._needs(reader, made), store.list_models(reader)
        tried, problems = [], list[Problem]()
        for need in needs:
            known = find(installed, need.row["name"], need.row["version"])
            try:
                if not need.is_here:
                    tried.append(self._install(need, work, files))
                elif known and need.row["is_active"] and not known.is_active:
                    answer = verify_apart(self._pool, model_folder(self._data_dir, known.name, known.version))
                    tried.append(replace(known, golden_results=golden_results(answer)))
            except BadDefinition as error:
                problems += in_folder(error.problems, need.place)
        if problems:
            raise BadDefinition("models of the server do not run here as they must", problems)
        return tried

    def _install(self, need: Need, work: Path, files: Files) -> ModelPackage:
        row = need.row
        found, _ = install_apart(self._pool, files(row["archive_sha256"]), work / "ready")
        _refuse_other_content(row, found)
        if (found.name, found.version) != (row["name"], row["version"]):
            message = f"the archive holds {found.name} {found.version}"
            raise BadDefinition(message, [Problem("", "/name", "name-mismatch", message)])
        return replace(found, installed_at=self._clock.now())


def wire_rows(reader: sqlite3.Connection, made: Round, table: PulledTable) -> list[Mapping[str, Any]]:
    """The server's rows of a table that is kept whole, as the round leaves them."""
    after: dict[str, Mapping[str, Any]] = {} if made.is_full else {**pulled.pulled_data(reader, table)}
    after.update({row["id"]: row for row in made.rows(table)})
    return [row for row_id, row in after.items() if row_id not in made.tombstones[table.name]]


def _active_pipelines(reader: sqlite3.Connection, made: Round) -> Iterator[Mapping[str, Any]]:
    """The pipelines in force as the round leaves them."""
    rows = {row["id"]: row for row in store.rows(reader, PIPELINES.name)}
    if made.is_full:
        rows = {row_id: row for row_id, row in rows.items() if not row["row_version"]}
    rows |= {row["id"]: row for row in made.rows(PIPELINES)}
    gone = made.tombstones[PIPELINES.name]
    return (row for row_id, row in rows.items() if row["is_active"] and row_id not in gone)


def _refuse_other_content(row: Mapping[str, Any], package: ModelPackage | None) -> None:
    """Raises BadDefinition when a version is here, or in the archive, with other content than the server says."""
    if package is None:
        return
    stated = (row["task"], row["model_sha256"], json.loads(row["manifest"]))
    if stated != (package.task, package.model_sha256, package.manifest):
        message = f"{package.name} {package.version} has other content than the server says"
        place = f"{MODEL_PACKAGES.name}/{row['id']}"
        raise BadDefinition(message, [Problem(place, "/version", "model-immutable", message)])


def _unfit(one: Wanted) -> Iterator[Problem]:
    limit = LIMITS.packed_bytes if one.subject.startswith(MODEL_PACKAGES.name) else MAX_ASSET_BYTES
    if not _SHA256.fullmatch(one.sha256):
        yield Problem(one.subject, "", "bad-value", "its sha256 is not one")
    elif not 0 <= one.size <= limit:
        yield Problem(one.subject, "", "too-large", f"{one.size} bytes; at most {limit} are taken")
