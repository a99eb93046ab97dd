"""The bytes of images and of what masters name: brought by devices, verified, and handed out.

Rules of this file:
- Bytes travel between the device and the object store; what passes here is permission and proof.
- The store is asked outside any transaction: a slow one must not hold up the rows.
- A blob is verified only when the store or this server has computed its name from its bytes (`objects`), whatever
  the device says; one that differs is removed, so that it can be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence

from central_server.errors import Refused
from central_server.objects import PLAIN_PUT_BYTES, Found, Objects, object_key, part_size
from central_server.store import files
from central_server.store.database import Database
from sync_protocol.messages import (
    Blob,
    CompleteReply,
    CompleteRequest,
    DownloadTicket,
    HaveReply,
    HaveRequest,
    UploadPart,
    UploadRequest,
    UploadTicket,
    VerifyReply,
    VerifyRequest,
)

TICKET_S = 3600
MAX_BYTES = 1 << 30


class Blobs:
    """Every method raises Unavailable when the database or the store is; `device_id` is known to be let in."""

    def __init__(self, database: Database, objects: Objects, *, max_bytes: int = MAX_BYTES) -> None:
        self._db, self._objects, self._max_bytes = database, objects, max_bytes

    def have(self, device_id: str, request: HaveRequest) -> HaveReply:
        """Which are missing. What is on record is looked for in the store: a restored one may lack it."""
        wanted = [blob.sha256 for blob in request.blobs]
        with self._db.snapshot() as tx:
            recorded = sorted(files.verified(tx, wanted))
            expires_at = files.instant_in(tx, TICKET_S)
        lost = {sha256 for sha256, is_there in self._objects.still_there(recorded).items() if not is_there}
        if recorded:
            with self._db.write() as tx:
                files.forget(tx, lost)
                files.entitle(tx, device_id, set(recorded) - lost)
        missing = {
            blob.sha256: blob for blob in request.blobs if blob.sha256 in lost or blob.sha256 not in recorded
        }
        small = [blob for blob in missing.values() if blob.size <= min(PLAIN_PUT_BYTES, self._max_bytes)]
        tickets = [self._plain_ticket(blob, expires_at) for blob in small] if request.wants_tickets else []
        return HaveReply(missing=tuple(missing), tickets=tuple(tickets))

    def upload(self, sha256: str, request: UploadRequest) -> UploadTicket:
        """How to send these bytes. Raises Refused (`blob-too-large`)."""
        if request.size > self._max_bytes:
            raise Refused("blob-too-large", f"{request.size} bytes; at most {self._max_bytes} are taken.")
        blob = Blob(sha256=sha256, size=request.size)
        with self._db.snapshot() as tx:
            expires_at = files.instant_in(tx, TICKET_S)
        if request.size <= PLAIN_PUT_BYTES:
            return self._plain_ticket(blob, expires_at)
        return self._multipart_ticket(blob, request.upload_id, expires_at)

    def complete(self, device_id: str, sha256: str, request: CompleteRequest) -> CompleteReply:
        """Verifies what was sent. Raises Refused (`blob-missing`, `blob-differs`)."""
        if request.upload_id is not None:
            self._objects.complete_multipart(sha256, request.upload_id)
        settled = self._settle(device_id, [Blob(sha256=sha256, size=request.size)])
        if sha256 in settled.differing:
            raise Refused("blob-differs", f"What was sent is not {sha256}; send it again from its beginning.")
        if sha256 not in settled.verified:
            raise Refused("blob-missing", f"{sha256} has not arrived.")
        return CompleteReply(sha256=sha256, is_verified=True)

    def verify(self, device_id: str, request: VerifyRequest) -> VerifyReply:
        """Verifies many, each sent with one PUT."""
        return self._settle(device_id, request.blobs)

    def download(self, device_id: str, sha256: str) -> DownloadTicket:
        """Raises Refused (`blob-missing`): not here, or not for this device."""
        with self._db.snapshot() as tx:
            size = files.readable_size(tx, device_id, sha256)
            expires_at = files.instant_in(tx, TICKET_S)
        if size is None:
            raise Refused("blob-missing", f"There is no {sha256} for this device.")
        url = self._objects.sign_get(sha256, TICKET_S).url
        return DownloadTicket(sha256=sha256, size=size, url=url, expires_at=expires_at)

    def keep(self, data: bytes) -> str:
        """Stores bytes of the server's own (a model archive, an asset); returns their sha256."""
        sha256 = self._objects.put(data)
        found, size = self._objects.look(sha256)
        if found is not Found.VERIFIED:
            raise Refused("blob-differs", f"The object store did not keep {sha256} as it was sent.")
        with self._db.write() as tx:
            files.record(tx, [Blob(sha256=sha256, size=size)], [object_key(sha256)])
        return sha256

    def _settle(self, device_id: str, blobs: Sequence[Blob]) -> VerifyReply:
        looks = self._objects.look_at({blob.sha256 for blob in blobs})
        whole = {name: size for name, (found, size) in looks.items() if found is Found.VERIFIED}
        wrong = {name for name, (found, _) in looks.items() if found is Found.DIFFERING}
        sound = [Blob(sha256=sha256, size=size) for sha256, size in whole.items()]
        with self._db.write() as tx:
            files.record(tx, sound, [object_key(sha256) for sha256 in whole])
            files.entitle(tx, device_id, whole)
            files.forget(tx, wrong)
        for sha256 in wrong:
            self._objects.delete(sha256)
        return VerifyReply(verified=tuple(whole), differing=tuple(wrong))

    def _plain_ticket(self, blob: Blob, expires_at: str) -> UploadTicket:
        signed = self._objects.sign_put(blob.sha256, blob.size, TICKET_S)
        part = UploadPart(number=1, url=signed.url, offset=0, size=blob.size, headers=dict(signed.headers))
        return UploadTicket(sha256=blob.sha256, upload_id=None, parts=(part,), expires_at=expires_at)

    def _multipart_ticket(self, blob: Blob, upload_id: str | None, expires_at: str) -> UploadTicket:
        arrived = self._objects.parts(blob.sha256, upload_id) if upload_id is not None else None
        if upload_id is None or arrived is None:
            upload_id, arrived = self._objects.begin_multipart(blob.sha256), {}
        parts = []
        step = part_size(blob.size)
        for number, offset in enumerate(range(0, blob.size, step), start=1):
            size = min(step, blob.size - offset)
            if arrived.get(number) != size:
                signed = self._objects.sign_part(blob.sha256, upload_id, number, size, TICKET_S)
                headers = dict(signed.headers)
                parts.append(
                    UploadPart(number=number, url=signed.url, offset=offset, size=size, headers=headers)
                )
        return UploadTicket(
            sha256=blob.sha256, upload_id=upload_id, parts=tuple(parts), expires_at=expires_at
        )
