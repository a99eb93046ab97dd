"""A central server in this process: versions, tombstones, epochs, digests and blobs as the real one has them.

Rules of this file:
- What it answers really travels: every page and row is sealed, compressed and read again by `sync_protocol.wire`.
- Faults are switched on by the test, one at a time; nothing happens by chance.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.inference.documents import canonical_bytes, sha256_of
from edge_agent.inference.package import read_package
from edge_agent.sync.lane import Kind, SyncFailed
from sync_protocol import wire
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.checksums import bucket_of, digest
from sync_protocol.messages import (
    Blob,
    BucketReply,
    BucketSum,
    Change,
    DigestReply,
    DownloadTicket,
    HaveReply,
    Page,
    RowsReply,
    RowSum,
)
from sync_protocol.tables import PULLED, SPACES

AT = "2026-11-01T00:00:00.000Z"
Row = dict[str, Any]


def new_id(number: int) -> str:
    return f"018f0000-0000-7000-8000-{number:012d}"


@dataclass
class FakeCentral:
    """`facts`: table → id → sha256 of the device's own rows; `cut_after`: bytes of a download before it breaks."""

    epoch: str = field(default_factory=lambda: str(uuid.uuid4()))
    horizon: int = 0
    rows_per_page: int = 2000
    changes: dict[str, dict[tuple[str, str], Change]] = field(
        default_factory=lambda: {space: {} for space in SPACES}
    )
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPACES, 0))
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None
    damage: Callable[[Page], Page] | None = None
    asked: list[str] = field(default_factory=list)

    # ── what people at the centre do ────────────────────────────────────────────────────────────────

    def put(self, table: str, row: Row) -> Row:
        """Stores a row as it would travel; returns it."""
        self.put_raw(table, row[PULLED[table].key], canonical_row(row).decode())
        return row

    def put_raw(self, table: str, row_id: str, data: str, space: str = "masters") -> None:
        space = PULLED[table].space if table in PULLED else space
        version = self._next(space)
        change = Change(table, row_id, "put", version, data, sha256_hex(data.encode()))
        self.changes[space][table, row_id] = change

    def plant(self, table: str, row: Row) -> None:
        """A row that no version tells of."""
        space = PULLED[table].space
        version = self.versions[space]
        self.put(table, row)
        self.versions[space] = version
        key = table, row[PULLED[table].key]
        self.changes[space][key] = self.changes[space][key]._replace(version=version)

    def change(self, table: str, row_id: str, **values: Any) -> Row:
        row = json.loads(self.changes[PULLED[table].space][table, row_id].data)
        return self.put(table, row | values)

    def delete(self, table: str, row_id: str) -> None:
        space = PULLED[table].space
        self.changes[space][table, row_id] = Change(table, row_id, "tombstone", self._next(space))

    def restore_from_backup(self) -> None:
        """Another history: versions start low again."""
        self.epoch = str(uuid.uuid4())
        for space, changes in self.changes.items():
            ordered = sorted((c for c in changes.values() if c.operation == "put"), key=lambda c: c.version)
            self.versions[space] = len(ordered)
            self.changes[space] = {
                (c.table, c.id): c._replace(version=number) for number, c in enumerate(ordered, 1)
            }

    def _next(self, space: str) -> int:
        self.versions[space] += 1
        return self.versions[space]

    # ── what a device asks ──────────────────────────────────────────────────────────────────────────

    @property
    def heads(self) -> dict[str, int]:
        return dict(self.versions)

    def pull(self, space: str, cursor: int, epoch: str, max_bytes: int) -> tuple[wire.PageColumns, bytes]:
        self.asked.append(f"pull {space} {cursor}")
        head = self.versions[space]
        if cursor and (epoch != self.epoch or cursor > head or cursor < self.horizon):
            raise SyncFailed(Kind.TRANSIENT, "pull-reset", f"Cursor {cursor} cannot be continued.")
        after = sorted(
            (c for c in self.changes[space].values() if c.version > cursor), key=lambda c: c.version
        )
        shown = tuple(after[: self.rows_per_page])
        has_more = len(shown) < len(after)
        page = Page(
            space=space,
            server_epoch=self.epoch,
            from_cursor=cursor,
            to_cursor=shown[-1].version if has_more else head,
            has_more=has_more,
            changes=shown,
        )
        page = self.damage(page) if self.damage else page
        body = wire.pack(wire.write_page(page))
        return wire.page_columns(wire.unpack(body)), body

    def rows(self, space: str, table: str, ids: Sequence[str]) -> RowsReply:
        found = (self.changes[space].get((table, one)) for one in ids)
        changes = tuple(one for one in found if one and one.operation == "put")
        reply = RowsReply(space=space, table=table, changes=changes)
        return wire.read_rows(wire.unpack(wire.pack(wire.write_rows(reply))))

    def digest(self, space: str, table: str) -> DigestReply:
        self.asked.append(f"digest {space} {table}")
        sums = digest(
            (row_id, bytes.fromhex(sha256)) for row_id, sha256 in self._sha256s(space, table).items()
        )
        buckets = tuple(
            BucketSum(bucket=number, count=one.count, hash_sum=str(one.hash_sum))
            for number, one in sums.items()
        )
        head = self.versions.get(space, 0)
        return DigestReply(space=space, table=table, head=head, buckets=buckets)

    def bucket(self, space: str, table: str, bucket: int) -> BucketReply:
        rows = [(i, s) for i, s in self._sha256s(space, table).items() if bucket_of(i) == bucket]
        sums = tuple(RowSum(id=row_id, sha256=sha256) for row_id, sha256 in rows)
        return BucketReply(space=space, table=table, bucket=bucket, rows=sums)

    def have(self, blobs: Sequence[Blob]) -> HaveReply:
        return HaveReply(missing=tuple(one.sha256 for one in blobs if one.sha256 not in self.blobs))

    def download_ticket(self, sha256: str) -> DownloadTicket:
        self.asked.append(f"download {sha256[:8]}")
        if sha256 not in self.blobs:
            raise SyncFailed(Kind.TRANSIENT, "blob-missing", "not there")
        size = len(self.blobs[sha256])
        return DownloadTicket(sha256=sha256, size=size, url=f"fake:{sha256}", expires_at=AT)

    def fetch(self, url: str, max_bytes: int, offset: int = 0) -> Iterator[bytes]:
        self.asked.append(f"fetch from {offset}")
        data = self.blobs[url.removeprefix("fake:")][offset:]
        assert len(data) <= max_bytes
        if self.cut_after is not None:
            yield data[: self.cut_after]
            raise SyncFailed(Kind.TRANSIENT, "connection-lost", "cut")
        yield data

    def _sha256s(self, space: str, table: str) -> dict[str, str]:
        if space == "facts":
            return self.facts.get(table, {})
        return {
            c.id: c.sha256 for c in self.changes[space].values() if c.table == table and c.operation == "put"
        }


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────


