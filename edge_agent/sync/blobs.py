"""The blob lane: brings image bytes to the object store, and believes they are there once the centre has proof.

Rules of this file:
- A round: ask what is missing, send that, have it verified, settle. While one is on its way the next is asked about, so
  that the store never stands idle; more than two are never without an answer. On a slow link a round ends early: the
  rows' lane waits meanwhile.
- Killed anywhere, the next life asks again; what was proven is not sent twice, and a large file goes on where it was
  cut off.
- Never others than the bytes that were photographed arrive: a small file travels under a ticket for its sha256, which
  the store (or the centre, `central_server.objects`) computes, and what they refuse is looked at here; a large one is
  looked at before each step.
- Memory holds as many files as are in flight, of a large one as many parts.
- A blob that fails while others get through is its own trouble; when none gets through, it is the lane's.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock, to_rfc3339
from edge_agent.events import Notify
from edge_agent.store import uploads
from edge_agent.store.database import Database
from edge_agent.store.uploads import DueBlob, Trouble
from edge_agent.sync import backoff
from edge_agent.sync.central import Central
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.uploads import (
    FINAL,
    FIRST,
    STEP_S,
    LocalFault,
    Round,
    as_the_lanes,
    changed,
    is_about_the_blob,
    next_count,
    plan_round,
    trouble,
)
from sync_protocol.messages import Blob, CompleteRequest, UploadPart, UploadTicket

ENOUGH_FAULTS = 2  # with one, a picture that breaks every connection would hold up those behind it
BEGIN_ANEW = ("blob-differs", "blob-missing", "store-404")
Failure = LocalFault | SyncFailed
Outcome = tuple[DueBlob, Failure | None]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Step:
    """What the rounds of a step have in common: the store's own faults, and from when on no upload begins."""

    faults: list[Failure] = field(default_factory=list)
    end_s: float = math.inf

    def is_over(self, now_s: float) -> bool:
        return len(self.faults) >= ENOUGH_FAULTS or now_s >= self.end_s


@dataclass(frozen=True, slots=True)
class _Sending:
    """A round on its way; a future tells what became of one, None: it was not begun."""

    sha256s: frozenset[str]
    futures: tuple[Future[Outcome | None], ...]
    began_s: float


