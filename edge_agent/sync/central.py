"""The central server and its object store as this device reaches them: the one place that speaks HTTP to them.

Rules of this file:
- Every foreign failure becomes SyncFailed here (what the codecs refuse in `lane.understood`) and nowhere else, also in
  the middle of a body.
- A problem document's `code` says what a refusal means. A status without one is some proxy's: it never means that
  the device may give anything up.
- Nothing is read without a limit, nothing of an answer is parsed before its seal is verified, no redirect is followed.
- The device's token goes to the server only; tickets of the object store carry their own permission.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from edge_agent.clock import Clock
from edge_agent.sync.client import ANSWER_S, CONNECT_S
from edge_agent.sync.lane import Kind, SyncFailed, understood
from sync_protocol import codes, wire
from sync_protocol.messages import (
    Blob,
    BucketReply,
    CompleteReply,
    CompleteRequest,
    DigestReply,
    DownloadTicket,
    EnrollReply,
    EnrollRequest,
    HaveReply,
    HaveRequest,
    HelloReply,
    HelloRequest,
    Message,
    ProblemDetails,
    PushReply,
    PushRequest,
    RowsReply,
    UploadRequest,
    UploadTicket,
    VerifyReply,
    VerifyRequest,
    WaitReply,
)

MAX_PROBLEM_BYTES = 64 << 10
CHUNK_BYTES = 256 << 10
LONGEST_RETRY_AFTER_S = 86_400.0
SEALED = {"Content-Type": wire.MEDIA_TYPE, "Content-Encoding": wire.ENCODING}
STORE_ERROR = re.compile(r"<Code>(\w{1,60})</Code>")
UNTRUSTED = "Check the server's certificate; for a private certificate authority set `central_ca_file`."
AnyReply = TypeVar("AnyReply", bound=Message)


class Central:
    """The server at `base_url`. `client` (and so its transport) is the caller's, who closes it.

    A transport made for tests must answer with a stream (`httpx.Response(stream=...)`): given `content`, httpx
    decodes it before the seal is seen. Every method raises SyncFailed and nothing else.
    """

    def __init__(self, base_url: str, token: str, client: httpx.Client, clock: Clock) -> None:
        self._api = f"{base_url.rstrip('/')}/api/v1"
        self._client, self._clock = client, clock
        self._headers = {"Accept-Encoding": wire.ENCODING}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def enroll(self, request: EnrollRequest) -> EnrollReply:
        """A token for a one-time code."""
        return self._ask(EnrollReply, "POST", "/devices/enroll", request)

    def hello(self, request: HelloRequest) -> HelloReply:
        return self._ask(HelloReply, "POST", "/sync/hello", request)

    def push(self, request: PushRequest, body: bytes) -> PushReply:
        """`body` is `packed(request)`: the caller made it to know its size."""
        with understood():
            return wire.read_push_reply(self._send("POST", "/sync/push", body), request)

    def pull(self, space: str, cursor: int, epoch: str, max_bytes: int) -> tuple[wire.PageColumns, bytes]:
        """The next page, its rows not verified yet, and the packed body it came in."""
        params = {"space": space, "cursor": cursor, "max_bytes": max_bytes} | (
            {"epoch": epoch} if epoch else {}
        )
        with understood():
            body, encoding = self._receive("GET", "/sync/pull", params=params)
            document = wire.unpack(body, encoding)
            return wire.page_columns(document), body if encoding == wire.ENCODING else wire.pack(document)

    def wait(self, space: str, cursor: int, timeout_s: float) -> WaitReply:
        """Answers as soon as the space's head is above `cursor`, at the latest after `timeout_s`."""
        params = {"space": space, "cursor": cursor, "timeout_s": timeout_s}
        return self._ask(WaitReply, "GET", "/sync/wait", params=params, answer_s=timeout_s + ANSWER_S)

    def digest(self, space: str, table: str) -> DigestReply:
        return self._ask(DigestReply, "GET", "/sync/digest", params={"space": space, "table": table})

    def bucket(self, space: str, table: str, bucket: int) -> BucketReply:
        params = {"space": space, "table": table}
        return self._ask(BucketReply, "GET", f"/sync/digest/{bucket}", params=params)

    def rows(self, space: str, table: str, ids: Sequence[str]) -> RowsReply:
        params = {"space": space, "table": table, "ids": ",".join(ids)}
        with understood():
            return wire.read_rows(self._send("GET", "/sync/rows", params=params))

    def have(self, blobs: Sequence[Blob], *, wants_tickets: bool = False) -> HaveReply:
        """Which of them the store does not hold; with tickets, small ones can be sent at once."""
        request = HaveRequest(blobs=tuple(blobs), wants_tickets=wants_tickets)
        return self._ask(HaveReply, "POST", "/blobs/have", request)

    def verify(self, blobs: Sequence[Blob]) -> VerifyReply:
        """Which of them, each sent with one PUT, have arrived whole."""
        return self._ask(VerifyReply, "POST", "/blobs/verify", VerifyRequest(blobs=tuple(blobs)))

    def upload_ticket(self, sha256: str, size: int, upload_id: str | None = None) -> UploadTicket:
        """How to send these bytes; with `upload_id`, what is left of that multipart upload."""
        request = UploadRequest(size=size, upload_id=upload_id)
        return self._ask(UploadTicket, "POST", f"/blobs/{sha256}/upload", request)

    def complete(self, sha256: str, request: CompleteRequest) -> CompleteReply:
        return self._ask(CompleteReply, "POST", f"/blobs/{sha256}/complete", request)

    def download_ticket(self, sha256: str) -> DownloadTicket:
        return self._ask(DownloadTicket, "POST", f"/blobs/{sha256}/download")

    def put_part(self, url: str, headers: Mapping[str, str], body: bytes) -> str:
        """Stores bytes by a ticket's presigned request; returns the store's ETag ("" if it names none)."""
        with (
            _reached("store", self._client),
            self._client.stream("PUT", url, headers=dict(headers), content=body) as answer,
        ):
            raw = _read(answer, MAX_PROBLEM_BYTES)
        if not answer.is_success:
            raise _store_refusal(answer.status_code, raw)
        return str(answer.headers.get("ETag", ""))

    def fetch(self, url: str, max_bytes: int, offset: int = 0) -> Iterator[bytes]:
        """The object's bytes from `offset` on, by a ticket's URL, in pieces; never more than `max_bytes`."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        with _reached("store", self._client), self._client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != (206 if offset else 200):
                raise _store_refusal(answer.status_code, _read(answer, MAX_PROBLEM_BYTES))
            left = max_bytes
            for piece in answer.iter_raw(CHUNK_BYTES):
                left -= len(piece)
                if left < 0:
                    raise SyncFailed(
                        Kind.DAMAGED, "blob-differs", f"More than the {max_bytes} bytes announced."
                    )
                yield piece

    def _ask(
        self, kind: type[AnyReply], method: str, path: str, message: Message | None = None, **more: Any
    ) -> AnyReply:
        body = b"" if message is None else wire.pack(wire.write(message))
        with understood():
            return wire.read(kind, self._send(method, path, body, **more))

    def _send(self, method: str, path: str, body: bytes = b"", **more: Any) -> bytes:
        """The unsealed document of a 2xx answer."""
        return wire.unpack(*self._receive(method, path, body, **more))

    def _receive(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        params: Mapping[str, Any] | None = None,
        answer_s: float = ANSWER_S,
    ) -> tuple[bytes, str]:
        """The body of a 2xx answer and its Content-Encoding."""
        headers = self._headers | (SEALED if body else {})
        timeout = httpx.Timeout(answer_s, connect=CONNECT_S)
        with _reached("server", self._client):
            request = self._client.build_request(
                method, self._api + path, params=params, headers=headers, content=body, timeout=timeout
            )
            answer = self._client.send(request, stream=True, follow_redirects=False)
            try:
                raw = _read(answer, wire.MAX_DOCUMENT_BYTES if answer.is_success else MAX_PROBLEM_BYTES)
            finally:
                answer.close()
        if not answer.is_success:
            raise refusal(answer.status_code, answer.headers, raw, self._clock.time())
        return raw, answer.headers.get("Content-Encoding", "")


def packed(request: PushRequest) -> bytes:
    """A batch as it travels. Its rows' checksums are verified already."""
    return wire.pack(wire.write_push(request))


