"""The unsent queue as files on a stick, and the server's answer to them settled here.

Rules of this file:
- Writing a parcel changes nothing in the queue: it may be lost, or brought to the server twice.
- What leaves was verified just before: a row or photograph that is not what was recorded stays here.
- A file is there when it is whole and durable, and never in the place of another; memory does not grow with it.
- Only an answer of this device's own server settles anything, and exactly what it names.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.disk import sync_directory, sync_file
from edge_agent.errors import BadInput, Damaged, Unavailable
from edge_agent.models import Actor
from edge_agent.store import audit, images, outbox, queue
from edge_agent.store.database import Database
from edge_agent.sync.central import packed
from edge_agent.sync.device import Standing
from edge_agent.sync.jobs import Progress, Report
from edge_agent.sync.push import plan_batch, read_entries
from sync_protocol import parcels
from sync_protocol.messages import PushOp, PushRequest
from sync_protocol.parcels import Batch, Manifest, Photograph

ROWS = 500
PAGE = 200
MEMBER_BYTES = 400  # of a member besides its bytes: two headers with its name


@dataclass(slots=True)
class Written:
    """What was written. `left_behind`: rows and photographs that are not what was recorded."""

    files: list[str] = field(default_factory=list)
    rows: int = 0
    photographs: int = 0
    bytes: int = 0
    left_behind: int = 0

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose parcel it is. `token_sha256`: hex, of the token that the server knows the device by."""

    device_id: str
    token_sha256: str
    standing: Standing


def export(
    database: Database,
    blobs: Blobs,
    clock: Clock,
    sender: Sender,
    file: Path,
    actor: Actor,
    report: Report,
    *,
    part_bytes: int = parcels.PART_BYTES,
) -> Mapping[str, Any]:
    """Writes all that is unsent to `file` (and FILE-2, FILE-3 … if one cannot hold it); what was written.

    Raises BadInput (`export-file`), Unavailable (`export-failed`), and what `report` raises; then no file is left.
    """
    written, parcel_id = Written(), clock.new_id()
    manifest = Manifest(
        id=parcel_id,
        device_id=sender.device_id,
        incarnation=sender.standing.incarnation,
        server_epoch=sender.standing.server_epoch,
        made_at=clock.now(),
        part=1,
        is_last=False,
        batches=(),
        blobs=(),
    )
    with _parts(file, manifest, parcels.key_of(sender.token_sha256, "parcel/1"), written, part_bytes) as part:
        for request in _batches(database, clock, sender.standing, written):
            part.add_batch(packed(request), len(request.ops))
            report(Progress("rows", written.rows))
        for photograph in _photographs(database, blobs, written):
            part.add_photograph(photograph)
            report(Progress("photographs", written.photographs, bytes_done=written.bytes))
    with database.write(actor) as tx:
        audit.append(tx, "queue.export", "sync_queue", parcel_id, written.document())
    return written.document()


def _batches(database: Database, clock: Clock, standing: Standing, written: Written) -> Iterator[PushRequest]:
    """What is unsent, oldest first, as the requests it would go out in: whole local transactions."""
    after_id, waiting, is_more = 0, list[PushOp](), True
    while waiting or is_more:
        while is_more and len(waiting) <= ROWS:
            with database.snapshot() as reader:
                ids = queue.unsent_ids(reader, after_id, ROWS)
                claimed = read_entries(outbox.entries(reader, ids))
            is_more = len(ids) == ROWS
            after_id = ids[-1] if ids else after_id
            waiting += claimed.ops
            written.left_behind += len(claimed.damaged)
        batch = tuple(plan_batch(waiting, ROWS))
        waiting = waiting[len(batch) :]
        if batch:
            yield PushRequest.model_construct(
                batch_id=clock.new_id(),
                incarnation=standing.incarnation,
                clock_offset_ms=standing.clock_offset_ms,
                ops=batch,
            )


def _photographs(database: Database, blobs: Blobs, written: Written) -> Iterator[bytes]:
    """The bytes the object store is not known to hold, each once."""
    after_id, seen = "", set[str]()
    while True:
        with database.read() as reader:
            page = images.not_uploaded(reader, after_id, PAGE)
        for image in page:
            if image.sha256 in seen:
                continue
            seen.add(image.sha256)
            try:
                data = blobs.read(image.file_path)
            except Damaged:
                data = b""
            if hashlib.sha256(data).hexdigest() == image.sha256:
                yield data
            else:
                written.left_behind += 1
        if len(page) < PAGE:
            return
        after_id = page[-1].id


