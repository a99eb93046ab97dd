"""The object store of one world: bytes in memory behind signed requests, so that the network can spoil them.

Rules of this file:
- It keeps what arrives. Whether it verifies the checksum that is sent along is the seed's choice: both kinds of
  store exist, and the centre must believe neither.
- `Shelf` is what the centre calls, in place of `central_server.objects.Objects`; `answer` is what devices reach.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable

import httpx

from central_server.errors import Unavailable
from central_server.objects import Found, Signed, object_key
from sync_protocol.canonical import sha256_hex
from tests.simulation.network import STORE, Answer, Host, Sent

CHECKSUM = "x-amz-checksum-sha256"


class Shelf(Host):
    """Objects by key."""

    def __init__(self, *, verifies: bool) -> None:
        self.objects: dict[str, bytes] = {}
        self.is_down = False
        self._verifies = verifies

    # ── for devices ─────────────────────────────────────────────────────────────────────────────────────

    def answer(self, sent: Sent) -> Answer:
        if self.is_down:
            return Answer(503, [(b"retry-after", b"1")], b"<Error><Code>SlowDown</Code></Error>")
        key = sent.url.path.removeprefix("/bucket/")
        if sent.method == "PUT":
            return self._put(key, sent)
        data = self.objects.get(key)
        return (
            Answer(404, [], b"<Error><Code>NoSuchKey</Code></Error>") if data is None else _ranged(data, sent)
        )

    def _put(self, key: str, sent: Sent) -> Answer:
        stated = dict(sent.headers).get(CHECKSUM.encode(), b"").decode()
        if self._verifies and stated != _base64_sha256(sent.body):
            return Answer(400, [], b"<Error><Code>BadDigest</Code></Error>")
        self.objects[key] = sent.body
        return Answer(200, [(b"etag", b'"1"')], b"")

    # ── for the centre ──────────────────────────────────────────────────────────────────────────────────

    def sign_put(self, sha256: str, size: int, expires_s: int) -> Signed:
        headers = {CHECKSUM: base64.b64encode(bytes.fromhex(sha256)).decode()}
        return Signed(self._url(sha256), headers)

    def sign_get(self, sha256: str, expires_s: int) -> Signed:
        return Signed(self._url(sha256), {})

    def look_at(self, sha256s: Iterable[str]) -> dict[str, tuple[Found, int]]:
        return {sha256: self.look(sha256) for sha256 in sha256s}

    def look(self, sha256: str) -> tuple[Found, int]:
        self._require_up()
        data = self.objects.get(object_key(sha256))
        if data is None:
            return Found.MISSING, 0
        return Found.VERIFIED if sha256_hex(data) == sha256 else Found.DIFFERING, len(data)

    def still_there(self, sha256s: Collection[str]) -> dict[str, bool]:
        self._require_up()
        return {sha256: object_key(sha256) in self.objects for sha256 in sha256s}

    def put(self, data: bytes) -> str:
        self._require_up()
        sha256 = sha256_hex(data)
        self.objects[object_key(sha256)] = data
        return sha256

    def delete(self, sha256: str) -> None:
        self._require_up()
        self.objects.pop(object_key(sha256), None)

    def _require_up(self) -> None:
        if self.is_down:
            raise Unavailable("store-unavailable", "The object store is down.")

    def _url(self, sha256: str) -> str:
        return str(httpx.URL(f"{STORE}/bucket/{object_key(sha256)}"))


def _ranged(data: bytes, sent: Sent) -> Answer:
    wanted = dict(sent.headers).get(b"range", b"").decode()
    if not wanted:
        return Answer(200, [], data)
    return Answer(206, [], data[int(wanted.removeprefix("bytes=").rstrip("-")) :])


def _base64_sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
