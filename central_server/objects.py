"""The object store: the only user of boto3, and its errors as ours.

Rules of this file:
- An object is called by the sha256 of its bytes. It counts as what it is called only when the store, which was seen
  to refuse wrong bytes, or this server, by reading it, has computed that sha256: never because somebody says so.
- Devices get signed requests. Length and checksum are part of the signature, so nothing else can be sent with them.
- What one request can carry is a plain PUT; more is a multipart upload, of which the store knows what has arrived.
- All errors of the store are Unavailable: whatever it was, a device can do nothing but try again later.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.httpsession import URLLib3Session

from central_server.errors import Refused, Unavailable
from central_server.heads import Heads
from central_server.signatures import Keys, Place, place_of
from edge_agent.clock import Clock
from sync_protocol.canonical import sha256_hex

PLAIN_PUT_BYTES = 8 << 20
MOST_PARTS = 10_000
CHUNK_BYTES = 1 << 20
LOOKS_AT_ONCE = 8
ABANDONED_DAYS = 7
OWN_TICKET_S = 300
CHECKSUM, CHECKSUM_MODE = "x-amz-checksum-sha256", "x-amz-checksum-mode"
PROBE, ROOM = "probe/wrong-checksum", "probe/room"
GONE = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})
OURS_ALREADY = frozenset({"BucketAlreadyOwnedByYou"})
Answer = TypeVar("Answer")


class Found(StrEnum):
    """What lies under a blob's name."""

    VERIFIED = "verified"
    DIFFERING = "differing"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`public_url`: how devices reach the store, "" = as this server does. No keys: the machine's own (AWS)."""

    url: str
    bucket: str
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    region: str = "us-east-1"
    public_url: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request a device may make: `headers` must be sent as they are."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Head:
    """`sha256` is the store's own, of the whole object, if it keeps one."""

    size: int
    sha256: str | None