# ── the files ───────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _parts(file: Path, manifest: Manifest, key: bytes, written: Written, part_bytes: int) -> Iterator[_Parts]:
    """The parcel while it is written; whole at the end of the block, or not there at all."""
    parts = _Parts(file, manifest, key, written, part_bytes)
    try:
        yield parts
        parts.finish()
    except BaseException as error:
        parts.abandon()
        if isinstance(error, OSError):
            raise Unavailable(
                f"{file} cannot be written ({error.strerror or error}).",
                code="export-failed",
                hint="Check that the stick is in, writable and has room, then write it again; nothing was lost.",
            ) from None
        raise


class _Parts:
    """One file after the other, each a parcel by itself and at most `part_bytes` long."""

    def __init__(self, file: Path, manifest: Manifest, key: bytes, written: Written, part_bytes: int) -> None:
        self._first, self._manifest, self._key, self._written = file, manifest, key, written
        self._part_bytes = part_bytes
        self._zip: zipfile.ZipFile | None = None
        self._size = 0
        self._batches: list[Batch] = []
        self._blobs: list[Photograph] = []
        self._done: list[Path] = []

    def add_batch(self, body: bytes, rows: int) -> None:
        archive = self._room_for(len(body))
        name = f"{len(self._batches) + 1:05}"
        archive.writestr(f"batches/{name}", body)
        sha256 = hashlib.sha256(body).hexdigest()
        self._batches.append(Batch(name=name, size=len(body), sha256=sha256, rows=rows))
        self._written.rows += rows
        self._count(len(body))

    def add_photograph(self, data: bytes) -> None:
        archive = self._room_for(len(data))
        sha256 = hashlib.sha256(data).hexdigest()
        archive.writestr(f"blobs/{sha256}", data)
        self._blobs.append(Photograph(sha256=sha256, size=len(data)))
        self._written.photographs += 1
        self._count(len(data))

    def finish(self) -> None:
        """Makes the last part whole."""
        self._close(is_last=True)
        for path in self._done:
            sync_directory(path.parent)
        self._written.files = [str(path) for path in self._done]

    def abandon(self) -> None:
        """Removes what was written."""
        if self._zip is not None:
            self._zip.close()
        for path in [*self._done, self._partial]:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        number = len(self._done) + 1
        return self._first if number == 1 else self._first.with_stem(f"{self._first.stem}-{number}")

    @property
    def _partial(self) -> Path:
        return self._path.with_name(f".{self._path.name}.part")

    def _room_for(self, size: int) -> zipfile.ZipFile:
        files = len(self._batches) + len(self._blobs)
        is_full = self._size + size + MEMBER_BYTES * (files + 10) > self._part_bytes
        if self._zip is not None and (is_full or files >= parcels.PART_FILES - 2):
            self._close(is_last=False)
        if self._zip is None:
            require_free(self._path)
            self._zip = zipfile.ZipFile(self._partial, "x", zipfile.ZIP_STORED, allowZip64=False)
        return self._zip

    def _count(self, size: int) -> None:
        self._size += size
        self._written.bytes += size

    def _close(self, *, is_last: bool) -> None:
        if self._zip is None:
            return
        changes = {"part": len(self._done) + 1, "is_last": is_last}
        manifest = self._manifest.model_copy(
            update={**changes, "batches": tuple(self._batches), "blobs": tuple(self._blobs)}
        )
        document = parcels.write_manifest(manifest)
        proof = parcels.proof_of(document, self._key)
        signature = parcels.Signature(device_id=manifest.device_id, proof=proof)
        self._zip.writestr(parcels.MANIFEST, document)
        self._zip.writestr(parcels.SIGNATURE, signature.model_dump_json())
        self._zip.close()
        sync_file(self._partial)
        path = self._path
        require_free(path)
        os.replace(self._partial, path)
        self._done.append(path)
        self._zip, self._size, self._batches, self._blobs = None, 0, [], []


def require_free(path: Path) -> None:
    """Raises BadInput (`export-file`)."""
    if path.exists():
        raise unusable(f"{path} is already there.")
    if not path.parent.is_dir():
        raise unusable(f"There is no directory {path.parent}.")


def unusable(detail: str) -> BadInput:
    return BadInput(
        detail,
        code="export-file",
        hint="Name a new file in a directory that exists, by its full path, outside the agent's data.",
    )
