"""Model packages and assets at the centre: verified, tried in a process of their own, stored as objects.

Rules of this file:
- A network from outside is loaded and run by an inference process only, never by the server.
- Object before row: an orphan object is garbage, an orphan row would be a lie. An object counts only once the store
  was seen to hold the bytes of its name.
- A version never changes. The archive is packed from the verified files, so the same package is the same object.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from central_server.masters.present import ASSETS, read_present
from central_server.objects import object_key
from central_server.store import files, operator_log
from central_server.store import masters as store
from central_server.store.database import Connection, Database
from edge_agent.archive import no_progress, pack, unpack
from edge_agent.clock import Clock
from edge_agent.disk import disk_errors
from edge_agent.errors import BadDefinition, BadInput, Conflict, Damaged, Unavailable
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.changes import ITEMS, MODELS, PIPELINES, Present, derived_id, packages_after
from edge_agent.masters.packages import file_sha256, install_apart, is_same
from edge_agent.masters.verify import check_models
from edge_agent.models import ModelPackage
from sync_protocol.messages import Blob

MAX_ASSET_BYTES = 64 << 20
SPACE = "masters"


class Objects(Protocol):
    """What masters need of the object store (`central_server.objects`)."""

    def put_file(self, path: Path, sha256: str) -> None: ...

    def look(self, sha256: str) -> tuple[str, int]: ...

    def read(self, sha256: str) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Packed:
    """A verified package and the zip of its files; `size` bytes."""

    record: ModelPackage
    path: Path
    sha256: str
    size: int


class Packages:
    """`scratch`: where private copies are made; None = the system's place for temporary files."""

    def __init__(
        self, database: Database, objects: Objects, clock: Clock, scratch: Path | None = None
    ) -> None:
        self._database, self._objects, self._clock, self._scratch = database, objects, clock, scratch

    def upload(
        self,
        path: Path,
        actor: str,
        *,
        name: str | None = None,
        version: str | None = None,
        activate: bool = False,
    ) -> tuple[str, str]:
        """Takes in one package (folder, zip or exported .onnx): its name and version.

        It becomes active if asked for, or if no version of its name is. Raises BadDefinition with every problem,
        Conflict (`version-exists`), InferenceFailed, Unavailable; then no row was changed.
        """
        with self.workspace() as work, trying() as pool:
            record, _ = install_apart(pool, path, work / "ready", name, version)
            packed = pack_package(record, work)
            with self._database.snapshot() as tx:
                _refuse_other(read_present(tx), record)
            self.keep(packed.path, packed.sha256)
            with self._database.write() as tx:
                store.lock(tx, SPACE)
                present = read_present(tx)
                _refuse_other(present, record)
                others = [one for one in present.packages if one.name == record.name and one.is_active]
                wanted = {record.name: record.version} if activate or not others else {}
                change_models(tx, present, [packed], wanted)
                operator_log.note(
                    tx, actor, "model.upload", f"{record.name}/{record.version}", {"sha256": packed.sha256}
                )
        return record.name, record.version

    def put_asset(self, path: Path, actor: str) -> str:
        """Takes in a file that pipelines may name: its sha256. Raises BadInput, Unavailable."""
        if not path.is_file() or path.stat().st_size > MAX_ASSET_BYTES:
            raise BadInput(
                f"{path.name} is no file of at most {MAX_ASSET_BYTES >> 20} MiB.", code="asset-unfit"
            )
        sha256 = file_sha256(path)
        if sha256 is None:
            raise BadInput(f"{path.name} cannot be read.", code="unreadable")
        self.keep(path, sha256)
        with self._database.write() as tx:
            store.lock(tx, SPACE)
            if put_assets(tx, read_present(tx), {sha256: path.stat().st_size}):
                operator_log.note(tx, actor, "asset.put", sha256)
        return sha256

    def keep(self, path: Path, sha256: str) -> None:
        """Stores a file as the object of its checksum, unless it is there; devices may then have it once a master
        names it. Raises Unavailable."""
        found, size = self._objects.look(sha256)
        if found != "verified":
            self._objects.put_file(path, sha256)
            found, size = self._objects.look(sha256)
        if found != "verified":
            raise Unavailable(
                f"The object store says {found} of an object just stored ({sha256}).",
                code="store-unavailable",
                hint="Check the object store's health, then try again; no row was changed.",
            )
        with self._database.write() as tx:
            files.record(tx, [Blob(sha256=sha256, size=size)], [object_key(sha256)])

    def fetch(self, sha256: str, target: Path) -> None:
        """Writes the object's bytes to `target`. Raises Damaged (`object-damaged`), Refused, Unavailable."""
        digest = hashlib.sha256()
        with disk_errors(), target.open("xb") as file:
            for chunk in self._objects.read(sha256):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            raise Damaged(
                f"The object store holds other bytes under {sha256}.",
                code="object-damaged",
                hint="Upload the package or asset again, or restore the object from its backup.",
            )

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A private folder that is gone afterwards."""
        with disk_errors(), tempfile.TemporaryDirectory(prefix="masters-", dir=self._scratch) as folder:
            yield Path(folder)


@contextmanager
def trying() -> Iterator[InferencePool]:
    """A process that tries foreign networks, for as long as it is needed."""
    pool = InferencePool()
    pool.start()
    try:
        yield pool
    finally:
        pool.close()


def pack_package(record: ModelPackage, work: Path) -> Packed:
    """The zip of the package in `work/ready`: the files its manifest names, in one order."""
    folder = work / "ready" / f"{record.name}-{record.version}"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    target = work / f"{folder.name}.zip"
    with disk_errors():
        pack(folder, names, target)
        size = target.stat().st_size
    sha256 = file_sha256(target)
    assert sha256 is not None
    return Packed(record, target, sha256, size)


def unpack_package(archive: Path, target: Path) -> None:
    """The files of an archive made by `pack_package`. Raises BadDefinition."""
    problems = unpack(archive, target, no_progress).problems
    if problems:
        shutil.rmtree(target, ignore_errors=True)
        raise BadDefinition(f"{archive.name} has {len(problems)} problem(s)", problems)


def change_models(
    tx: Connection, present: Present, new: Sequence[Packed], activate: Mapping[str, str | None]
) -> None:
    """Adds packages and makes versions the active ones (None: no version of that name).

    Raises BadDefinition when active pipelines or items could then not be used any more.
    """
    after = models_after(present, [packed.record for packed in new], activate)
    pipelines, items = present.tables[PIPELINES].values(), present.tables[ITEMS].values()
    problems = check_models(pipelines, items, present.packages, after, present.assets)
    if problems:
        raise BadDefinition("pipelines or items in use cannot do without the present version", problems)
    write_models(tx, present, new, activate)


def models_after(
    present: Present, new: Sequence[ModelPackage], activate: Mapping[str, str | None]
) -> list[ModelPackage]:
    named = {name: version for name, version in activate.items() if version is not None}
    after = packages_after(present.packages, new, named)
    return [replace(one, is_active=False) if activate.get(one.name, "") is None else one for one in after]


def write_models(
    tx: Connection, present: Present, new: Sequence[Packed], activate: Mapping[str, str | None]
) -> None:
    known = {(one.name, one.version) for one in present.packages}
    for packed in new:
        if (packed.record.name, packed.record.version) not in known:
            store.insert(tx, MODELS, model_row(packed))
    for name, version in activate.items():
        store.activate_model(tx, name, version)


def put_assets(tx: Connection, present: Present, sizes: Mapping[str, int]) -> int:
    """Adds the assets (sha256 → bytes) that are not known yet; how many."""
    new = sorted(sizes.keys() - present.assets)
    for sha256 in new:
        store.insert(tx, ASSETS, {"id": derived_id("asset", sha256), "sha256": sha256, "size": sizes[sha256]})
    return len(new)


def model_row(packed: Packed) -> dict[str, Any]:
    """The package as its row; not active yet."""
    record = packed.record
    return {
        "id": derived_id("model", record.name, record.version),
        "name": record.name,
        "version": record.version,
        "task": record.task,
        "archive_sha256": packed.sha256,
        "archive_size": packed.size,
        "model_sha256": record.model_sha256,
        "manifest": json.dumps(record.manifest, ensure_ascii=False),
        "is_active": False,
    }


def _refuse_other(present: Present, record: ModelPackage) -> None:
    known = next((p for p in present.packages if (p.name, p.version) == (record.name, record.version)), None)
    if known and not is_same(known, record):
        raise Conflict(
            f"{record.name} {record.version} is here with other content.",
            code="version-exists",
            hint="A version never changes: give the new package a new version.",
        )
