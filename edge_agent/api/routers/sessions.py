"""Inspections: start, follow, judge, finish."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Query

from edge_agent.api.auth import SENIOR, Anyone, Has, Principal, Senior, person_of
from edge_agent.api.bodies.fields import Cursor, Id, Instant, Limit, NamedSessions, Searched
from edge_agent.api.bodies.inspections import (
    ReasonRequest,
    SessionBody,
    SessionPage,
    SessionRequest,
    SessionTrace,
    VerificationList,
    VerificationReply,
    VerificationRequest,
)
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.services import Services
from edge_agent.api.views import (
    is_blinded,
    is_withheld,
    read_cursor,
    session_body,
    session_head,
    shown_image,
    shown_results,
    write_cursor,
)
from edge_agent.errors import Denied, NotFound
from edge_agent.inspection.judgement import Judgement
from edge_agent.inspection.sessions import SessionView
from edge_agent.inspection.trace import read_trace
from edge_agent.models import SessionStatus
from edge_agent.store import decisions, masters, results, sessions

router = APIRouter(prefix="/sessions", tags=["sessions"], route_class=KeyedRoute)


@router.get("")
def list_sessions(
    _who: Anyone,
    has: Has,
    product_id: Annotated[str | None, Query(max_length=64)] = None,
    product_code: Annotated[str | None, Query(max_length=200)] = None,
    user_id: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    status: SessionStatus | None = None,
    since: Instant = None,
    until: Instant = None,
    text: Searched = None,
    cursor: Cursor = None,
    limit: Limit = 50,
    session_id: NamedSessions = None,
) -> SessionPage:
    """The history, newest first; every filter may be left out."""
    after = cast("tuple[str, str] | None", read_cursor(cursor, 2))
    with has.database.snapshot() as reader:
        if product_code is not None:
            product = masters.find_product(reader, product_code)
            if product is None:
                raise NotFound(f"There is no product {product_code!r}.", code="unknown-product")
            product_id = product.id
        wanted = sessions.HistoryFilter(product_id, user_id, status, since, until, text)
        if session_id:
            return SessionPage(sessions.list_named(reader, wanted, session_id), None)
        found = sessions.list_sessions(reader, wanted, after, limit)
    more = write_cursor(found[-1].started_at, found[-1].id) if len(found) == limit else None
    return SessionPage(found, more)


@router.post("", status_code=201)
def start_session(body: SessionRequest, who: Anyone, has: Has) -> SessionBody:
    """Starts a session for a code, or resumes the open one of the same target."""
    if body.accept_ai_ok and who.role not in SENIOR:
        raise Denied("Only a supervisor or technician may let AI OKs stand alone.", code="role-needed")
    view = has.sessions.start(
        body.text, who.actor, accept_ai_ok=body.accept_ai_ok, lot=body.lot, serial=body.serial
    )
    return _body(view, who, has)


@router.get("/{session_id}")
def get_session(session_id: Id, who: Anyone, has: Has) -> SessionBody:
    """One session: its items, their images and verdicts, what is missing."""
    return _body(has.sessions.view(session_id), who, has)


@router.get("/{session_id}/trace")
def get_session_trace(session_id: Id, who: Anyone, has: Has) -> SessionTrace:
    """Everything recorded about the session: every image, AI run, human verdict and audit entry."""
    blinded = _blinded(who, has)
    with has.database.snapshot() as reader:
        trace = read_trace(reader, session_id)
    shown = [
        shown_image(image, hidden=is_withheld(trace.verdicts.get(image.item_id), blinded=blinded))
        for image in trace.images
    ]
    return SessionTrace(
        session_head(trace.session),
        shown,
        shown_results(trace.ai_results, trace.verdicts, blinded=blinded),
        trace.verifications,
        trace.decisions,
        trace.audit,
    )


@router.post("/{session_id}/complete")
def complete_session(session_id: Id, who: Anyone, has: Has) -> SessionBody:
    """Closes the session with its final result; refused while items are undecided."""
    return _body(has.sessions.complete(session_id, who.actor), who, has)


@router.post("/{session_id}/cancel")
def cancel_session(session_id: Id, body: ReasonRequest, who: Anyone, has: Has) -> SessionBody:
    """Ends the session without a result; everything recorded is kept."""
    return _body(has.sessions.cancel(session_id, body.reason, who.actor), who, has)


@router.post("/{session_id}/fail")
def fail_session(session_id: Id, body: ReasonRequest, who: Senior, has: Has) -> SessionBody:
    """Ends a session that cannot be inspected."""
    return _body(has.sessions.fail(session_id, body.reason, who.actor), who, has)


@router.get("/{session_id}/verifications")
def list_verifications(session_id: Id, _who: Anyone, has: Has) -> VerificationList:
    """Every verdict people gave, oldest first; a later one supersedes the one it names."""
    with has.database.snapshot() as reader:
        if sessions.get_session(reader, session_id) is None:
            raise NotFound(f"There is no session {session_id}.", code="unknown-session")
        return VerificationList(results.list_verifications(reader, session_id))


@router.post("/{session_id}/verifications", status_code=201)
def verify(session_id: Id, body: VerificationRequest, who: Anyone, has: Has) -> VerificationReply:
    """Records the verdict of the person logged in."""
    person_of(who)
    saw_ai = body.saw_ai and not _has_not_seen(session_id, body.item_id, who, has)
    judgement = Judgement(**{**body.model_dump(), "saw_ai": saw_ai})
    verification_id = has.sessions.verify(session_id, judgement, who.actor)
    return VerificationReply(verification_id, _body(has.sessions.view(session_id), who, has))


def _has_not_seen(session_id: str, item_id: str | None, who: Principal, has: Services) -> bool:
    """In blind mode the first verdict on an item is given without the AI's, whatever the caller says."""
    if item_id is None or not _blinded(who, has):
        return False
    with has.database.read() as reader:
        verdicts = results.item_verdicts(reader, session_id)
    return not any(verdict.item_id == item_id and verdict.human_result for verdict in verdicts)


def _blinded(who: Principal, has: Services) -> bool:
    return is_blinded(who.role, blind_mode=has.config.blind_mode)


def _body(view: SessionView, who: Principal, has: Services) -> SessionBody:
    with has.database.read() as reader:
        decided = decisions.in_force(reader, view.session.id)
    return session_body(view, decided, blinded=_blinded(who, has))
