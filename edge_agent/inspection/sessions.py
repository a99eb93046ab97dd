"""The use case: scan → target → session → verdicts of people → complete or cancel.

Rules of this file:
- Each command is one transaction: read, decide by `rules`, write. A lost race is a Conflict, never a guess.
- Criteria are snapshotted when a session starts; nothing reads the masters for it afterwards.
- Whatever changes is announced by `notify` after the commit: events only wake loops and windows.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.errors import Conflict, NotFound, Unavailable
from edge_agent.events import Notify
from edge_agent.inspection.judgement import (
    Judgement,
    check_correction,
    check_judgement,
    verification_row,
)
from edge_agent.inspection.lookup import snapshot_items
from edge_agent.inspection.rules import (
    CLOSED,
    Completion,
    check_transition,
    completion,
    status_now,
)
from edge_agent.inspection.scan import Scan, ScanMapping, parse_scan
from edge_agent.models import (
    Actor,
    Image,
    Item,
    ItemVerdict,
    Product,
    Session,
    SessionStatus,
    SnapshotItem,
    Target,
)
from edge_agent.store import images, masters, results, sessions, settings
from edge_agent.store.database import Database, insert
from edge_agent.store.records import row_of


@dataclass(frozen=True, slots=True)
class ScanAnswer:
    """What a code means here: the product, its items, and the session to resume if one is open."""

    scan: Scan
    product: Product
    items: list[Item]
    target: Target | None
    open_session: Session | None


@dataclass(frozen=True, slots=True)
class ItemProgress:
    item: SnapshotItem
    verdict: ItemVerdict | None
    images: list[Image]


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session as people see it; items in the order in which they are inspected."""

    session: Session
    target: Target
    items: list[ItemProgress]
    missing: list[str]
    can_complete: bool