def object_key(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def part_size(size: int) -> int:
    """Bytes of each part but the last: 8 MiB, more only where 10,000 parts would not do."""
    return max(PLAIN_PUT_BYTES, -(-size // MOST_PARTS))


class Objects:
    """One bucket; `clock` is what signatures are dated by. Every method raises Unavailable (`store-unavailable`)."""

    def __init__(self, settings: StoreSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._here = place_of(settings.url, settings.bucket, settings.region)
        self._for_devices = place_of(settings.public_url or settings.url, settings.bucket, settings.region)
        verify = settings.ca_file or True
        session = boto3.Session(settings.access_key or None, settings.secret_key or None)
        self._credentials: Any = session.get_credentials()
        self._s3: Any = session.client(
            "s3",
            endpoint_url=settings.url,
            region_name=settings.region,
            verify=verify,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=3,
                read_timeout=60,
                retries={"mode": "standard"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self._http = URLLib3Session(verify=verify, timeout=(3, 60))
        self._heads = Heads(settings.url, settings.ca_file)
        self._looking = ThreadPoolExecutor(LOOKS_AT_ONCE, "objects")
        self._refuses: bool | None = None
        self._probing = threading.Lock()

    def prepare(self) -> None:
        """Makes the bucket if it is not there; of one it made, abandoned uploads are swept after a week."""
        bucket, region = self._settings.bucket, self._settings.region
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        sweep = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_DAYS}}
        rule = {"ID": "abandoned", "Status": "Enabled", "Filter": {"Prefix": ""}} | sweep
        with mapped_errors():
            if _unless(GONE, lambda: self._s3.head_bucket(Bucket=bucket)) is not None:
                return
            _unless(OURS_ALREADY, lambda: self._s3.create_bucket(Bucket=bucket, **place))
            with suppress(ClientError):  # not every store knows how
                self._s3.put_bucket_lifecycle_configuration(
                    Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
                )

    def close(self) -> None:
        self._looking.shutdown()
        self._http.close()
        self._heads.close()
        self._s3.close()

    # ── for devices ─────────────────────────────────────────────────────────────────────────────────────

    def sign_put(self, sha256: str, size: int, expires_s: int) -> Signed:
        """One PUT of exactly these bytes."""
        headers = {CHECKSUM: base64.b64encode(bytes.fromhex(sha256)).decode(), "content-length": str(size)}
        return self._sign(self._for_devices, "PUT", object_key(sha256), headers, expires_s)

    def sign_part(self, sha256: str, upload_id: str, number: int, size: int, expires_s: int) -> Signed:
        """One PUT of one part of a multipart upload."""
        query, headers = {"partNumber": str(number), "uploadId": upload_id}, {"content-length": str(size)}
        return self._sign(self._for_devices, "PUT", object_key(sha256), headers, expires_s, query)

    def sign_get(self, sha256: str, expires_s: int) -> Signed:
        return self._sign(self._for_devices, "GET", object_key(sha256), {}, expires_s)

    def begin_multipart(self, sha256: str) -> str:
        """The id of a new upload."""
        with mapped_errors():
            return str(self._s3.create_multipart_upload(**self._named(sha256))["UploadId"])

    def parts(self, sha256: str, upload_id: str) -> dict[int, int] | None:
        """Number → size of the parts that have arrived; None when there is no such upload (any more)."""
        with mapped_errors():
            stored = self._stored_parts(sha256, upload_id)
        return None if stored is None else {number: part["Size"] for number, part in stored.items()}

    def complete_multipart(self, sha256: str, upload_id: str) -> None:
        """Makes the object of the parts; that the upload is gone is no error: look what is there."""
        with mapped_errors():
            stored = self._stored_parts(sha256, upload_id)
            if not stored:
                return
            parts = [{"PartNumber": number, "ETag": stored[number]["ETag"]} for number in sorted(stored)]
            call = partial(self._s3.complete_multipart_upload, UploadId=upload_id, **self._named(sha256))
            _unless(GONE, partial(call, MultipartUpload={"Parts": parts}))

    def _stored_parts(self, sha256: str, upload_id: str) -> dict[int, dict[str, Any]] | None:
        pages = self._s3.get_paginator("list_parts").paginate(UploadId=upload_id, **self._named(sha256))
        listed = _unless(GONE, lambda: [part for page in pages for part in page.get("Parts", [])])
        if listed is None:
            return None
        newest: dict[int, dict[str, Any]] = {}  # SeaweedFS lists a part that was sent twice twice
        for part in sorted(listed, key=lambda part: part["LastModified"], reverse=True):
            newest.setdefault(int(part["PartNumber"]), part)
        return newest

    # ── what is there ───────────────────────────────────────────────────────────────────────────────────

    def look(self, sha256: str) -> tuple[Found, int]:
        """What lies under this name, and its size in bytes."""
        with mapped_errors():
            head = self._head(sha256)
            if head is None:
                return Found.MISSING, 0
            trusted = head.sha256 is not None and self.refuses_wrong_bytes()
            actual = head.sha256 if trusted else self._computed(sha256)
        return (Found.VERIFIED if actual == sha256 else Found.DIFFERING), head.size

    def still_there(self, sha256s: Iterable[str]) -> dict[str, bool]:
        """Whether the store still holds what was verified once; its bytes are not computed again."""
        return self._each(self._is_there, sha256s)

    def _is_there(self, sha256: str) -> bool:
        with mapped_errors():
            head = self._head(sha256)
        return head is not None and head.sha256 in (None, sha256)

    def look_at(self, sha256s: Iterable[str]) -> dict[str, tuple[Found, int]]:
        """`look` for many."""
        return self._each(self.look, sha256s)

    def _each(self, question: Callable[[str], Answer], sha256s: Iterable[str]) -> dict[str, Answer]:
        """The answers, several asked for at a time; a thread takes its share at once, for a turn of each costs more
        than what it asks."""

        def answered(share: list[str]) -> list[tuple[str, Answer]]:
            return [(sha256, question(sha256)) for sha256 in share]

        wanted = list(sha256s)
        shares = [wanted[first::LOOKS_AT_ONCE] for first in range(min(LOOKS_AT_ONCE, len(wanted)))]
        return dict(chain.from_iterable(self._looking.map(answered, shares)))

    def refuses_wrong_bytes(self) -> bool:
        """Whether the store checks what devices send: found out once, by sending it something wrong."""
        with self._probing:
            if self._refuses is None:
                self._refuses = self._probe()
            return self._refuses

    def _probe(self) -> bool:
        answer = self._try_put(PROBE, b"not these", bytes(32))
        if answer.status_code not in (200, 400):
            raise unavailable(f"it answered {answer.status_code} to PUT")
        return bool(answer.status_code == 400)

    def require_room(self) -> None:
        """Has the store take a small object. Raises Unavailable: `store-full` when all it does not do is that."""
        data = b"room"
        with mapped_errors():
            self._head(sha256_hex(data))
            answer = self._try_put(ROOM, data, hashlib.sha256(data).digest())
        if answer.status_code >= 500 or b"Quota" in answer.content:
            raise Unavailable(
                "store-full",
                f"The object store answers, but took no test object (HTTP {answer.status_code}): it is full.",
                hint="Free room on its disk or add a volume; images wait at the devices meanwhile.",
            )
        if answer.status_code != 200:
            raise unavailable(f"it answered {answer.status_code} to PUT")

    def _try_put(self, key: str, data: bytes, checksum: bytes) -> Any:
        """The store's answer to a signed PUT such as devices make; what it took is removed."""
        headers = {CHECKSUM: base64.b64encode(checksum).decode(), "content-length": str(len(data))}
        signed = self._sign(self._here, "PUT", key, headers, OWN_TICKET_S)
        request = AWSRequest("PUT", signed.url, headers=dict(signed.headers), data=data).prepare()
        answer = self._http.send(request)
        if answer.status_code == 200:
            self._s3.delete_object(Bucket=self._settings.bucket, Key=key)
        return answer

    def _head(self, sha256: str) -> Head | None:
        """Without boto3's client, which costs five times as much: this is asked once for every image."""
        asked = {CHECKSUM_MODE: "ENABLED"}
        target = self._here.target(
            "HEAD", object_key(sha256), {}, asked, self._keys(), self._clock.time(), OWN_TICKET_S
        )
        try:
            status, headers = self._heads.ask(target, {"Host": self._here.host, **asked})
        except OSError as error:
            raise unavailable(str(error) or type(error).__name__) from error
        if status == 404:
            return None
        if status != 200:
            raise unavailable(f"it answered {status} to HEAD")
        kept = headers.get(CHECKSUM, "")
        is_whole = kept and "-" not in kept  # with a dash: the checksum of the parts' checksums
        return Head(int(headers["content-length"]), base64.b64decode(kept).hex() if is_whole else None)

    def _computed(self, sha256: str) -> str:
        running = hashlib.sha256()
        for chunk in self._chunks(sha256):
            running.update(chunk)
        return running.hexdigest()

    # ── for the server itself ───────────────────────────────────────────────────────────────────────────

    def put(self, data: bytes) -> str:
        """Stores bytes, of which the store was shown the checksum; returns their sha256."""
        sha256 = sha256_hex(data)
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with mapped_errors():
            self._s3.put_object(Body=data, ChecksumSHA256=checksum, **self._named(sha256))
        return sha256

    def put_file(self, path: Path, sha256: str) -> None:
        """Stores a file of any size; `look` says whether it arrived whole."""
        with mapped_errors():
            self._s3.upload_file(str(path), self._settings.bucket, object_key(sha256))

    def read(self, sha256: str) -> Iterator[bytes]:
        """The object's bytes in pieces of a MiB. Raises Refused (`blob-missing`); its sha256 is not checked."""
        with mapped_errors():
            yield from self._chunks(sha256)

    def get(self, sha256: str) -> bytes:
        """The object's bytes, verified. Raises Refused (`blob-missing`, `blob-differs`)."""
        data = b"".join(self.read(sha256))
        if sha256_hex(data) != sha256:
            raise Refused("blob-differs", f"The object store holds other bytes under {sha256}.")
        return data

    def delete(self, sha256: str) -> None:
        with mapped_errors():
            self._s3.delete_object(**self._named(sha256))

    def _chunks(self, sha256: str) -> Iterator[bytes]:
        found = _unless(GONE, partial(self._s3.get_object, **self._named(sha256)))
        if found is None:
            raise Refused("blob-missing", f"The object store does not hold {sha256}.")
        yield from found["Body"].iter_chunks(CHUNK_BYTES)

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────

    def _named(self, sha256: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": object_key(sha256)}

    def _sign(
        self,
        place: Place,
        method: str,
        key: str,
        headers: Mapping[str, str],
        expires_s: int,
        query: Mapping[str, str] = MappingProxyType({}),
    ) -> Signed:
        with mapped_errors():
            keys = self._keys()
        target = place.target(method, key, query, headers, keys, self._clock.time(), expires_s)
        return Signed(place.url(target), headers)

    def _keys(self) -> Keys:
        """The present ones: a machine's own change. Raises botocore's errors."""
        if self._credentials is None:
            raise NoCredentialsError
        found = self._credentials.get_frozen_credentials()
        return Keys(found.access_key, found.secret_key, found.token or "")


def _unless(codes: Collection[str], call: Callable[[], Any]) -> Any:
    """What the call returns, or None when the store refuses with one of these codes."""
    try:
        return call()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in codes:
            return None
        raise


@contextmanager
def mapped_errors() -> Iterator[None]:
    """botocore's errors as Unavailable."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise unavailable(str(error)) from error


def unavailable(detail: str) -> Unavailable:
    return Unavailable(
        "store-unavailable",
        f"The object store did not do what it was asked ({detail}).",
        hint="Check that it runs, that its disk has room, and the keys and the bucket in the settings.",
    )
