"""An image comes in: durable file, durable row, AI run, durable verdict; in that order, overlapped.

Rules of this file:
- `begin` hands the bytes to the inference process, then to the disk; `finish` makes file and row durable.
  Only after `finish` may the source (a dropped file, an upload) go. See docs/adr/0010.
- The row is written only when the whole image has decoded. What does not decode leaves nothing behind.
- A verdict that comes soon after the row is written in the row's own transaction; a later one by `late`.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.blobs import Blobs, Staged
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.errors import AgentError, Conflict, Unavailable
from edge_agent.events import Notify
from edge_agent.images import ImageInfo, probe
from edge_agent.inference.worker import InferencePool
from edge_agent.inspection.late import Added, LateVerdicts
from edge_agent.inspection.lookup import item_of, open_session, scan_facts
from edge_agent.inspection.running import Running
from edge_agent.inspection.runs import Run, Runs, decode_error, outcome_now
from edge_agent.inspection.sessions import Sessions
from edge_agent.inspection.verdicts import Verdicts
from edge_agent.models import (
    Actor,
    AiInspection,
    Image,
    ImageSource,
    ImageState,
    Session,
    SessionStatus,
    SnapshotItem,
    Target,
)
from edge_agent.store import images, results, sessions
from edge_agent.store.database import Database, insert
from edge_agent.store.records import row_of

SYNC_THREADS = 4
PATIENCE_S = 0.015
"""How long the row of a durable file waits, per image, for the verdict: most networks answer in that time, and
row and verdict are then one transaction. Nobody has been told yet that the image is taken. The row of a lone image
waits inside its transaction (and only while nobody else wants to write), a batch before it."""


@dataclass(frozen=True, slots=True)
class Capture:
    """Bytes on their way in, and what they show. `sha256` where it is known already.

    `place(tx, sha256)` answers, inside the transaction that writes the row, to which session the image of these
    bytes belongs; it raises AgentError before it writes anything if there is none.
    """

    data: bytes
    info: ImageInfo
    item: SnapshotItem
    scan: Mapping[str, str]
    source: ImageSource
    origin: str
    actor: Actor
    place: Callable[[sqlite3.Connection, str], Session]
    sha256: str | None = None


@dataclass(slots=True, eq=False)
class InFlight:
    """A capture between `begin` and `finish`."""

    capture: Capture
    staged: Staged
    run: Run
    sha256: str


class _AllRefused(Exception):
    """No capture of a batch belongs to any session."""


class Intake:
    """The way in for every image, whatever its source. `running()` gives the masters in force."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        pool: InferencePool,
        inspections: Sessions,
        running: Callable[[], Running],
        clock: Clock,
        config: Config,
        notify: Notify,
    ) -> None:
        self._db, self._blobs, self._sessions = database, blobs, inspections
        self._clock, self._config, self._notify = clock, config, notify
        self._latest: tuple[Session, Target] | None = None
        self._executor = ThreadPoolExecutor(SYNC_THREADS, "fsync")
        self._runs = Runs(pool, running, clock, config)
        self._verdicts = Verdicts(inspections, clock, config, notify)
        self.late = LateVerdicts(database, blobs, self._runs, self._verdicts, config)

    def start(self) -> None:
        self.late.start()

    def close(self) -> None:
        """Waits until the verdicts already computed are written."""
        self.late.close()
        self._executor.shutdown()

    # ── one image ───────────────────────────────────────────────────────────────────────────────────

    def add(
        self, session_id: str, item_id: str, data: bytes, *, source: ImageSource, origin: str, actor: Actor
    ) -> Added:
        """Adds one image to an item of an open session; durable when this returns.

        The same bytes for the same item give the image that is already there. Raises BadImage, NotFound,
        Conflict (`session-closed`), Unavailable; then nothing was stored.
        """
        info = self.probe(data, origin)
        with self._db.read() as reader:
            session, target = self._open(reader, session_id)

        def place(tx: sqlite3.Connection, sha256: str) -> Session:
            if same := images.same_image(tx, session_id, item_id, sha256):
                raise Conflict("These bytes were taken before.", code="duplicate-image", image_id=same.id)
            unchanged = sessions.version_of(tx, session_id) == session.version
            return session if unchanged else open_session(tx, session_id)[0]

        item = item_of(session, item_id)
        capture = Capture(data, info, item, scan_facts(target), source, origin, actor, place)
        [added] = self.finish([self.begin(capture)])
        if not isinstance(added, AgentError):
            return added
        if added.code_ == "duplicate-image":
            return self._taken_before(added.context["image_id"])
        raise added

    def _taken_before(self, image_id: str) -> Added:
        verdict: Future[AiInspection | None] = Future()
        with self._db.read() as reader:
            image = images.get_image(reader, image_id)
            verdict.set_result(results.latest_ai_result(reader, image_id))
        assert image is not None, "image rows are never deleted"
        return Added(image, verdict, is_duplicate=True)

    def _open(self, reader: sqlite3.Connection, session_id: str) -> tuple[Session, Target]:
        """The open session and its target; the latest one is not read again while it is the same."""
        known = self._latest
        if known is None or (session_id, sessions.version_of(reader, session_id)) != (
            known[0].id,
            known[0].version,
        ):
            known = self._latest = open_session(reader, session_id)
        return known

    # ── many images, overlapped ─────────────────────────────────────────────────────────────────────

    def probe(self, data: bytes, name: str) -> ImageInfo:
        """The header, within the configured limits. Raises BadImage."""
        limits = {"max_bytes": self._config.max_image_bytes, "max_pixels": self._config.max_image_pixels}
        return probe(data, name, **limits)

    def begin(self, capture: Capture) -> InFlight:
        """Starts the AI run on the bytes, then writes them; not durable yet. Raises Unavailable."""
        info, image_id = capture.info, self._clock.new_id()
        run = self._runs.start(image_id, capture.item, capture.scan, capture.data)
        try:
            staged = self._blobs.stage(capture.data, image_id, info.mime_type, self._sessions.work_day())
        except AgentError:
            self._forget_drawn(run)
            raise
        return InFlight(capture, staged, run, capture.sha256 or hashlib.sha256(capture.data).hexdigest())

    def finish(self, flights: Sequence[InFlight]) -> list[Added | AgentError]:
        """Makes files and rows durable, rows in one transaction; one answer per flight, in order.

        A picture that does not decode is BadImage and leaves nothing. If the disk or the database refuses,
        Unavailable is raised and none of them was stored.
        """
        try:
            self._blobs.commit([flight.staged for flight in flights], self._executor)
        except AgentError:
            self.abandon(flights)
            raise
        answers: dict[InFlight, Added | AgentError] = {}
        answers |= {
            flight: error for flight in flights if (error := decode_error(flight.run, flight.capture.data))
        }
        self.abandon(answers)
        if good := [flight for flight in flights if flight not in answers]:
            answers |= self._write(good)
            self.abandon([flight for flight in good if isinstance(answers[flight], AgentError)])
        return [answers[flight] for flight in flights]

    def abandon(self, flights: Iterable[InFlight]) -> None:
        """Takes back what was begun and will have no row: its bytes, and what may still be drawn of it."""
        for flight in flights:
            self._blobs.discard(flight.staged)
            self._forget_drawn(flight.run)

    def _forget_drawn(self, run: Run) -> None:
        run.ticket.rendered.add_done_callback(lambda _: self._blobs.discard_drawn(run.image_id))

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _write(self, flights: Sequence[InFlight]) -> dict[InFlight, Added | AgentError]:
        is_alone = len(flights) == 1
        if not is_alone:
            wait([flight.run.ticket.result for flight in flights], PATIENCE_S * len(flights))
        answers: dict[InFlight, Added | AgentError] = {}
        try:
            with suppress(_AllRefused), self._db.write(flights[0].capture.actor) as tx:
                for flight in flights:
                    try:
                        session = flight.capture.place(tx, flight.sha256)
                    except AgentError as error:
                        answers[flight] = error
                    else:
                        answers[flight] = self._write_one(tx, flight, session, PATIENCE_S * is_alone)
                if not any(isinstance(answer, Added) for answer in answers.values()):
                    raise _AllRefused  # rolls back: an idempotency key stands for a change
        except Unavailable as error:
            # SQLite finds the disk full before it writes the mark of the commit: there is no row, and files
            # kept would fill the disk with every further try. After any other failure the transaction may be
            # durable all the same, and they stay.
            if error.code_ == "disk-full":
                self.abandon(flights)
            raise
        for flight, answer in answers.items():
            if isinstance(answer, Added):
                self._after_write(flight, answer)
        return answers

    def _write_one(
        self, tx: sqlite3.Connection, flight: InFlight, session: Session, patience_s: float
    ) -> Added:
        """The image's row and, if the run ends in time, its verdict and the session's progress."""
        run, verdict = flight.run, Future[AiInspection | None]()
        ai = run.item.ai_enabled
        image = self._image(flight, session.id, ImageState.INSPECTED if ai else ImageState.CAPTURED)
        insert(tx, "inspection_images", image_row(image, self._clock.now()))
        if not ai:
            verdict.set_result(None)
            self._sessions.progress(tx, session)
            return Added(image, verdict)
        self._db.linger(run.ticket.result, patience_s)
        if (outcome := outcome_now(run)) is not None:
            verdict.set_result(self._verdicts.insert(tx, run, session, outcome))
            return Added(image, verdict)
        images.leave_open(tx, image.id)
        if session.status is SessionStatus.PENDING:
            self._sessions.move(tx, session, SessionStatus.IN_PROGRESS)
        return Added(replace(image, state=ImageState.INSPECTING), verdict)

    def _after_write(self, flight: InFlight, added: Added) -> None:
        self._notify("image", {"image_id": added.image.id, "session_id": added.image.session_id})
        if added.verdict.done():
            self._verdicts.announce(added.image.session_id, added.verdict.result())
        else:
            self.late.follow(flight.run, added.image, added.verdict)

    def _image(self, flight: InFlight, session_id: str, state: ImageState) -> Image:
        capture, staged = flight.capture, flight.staged
        return Image(
            id=flight.run.image_id,
            session_id=session_id,
            item_id=capture.item.id,
            file_path=staged.file_path,
            file_size=len(capture.data),
            sha256=flight.sha256,
            mime_type=capture.info.mime_type,
            width_px=capture.info.width_px,
            height_px=capture.info.height_px,
            captured_at=self._clock.now(),
            captured_by=capture.actor.user_id,
            source=capture.source,
            origin=capture.origin,
            state=state,
            attempts=int(state is ImageState.INSPECTED),
            failure=None,
        )


def image_row(image: Image, now: str) -> dict[str, Any]:
    return {**row_of(image), "created_at": now}