def user(number: int, **values: Any) -> Row:
    return {
        "created_at": AT,
        "email": None,
        "full_name": f"人 {number}",
        "is_active": 1,
        "password_hash": "",
        "role": "inspector",
        "server_id": new_id(number),
        "updated_at": AT,
        "username": f"user{number}",
    } | values


def product(number: int, **values: Any) -> Row:
    return {
        "created_at": AT,
        "created_by": None,
        "description": None,
        "id": new_id(number),
        "is_active": 1,
        "product_code": f"P{number}",
        "product_name": f"製品 {number}",
        "updated_at": AT,
        "version": "1",
    } | values


def pipeline(number: int, document: dict[str, Any], **values: Any) -> Row:
    return {
        "code": document["code"],
        "created_at": AT,
        "created_by": None,
        "definition": json.dumps(document),  # as PostgreSQL writes it: not canonical
        "definition_version": document["version"],
        "description": None,
        "id": new_id(number),
        "is_active": 1,
        "name": document["code"],
        "sha256": sha256_of(document),
        "updated_at": AT,
        "version": 1,
    } | values


def item(number: int, target: Row, criteria: dict[str, Any], **values: Any) -> Row:
    return {
        "ai_enabled": 0,
        "created_at": AT,
        "criteria": canonical_bytes(criteria).decode(),
        "id": new_id(number),
        "inspection_type": criteria["type"],
        "is_active": 1,
        "item_code": f"I{number}",
        "item_name": f"項目 {number}",
        "order_sequence": number,
        "pipeline_id": None,
        "required": 1,
        "target_id": target["id"],
        "updated_at": AT,
    } | values


def model(number: int, folder: Path, blobs: dict[str, bytes], **values: Any) -> Row:
    """The package in `folder` as the centre offers it; its archive goes into `blobs`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    data = packed.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    blobs[sha256] = data
    manifest = read_package(folder).manifest
    return {
        "archive_sha256": sha256,
        "archive_size": len(data),
        "created_at": AT,
        "id": new_id(number),
        "is_active": 1,
        "manifest": json.dumps(manifest.document()),
        "model_sha256": manifest.sha256,
        "name": manifest.name,
        "task": manifest.task,
        "updated_at": AT,
        "version": manifest.version,
    } | values


def asset(number: int, data: bytes, blobs: dict[str, bytes]) -> Row:
    sha256 = hashlib.sha256(data).hexdigest()
    blobs[sha256] = data
    return {"created_at": AT, "id": new_id(number), "sha256": sha256, "size": len(data)}


def decision(number: int, session_id: str, **values: Any) -> Row:
    return {
        "decided_at": AT,
        "decided_by": new_id(1),
        "final_result": "NG",
        "id": new_id(number),
        "item_id": None,
        "reason": "写真を見直した",
        "session_id": session_id,
        "version": 1,
    } | values