class Sessions:
    """Everything a person does with a session. `notify(kind, facts)` is called after each commit."""

    def __init__(self, database: Database, clock: Clock, config: Config, notify: Notify) -> None:
        self._db, self._clock, self._config, self._notify = database, clock, config, notify

    def scan(self, text: str) -> ScanAnswer:
        """What the code means; changes nothing. Raises BadInput, NotFound (`unknown-product`)."""
        with self._db.snapshot() as reader:
            return self._look_up(reader, text)

    def start(
        self,
        text: str,
        actor: Actor,
        *,
        source: str = "inspector",
        accept_ai_ok: bool = False,
        lot: str | None = None,
        serial: str | None = None,
    ) -> SessionView:
        """Starts a session for the code, or resumes the open one of the same target.

        Raises as `scan` does; Unavailable (`disk-nearly-full`), Conflict (`no-items`).
        """
        self._refuse_on_full_disk()
        with self._db.write(actor) as tx:
            answer = self._look_up(tx, text)
            if answer.open_session is not None:
                session = answer.open_session
            else:
                target = answer.target or self.insert_target(tx, answer.product, answer.scan, lot, serial)
                session = self.insert_session(
                    tx, target, answer.product, answer.items, actor, source=source, accept_ai_ok=accept_ai_ok
                )
        self._announce(session)
        return self.view(session.id)

    def view(self, session_id: str) -> SessionView:
        """Raises NotFound."""
        with self._db.snapshot() as reader:
            session = self._get(reader, session_id)
            target = sessions.get_target(reader, session.target_id)
            pictures = images.list_images(reader, session_id)
            verdicts = _verdicts(reader, session_id)
            state = self._completion(reader, session)
        assert target is not None
        progress = [
            ItemProgress(item, verdicts.get(item.id), [i for i in pictures if i.item_id == item.id])
            for item in snapshot_items(session)
        ]
        can_complete = state.is_possible and session.status not in CLOSED
        return SessionView(session, target, progress, list(state.missing), can_complete)

    def verify(self, session_id: str, judgement: Judgement, actor: Actor) -> str:
        """Records a person's verdict and returns its id; a later one supersedes it.

        A closed session can be corrected by a supervisor. Raises NotFound, BadInput, Denied, Conflict.
        """
        assert actor.user_id is not None, "only a person verifies"
        with self._db.write(actor) as tx:
            session = self._get(tx, session_id)
            if session.status in CLOSED:
                check_correction(session, actor)
            verdicts = _verdicts(tx, session_id)
            check_judgement(session, judgement)
            verification_id = self._clock.new_id()
            present = verdicts.get(judgement.item_id or "")
            row = verification_row(judgement, session.id, actor.user_id, present)
            insert(
                tx,
                "human_verification_results",
                {"id": verification_id, **row, "created_at": self._clock.now()},
            )
            session = self._after_verdict(tx, session)
        self._announce(session)
        return verification_id

    def complete(self, session_id: str, actor: Actor) -> SessionView:
        """Closes the session with its final result; Conflict (`session-incomplete`) names what is missing."""
        with self._db.write(actor) as tx:
            session = self._get(tx, session_id)
            check_transition(session.status, SessionStatus.COMPLETED)
            state = self._completion(tx, session)
            if not state.is_possible:
                raise Conflict(
                    f"Not decided yet: {', '.join(state.missing)}.",
                    code="session-incomplete",
                    hint="Inspect and judge the items named, then complete the session.",
                    missing=list(state.missing),
                )
            session = self.close(tx, session, SessionStatus.COMPLETED, final_result=state.final_result)
        self._announce(session)
        return self.view(session_id)

    def cancel(self, session_id: str, reason: str, actor: Actor) -> SessionView:
        """Ends the session without a result; everything recorded is kept."""
        return self._end(session_id, SessionStatus.CANCELLED, reason, actor)

    def fail(self, session_id: str, reason: str, actor: Actor) -> SessionView:
        """Ends a session that cannot be inspected (a technician's decision); everything recorded is kept."""
        return self._end(session_id, SessionStatus.FAILED, reason, actor)

    # ── used by the intake inside its own transactions ──────────────────────────────────────────────

    def insert_target(
        self, tx: sqlite3.Connection, product: Product, scan: Scan, lot: str | None, serial: str | None
    ) -> Target:
        now = self._clock.now()
        row = {
            "id": self._clock.new_id(),
            "product_id": product.id,
            "product_code": product.product_code,
            "batch_id": lot or scan.lot or "",
            "serial_no": serial or scan.serial or "",
            "qr_code": scan.text,
            "created_at": now,
        }
        insert(tx, "inspection_targets", {**row, "updated_at": now})
        return Target(**row)

    def insert_session(
        self,
        tx: sqlite3.Connection,
        target: Target,
        product: Product,
        items: list[Item],
        actor: Actor,
        *,
        source: str,
        accept_ai_ok: bool,
        status: SessionStatus = SessionStatus.PENDING,
    ) -> Session:
        if not items:
            raise Conflict(
                f"Product {product.product_code} has no active inspection items.",
                code="no-items",
                hint="Import masters that define its items, or ask the supervisor.",
            )
        now = self._clock.now()
        session = Session(
            id=self._clock.new_id(),
            target_id=target.id,
            product_id=product.id,
            user_id=actor.user_id,
            status=status,
            source=source,
            accept_ai_ok=accept_ai_ok,
            started_at=now,
            completed_at=None,
            work_day=self.work_day(),
            final_result=None,
            reason=None,
            master_version=product.version,
            criteria_snapshot=[row_of(snapshot_item(item)) for item in items],
            version=1,
            updated_at=now,
        )
        row = row_of(session)
        row["criteria_snapshot"] = json.dumps(row["criteria_snapshot"], ensure_ascii=False, sort_keys=True)
        insert(tx, "inspection_sessions", row)
        return session

    def work_day(self) -> str:
        """The factory's calendar day now, YYYY-MM-DD."""
        instant = datetime.fromtimestamp(self._clock.time(), UTC)
        return instant.astimezone(self._config.zone).date().isoformat()

    def progress(self, tx: sqlite3.Connection, session: Session) -> Session:
        """Moves an open session to where its verdicts say it stands; closes an automatic one that is done."""
        if session.status in CLOSED:
            return session
        items, verdicts = snapshot_items(session), _verdicts(tx, session.id)
        if session.source == "folder" and session.accept_ai_ok:
            state = completion(items, verdicts, accept_ai_ok=True)
            if not state.missing and state.final_result == "OK":
                return self.close(tx, session, SessionStatus.COMPLETED, final_result="OK")
        return self.move(tx, session, status_now(items, verdicts))

    def close(
        self,
        tx: sqlite3.Connection,
        session: Session,
        status: SessionStatus,
        *,
        final_result: str | None = None,
        reason: str | None = None,
    ) -> Session:
        check_transition(session.status, status)
        now = self._clock.now()
        changed = sessions.change_status(
            tx, session, status, now, final_result=final_result, reason=reason, completed_at=now
        )
        return self._reread(tx, session, changed)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    def _look_up(self, reader: sqlite3.Connection, text: str) -> ScanAnswer:
        scan = parse_scan(text, ScanMapping.model_validate(settings.get(reader, "scan.mapping") or {}))
        target = sessions.find_target(reader, scan.text)
        product = masters.find_product(reader, target.product_code if target else scan.product_code)
        if product is None:
            raise NotFound(
                f"No product is known for the code {scan.text!r} (read as product {scan.product_code!r}).",
                code="unknown-product",
                hint="Check that it is the right label; if it is, import or synchronise the masters.",
                scan=asdict(scan),
            )
        items = masters.list_items(reader, product.id)
        session = sessions.open_session_of(reader, target.id) if target else None
        return ScanAnswer(scan, product, items, target, session)

    def _get(self, reader: sqlite3.Connection, session_id: str) -> Session:
        session = sessions.get_session(reader, session_id)
        if session is None:
            raise NotFound(f"There is no session {session_id}.", code="unknown-session")
        return session

    def _completion(self, reader: sqlite3.Connection, session: Session) -> Completion:
        return completion(
            snapshot_items(session),
            _verdicts(reader, session.id),
            accept_ai_ok=session.accept_ai_ok,
            whole=results.whole_verdict(reader, session.id),
        )

    def _after_verdict(self, tx: sqlite3.Connection, session: Session) -> Session:
        if session.status is SessionStatus.COMPLETED:
            final = self._completion(tx, session).final_result
            if final == session.final_result:
                return session
            changed = sessions.change_status(
                tx,
                session,
                session.status,
                self._clock.now(),
                final_result=final,
                completed_at=session.completed_at,
            )
            return self._reread(tx, session, changed)
        if session.status in CLOSED:
            return session
        return self.move(tx, session, SessionStatus.HUMAN_REVIEW)

    def move(self, tx: sqlite3.Connection, session: Session, status: SessionStatus) -> Session:
        if status is session.status:
            return session
        check_transition(session.status, status)
        return self._reread(tx, session, sessions.change_status(tx, session, status, self._clock.now()))

    def _reread(self, tx: sqlite3.Connection, session: Session, changed: bool) -> Session:
        assert changed, "the session was read in this transaction"
        return self._get(tx, session.id)

    def _end(self, session_id: str, status: SessionStatus, reason: str, actor: Actor) -> SessionView:
        with self._db.write(actor) as tx:
            session = self.close(tx, self._get(tx, session_id), status, reason=reason)
        self._announce(session)
        return self.view(session_id)

    def _refuse_on_full_disk(self) -> None:
        free = shutil.disk_usage(self._config.data_dir).free
        if free < self._config.min_free_bytes:
            raise Unavailable(
                f"Only {free // 2**20} MiB of disk are free; no new session is started.",
                code="disk-nearly-full",
                hint="Free disk space; sessions already open can be finished.",
            )

    def _announce(self, session: Session) -> None:
        facts = {"session_id": session.id, "status": session.status, "final_result": session.final_result}
        self._notify("session", facts)


def _verdicts(reader: sqlite3.Connection, session_id: str) -> dict[str, ItemVerdict]:
    return {verdict.item_id: verdict for verdict in results.item_verdicts(reader, session_id)}


def snapshot_item(item: Item) -> SnapshotItem:
    """The item as a session starting now keeps it."""
    return SnapshotItem(**{name: getattr(item, name) for name in SnapshotItem.__slots__})