class BlobLane:
    """`parallel`: requests in flight, each on a thread of `uploaders(parallel)`; `first`: blobs of the first round."""

    name = "blobs"

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        central: Central,
        clock: Clock,
        publish: Notify,
        *,
        parallel: int = 4,
        first: int = FIRST,
        uploaders: Callable[[int], Executor] = ThreadPoolExecutor,
    ) -> None:
        self._db, self._blobs, self._central = database, blobs, central
        self._clock, self._publish = clock, publish
        self._parallel, self._uploaders = parallel, uploaders
        self._count = first
        self._unproven: dict[str, DueBlob] = {}  # sent, but no answer yet whether they are there

    def step(self) -> bool:
        """Sends for some seconds, or as many parts of a large one as may be in flight; True: more is due.

        Raises SyncFailed.
        """
        self._verify(tuple(self._unproven.values()))
        planned = self._claim()
        if planned.is_large:
            return self._send_large(planned.blobs[0]) or planned.is_more
        return self._send_small(planned)

    def _claim(self, under_way: Collection[str] = ()) -> Round:
        now_s = self._clock.time()
        unbelievable = to_rfc3339(now_s + 2 * backoff.LONGEST_RETRY_AFTER_S)
        limit = self._count + len(under_way) + 1
        with self._db.read() as reader:
            due = uploads.due(reader, to_rfc3339(now_s), unbelievable, limit)
        return plan_round(due, self._count, under_way)

    # ── small ones: one PUT each, many at a time ────────────────────────────────────────────────────────

    def _send_small(self, planned: Round) -> bool:
        """While one round is sent and verified, the next has its tickets already and follows without a pause."""
        begun: deque[_Sending] = deque()
        step, is_left = _Step(), False
        with self._pool() as pool:
            while planned.blobs and not planned.is_large:
                begun.append(self._begin(planned.blobs, pool, step))
                if len(begun) > 1:
                    is_left |= self._finish(begun.popleft())
                planned = self._claim({sha256 for sending in begun for sha256 in sending.sha256s})
                if step.is_over(self._clock.monotonic()):
                    break
            for sending in begun:
                is_left |= self._finish(sending)
        return is_left or planned.is_more or bool(planned.blobs)

    def _begin(self, asked: Sequence[DueBlob], pool: Executor, step: _Step) -> _Sending:
        """Those that are missing are on their way from here on, until the step is over: STEP_S after its first tickets
        came, however slow the store is."""
        began_s = self._clock.monotonic()
        missing, tickets = self._missing(asked)
        step.end_s = min(step.end_s, self._clock.monotonic() + STEP_S)

        def attempt(one: DueBlob) -> Outcome | None:
            if step.is_over(self._clock.monotonic()):
                return None
            failure = self._try(one, tickets.get(one.sha256))
            if failure is None:
                self._unproven[one.sha256] = one
            elif _is_the_lanes(failure):
                step.faults.append(failure)
            return one, failure

        futures = tuple(pool.submit(attempt, one) for one in missing)
        return _Sending(frozenset(one.sha256 for one in missing), futures, began_s)

    def _missing(self, asked: Sequence[DueBlob]) -> tuple[list[DueBlob], dict[str, UploadTicket]]:
        """Those that the centre has not, and tickets for the small ones. The others are settled."""
        reply = self._central.have([_named(one) for one in asked], wants_tickets=True)
        missing = set(reply.missing)
        self._settle([one for one in asked if one.sha256 not in missing])
        tickets = {ticket.sha256: ticket for ticket in reply.tickets}
        return [one for one in asked if one.sha256 in missing], tickets

    def _finish(self, sending: _Sending) -> bool:
        """Waits for all of the round, and settles what has arrived; whether some were not begun. Raises SyncFailed."""
        outcomes = [outcome for future in sending.futures if (outcome := future.result()) is not None]
        settled = self._verify([one for one, failure in outcomes if failure is None])
        failures = [(one, failure) for one, failure in outcomes if failure is not None]
        self._give_way(failures, is_passable=settled > 0)
        if settled:
            self._count = next_count(settled, self._clock.monotonic() - sending.began_s)
        return len(outcomes) < len(sending.futures)

    def _try(self, one: DueBlob, ticket: UploadTicket | None) -> Failure | None:
        try:
            if ticket is None:
                ticket = self._central.upload_ticket(one.sha256, one.file_size)
            [part] = ticket.parts
            self._central.put_part(part.url, part.headers, self._bytes(one))
        except LocalFault as failure:
            return failure
        except SyncFailed as failure:
            return (self._fault_here(one) if is_about_the_blob(failure) else None) or failure
        return None

    def _verify(self, arrived: Sequence[DueBlob]) -> int:
        """Settles those that the centre has proof of; how many. The others are sent again."""
        if not arrived:
            return 0
        reply = self._central.verify([_named(one) for one in arrived])
        for one in arrived:
            del self._unproven[one.sha256]
        proven = set(reply.verified)
        self._settle([one for one in arrived if one.sha256 in proven])
        lost = [one for one in arrived if one.sha256 not in proven]
        differing = set(reply.differing)
        self._note([self._lost(one, is_other=one.sha256 in differing) for one in lost])
        return len(proven)

    def _lost(self, one: DueBlob, *, is_other: bool) -> Trouble:
        if is_other and (fault := self._fault_here(one)) is not None:
            return self._trouble(one, fault.code, fault.detail)
        code = "blob-differs" if is_other else "blob-missing"
        return self._trouble(one, code, "It was sent, but the centre does not have it.")

    # ── a large one: its parts, resumed where they were ─────────────────────────────────────────────────

    def _send_large(self, one: DueBlob) -> bool:
        """Sends as many parts as may be in flight; True: there are more. Raises SyncFailed."""
        if not self._missing([one])[0]:
            return False
        try:
            self._require_unchanged(one)
            ticket = self._central.upload_ticket(one.sha256, one.file_size, one.upload_id)
            if ticket.upload_id != one.upload_id:
                self._keep_upload_id(one, ticket.upload_id)
            with self._pool() as pool:
                list(pool.map(lambda part: self._put_part(one, part), ticket.parts[: self._parallel]))
            if len(ticket.parts) > self._parallel:
                return True
            self._complete(one, CompleteRequest(size=one.file_size, upload_id=ticket.upload_id))
        except (LocalFault, SyncFailed) as failure:
            if _code(failure) in BEGIN_ANEW:
                self._keep_upload_id(one, None)
            self._give_way([(one, failure)], is_passable=False)
        return False

    def _complete(self, one: DueBlob, request: CompleteRequest) -> None:
        if not self._central.complete(one.sha256, request).is_verified:
            raise SyncFailed(Kind.TRANSIENT, "blob-missing", "The centre has no proof of it.")
        self._settle([one])

    def _keep_upload_id(self, one: DueBlob, upload_id: str | None) -> None:
        with self._db.write(local=False) as tx:
            uploads.keep_upload_id(tx, one.sha256, upload_id)

    def _put_part(self, one: DueBlob, part: UploadPart) -> None:
        with self._file(one) as path, path.open("rb") as file:
            file.seek(part.offset)
            data = file.read(part.size)
        if len(data) != part.size:
            raise changed(one)
        self._central.put_part(part.url, part.headers, data)

    # ── bytes here ──────────────────────────────────────────────────────────────────────────────────────

    def _bytes(self, one: DueBlob) -> bytes:
        """What the file holds, if it is as long as it was. Raises LocalFault."""
        with self._file(one) as path:
            data = path.read_bytes()
        if len(data) != one.file_size:
            raise changed(one)
        return data

    def _fault_here(self, one: DueBlob) -> LocalFault | None:
        """What is wrong with the file, if anything: asked when its bytes were refused."""
        try:
            self._require_unchanged(one)
        except LocalFault as fault:
            return fault
        return None

    def _require_unchanged(self, one: DueBlob) -> None:
        with self._file(one) as path, path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != one.sha256:
                raise changed(one)

    @contextmanager
    def _file(self, one: DueBlob) -> Iterator[Path]:
        try:
            yield self._blobs.path_of(one.file_path)
        except FileNotFoundError:
            raise LocalFault("image-missing", f"{one.file_path} is not there.") from None
        except OSError as error:
            detail = f"{one.file_path} cannot be read ({error.strerror})."
            raise LocalFault("image-unreadable", detail) from error

    # ── outcomes ────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, done: Sequence[DueBlob]) -> None:
        if done:
            with self._db.write(local=False) as tx:
                uploads.settle(tx, [one.sha256 for one in done], self._clock.now())
            size = sum(one.file_size for one in done)
            self._publish("sync", {"lane": self.name, "blobs": len(done), "bytes": size})

    def _give_way(self, failures: Sequence[tuple[DueBlob, Failure]], *, is_passable: bool) -> None:
        """Remembers each failure with its blob. Raises the first that is the lane's, unless others got through."""
        counted = [(one, failure) for one, failure in failures if _counts(failure)]
        self._note([self._trouble(one, _code(failure), str(failure)) for one, failure in counted])
        for one, failure in failures:
            if _code(failure) in FINAL:
                log.error("image %s cannot be sent: %s [%s]", one.image_id, failure, _code(failure))
            elif isinstance(failure, SyncFailed) and not is_passable and _is_the_lanes(failure):
                raise as_the_lanes(failure)

    def _trouble(self, one: DueBlob, code: str, detail: str) -> Trouble:
        return trouble(one, code, detail, self._clock.time(), backoff.share_of(self._clock.random(6)))

    def _note(self, troubles: Sequence[Trouble]) -> None:
        if troubles:
            with self._db.write(local=False) as tx:
                uploads.note(tx, troubles, self._clock.now())

    @contextmanager
    def _pool(self) -> Iterator[Executor]:
        with self._uploaders(self._parallel) as pool:
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)


def _named(one: DueBlob) -> Blob:
    return Blob(sha256=one.sha256, size=one.file_size)


def _code(failure: Failure) -> str:
    return failure.code if isinstance(failure, LocalFault) else failure.code_


def _is_the_lanes(failure: Failure) -> bool:
    return isinstance(failure, SyncFailed) and not is_about_the_blob(failure)


def _counts(failure: Failure) -> bool:
    return isinstance(failure, LocalFault) or failure.kind is not Kind.OFFLINE
