"""The objects of the object store: which are verified, and which device may have which.

Rules of this file:
- `checksum` is set when the bytes were verified, and taken away when they are found to be gone: a row without it
  counts as nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from central_server.store.database import Connection
from sync_protocol.messages import Blob

RECORD = """
    INSERT INTO files AS f (id, file_size, storage_path, checksum)
    SELECT gen_random_uuid(), size, key, sha256
    FROM unnest(%(sizes)s::bigint[], %(keys)s::text[], %(sha256s)s::text[]) AS b (size, key, sha256) ORDER BY key
    ON CONFLICT (storage_path) DO UPDATE SET file_size = excluded.file_size, checksum = excluded.checksum
    WHERE f.checksum IS NULL"""
ENTITLE = """
    INSERT INTO file_devices (checksum, device_id) SELECT sha256, %s FROM unnest(%s::text[]) AS b (sha256)
    ORDER BY 1 ON CONFLICT DO NOTHING"""
READABLE = """
    SELECT file_size FROM files WHERE checksum = %(sha256)s AND (
        EXISTS (SELECT 1 FROM file_devices d WHERE d.checksum = %(sha256)s AND d.device_id = %(device_id)s)
        OR EXISTS (SELECT 1 FROM model_packages WHERE archive_sha256 = %(sha256)s)
        OR EXISTS (SELECT 1 FROM assets WHERE sha256 = %(sha256)s))"""
INSTANT = """SELECT to_char((now() + make_interval(secs => %s)) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def verified(tx: Connection, sha256s: Sequence[str]) -> set[str]:
    """Those of which the bytes were verified."""
    found = tx.execute("SELECT checksum FROM files WHERE checksum = ANY(%s)", (list(sha256s),))
    return {str(checksum) for (checksum,) in found}


def record(tx: Connection, blobs: Sequence[Blob], keys: Sequence[str]) -> None:
    """These objects, with the sizes they really have, are verified and lie under these keys."""
    values = {"sizes": [blob.size for blob in blobs], "sha256s": [blob.sha256 for blob in blobs]}
    tx.execute(RECORD, values | {"keys": list(keys)})


def forget(tx: Connection, sha256s: Iterable[str]) -> None:
    """These objects are not there (any more)."""
    tx.execute("UPDATE files SET checksum = NULL WHERE checksum = ANY(%s)", (sorted(sha256s),))


def entitle(tx: Connection, device_id: str, sha256s: Iterable[str]) -> None:
    """The device has these bytes, or had them: it may have them back."""
    tx.execute(ENTITLE, (device_id, sorted(sha256s)))


def readable_size(tx: Connection, device_id: str, sha256: str) -> int | None:
    """Bytes of a verified object that the device may have: its own, or one that masters name; else None."""
    row = tx.execute(READABLE, {"sha256": sha256, "device_id": device_id}).fetchone()
    return None if row is None else int(str(row[0]))


def instant_in(tx: Connection, seconds: float) -> str:
    """The database's now and so many seconds, RFC 3339."""
    (row,) = tx.execute(INSTANT, (seconds,)).fetchall()
    return str(row[0])