def _read(answer: httpx.Response, max_bytes: int) -> bytes:
    pieces, left = [], max_bytes
    for piece in answer.iter_raw():
        left -= len(piece)
        if left < 0:
            raise SyncFailed(Kind.DAMAGED, "reply-too-large", f"The answer has more than {max_bytes} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


# ── what failures mean ──────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _reached(what: str, client: httpx.Client) -> Iterator[None]:
    """httpx's errors as ours; `what` was talked to: server or store."""
    try:
        yield
    except (RuntimeError, httpx.TransportError) as error:
        if client.is_closed:
            raise SyncFailed(Kind.OFFLINE, "link-closed", "The agent is stopping, or enrols anew.") from error
        if isinstance(error, RuntimeError):
            raise
        raise _unreached(what, error) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
        raise SyncFailed(Kind.TRANSIENT, f"{what}-unusable", f"{type(error).__name__}: {error}") from error


def _unreached(what: str, error: httpx.TransportError) -> SyncFailed:
    told = str(error) or type(error).__name__
    if _is_tls(error):
        detail = f"No trusted connection to the {what} ({told})."
        return SyncFailed(Kind.TRANSIENT, "tls-failed", detail, hint=UNTRUSTED)
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
        return SyncFailed(Kind.OFFLINE, f"{what}-unreachable", f"The {what} was not reached ({told}).")
    if isinstance(error, httpx.TimeoutException):
        return SyncFailed(Kind.TRANSIENT, f"{what}-silent", f"The {what} did not answer in time.")
    return SyncFailed(Kind.TRANSIENT, "connection-lost", f"The connection to the {what} broke ({told}).")


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def refusal(status: int, headers: Mapping[str, str], raw: bytes, now_s: float) -> SyncFailed:
    """What an answer that is not a success means."""
    retry_after = retry_after_s(headers.get("Retry-After", ""), now_s)
    problem = _problem(headers, raw)
    if problem is None:
        return _naked_refusal(status, headers, retry_after)
    if retry_after is None and problem.retry_after is not None:
        retry_after = retry_after_s(str(problem.retry_after), now_s)
    return SyncFailed(kind_of(problem.code, retry_after), problem.code, problem.detail, retry_after)


def kind_of(code: str, retry_after: float | None = None) -> Kind:
    """What the server's own word means; one that only a newer server knows is tried again."""
    known = codes.lookup(code)
    if code == "throttled" or (retry_after is not None and known.disposition is codes.Disposition.RETRY):
        return Kind.THROTTLE
    if code in ("batch-damaged", "page-damaged"):
        return Kind.DAMAGED
    if known.scope is codes.Scope.DEVICE and known.disposition is codes.Disposition.STOP:
        return Kind.PERMANENT if code == "protocol-unknown" else Kind.AUTH
    return Kind.PERMANENT if known.disposition is codes.Disposition.DEAD else Kind.TRANSIENT


def _naked_refusal(status: int, headers: Mapping[str, str], retry_after: float | None) -> SyncFailed:
    if 300 <= status < 400:
        target = headers.get("Location", "")[:200]
        return SyncFailed(Kind.TRANSIENT, "redirected", f"Something in between points to {target!r} instead.")
    detail = f"HTTP {status} without a word of the server: something in between answered."
    if status == 413:
        return SyncFailed(Kind.PERMANENT, "batch-too-large", detail)
    if status == 429 or (status == 503 and retry_after is not None):
        return SyncFailed(Kind.THROTTLE, f"http-{status}", detail, retry_after)
    is_about_the_request = 400 <= status < 500 and status not in (401, 403, 407, 408, 421, 425)
    kind = Kind.PERMANENT if is_about_the_request else Kind.TRANSIENT
    return SyncFailed(kind, f"http-{status}", detail, retry_after)


def _problem(headers: Mapping[str, str], raw: bytes) -> ProblemDetails | None:
    if not headers.get("Content-Type", "").startswith("application/problem+json"):
        return None
    try:
        return ProblemDetails.model_validate_json(raw)
    except ValidationError:
        return None


def _store_refusal(status: int, raw: bytes) -> SyncFailed:
    named = STORE_ERROR.search(raw.decode("utf-8", "replace"))
    detail = f"The object store refused: HTTP {status} {named[1] if named else ''}".rstrip() + "."
    if named and named[1] in ("BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest"):
        return SyncFailed(Kind.DAMAGED, "blob-differs", detail)
    return SyncFailed(Kind.THROTTLE if status == 429 else Kind.TRANSIENT, f"store-{status}", detail)


def retry_after_s(header: str, now_s: float) -> float | None:
    """Seconds from a Retry-After header (seconds or a date); None when it says nothing usable."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now_s
        except (TypeError, ValueError, OverflowError):
            return None
    return min(seconds, LONGEST_RETRY_AFTER_S) if seconds > 0 and math.isfinite(seconds) else None
