"""The history as a table for spreadsheets, and the records as documents to print.

Rules of this file:
- The language is the one that Accept-Language asks for; the console sends the one it is set to.
- A table of any length is streamed; a document is bounded, because it is made in memory.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from edge_agent import __version__
from edge_agent.api.auth import Has, Language, Principal, Supervisor
from edge_agent.api.bodies.fields import Id, Instant, Searched
from edge_agent.api.pictures import printable
from edge_agent.api.services import Services
from edge_agent.errors import BadInput
from edge_agent.inspection.reasons import KEY as REASONS
from edge_agent.inspection.reasons import ReasonList
from edge_agent.inspection.trace import read_trace
from edge_agent.models import SessionStatus
from edge_agent.paper.words import Print, Words
from edge_agent.store import audit, sessions, settings, users
from edge_agent.store.database import Database
from edge_agent.store.sessions import HistoryFilter, SessionSummary

router = APIRouter(prefix="/exports", tags=["exports"])
PAGE = 500
MAX_PRINTED = 1000
PDF: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
}
HEADINGS = {
    "en": (
        "Session",
        "Started",
        "Completed",
        "Product",
        "Lot",
        "Serial",
        "Code",
        "Status",
        "Result",
        "Inspector",
        "Source",
    ),
    "ja": (
        "セッション",
        "開始",
        "完了",
        "製品コード",
        "ロット",
        "シリアル",
        "読取コード",
        "状態",
        "判定",
        "検査員",
        "入力元",
    ),
}


async def _wanted(
    product_id: Annotated[str | None, Query(max_length=64)] = None,
    user_id: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    status: SessionStatus | None = None,
    since: Instant = None,
    until: Instant = None,
    text: Searched = None,
) -> HistoryFilter:
    return HistoryFilter(product_id, user_id, status, since, until, text)


Wanted = Annotated[HistoryFilter, Depends(_wanted)]


@router.get(
    "/sessions.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_sessions(_who: Supervisor, has: Has, wanted: Wanted, language: Language) -> StreamingResponse:
    """Every session the filters name, newest first; UTF-8 with a byte order mark, streamed."""
    headings = HEADINGS[language]
    return StreamingResponse(
        csv_pages(has.database, wanted, headings),
        media_type="text/csv; charset=utf-8",
        headers=_saved_as("sessions.csv"),
    )


@router.get("/sessions.pdf", response_class=Response, responses=PDF)
def print_sessions(who: Supervisor, has: Has, wanted: Wanted, language: Language) -> Response:
    """The sessions the filters name as a document to print, newest first; at most 1,000."""
    from edge_agent.paper.history import history_pdf

    with has.database.snapshot() as reader:
        found = sessions.list_sessions(reader, wanted, None, MAX_PRINTED + 1)
        words, printed = _words(reader, has, language), _printed(reader, has, who)
    if len(found) > MAX_PRINTED:
        raise BadInput(
            f"More than {MAX_PRINTED} sessions match.",
            code="too-many-to-print",
            hint="Choose a shorter period, one product or one inspector; the CSV export has no limit.",
        )
    return _pdf(history_pdf(found, wanted, words, printed), "sessions.pdf")


@router.get("/sessions/{session_id}.pdf", response_class=Response, responses=PDF)
def print_session(session_id: Id, who: Supervisor, has: Has, language: Language) -> Response:
    """Everything recorded about one session as a document to print: pictures, verdicts, versions, audit."""
    from edge_agent.paper.session import session_pdf

    with has.database.snapshot() as reader:
        trace = read_trace(reader, session_id)
        words, printed = _words(reader, has, language), _printed(reader, has, who)
    return _pdf(session_pdf(trace, words, printed, partial(printable, has)), f"{session_id}.pdf")


def _words(reader: sqlite3.Connection, has: Services, language: str) -> Words:
    offered = ReasonList.model_validate(settings.get(reader, REASONS) or {}).reasons
    return Words(
        language,
        has.config.zone,
        {user.id: user.full_name or user.username for user in users.list_users(reader)},
        {reason.code: getattr(reason, language) for reason in offered},
    )


def _printed(reader: sqlite3.Connection, has: Services, who: Principal) -> Print:
    newest = audit.list_entries(reader, limit=1)
    device_id = str(settings.get(reader, "device.id"))
    return Print(who.actor.name, has.clock.now(), device_id, __version__, newest[0] if newest else None)


def _pdf(document: bytes, name: str) -> Response:
    return Response(document, media_type="application/pdf", headers=_saved_as(name))


def _saved_as(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}


def csv_pages(database: Database, wanted: HistoryFilter, headings: Sequence[str]) -> Iterator[bytes]:
    """The table, a page at a time; no read transaction stays open in between."""
    with database.read() as reader:
        names = {user.id: user.username for user in users.list_users(reader)}
    yield b"\xef\xbb\xbf" + csv_lines([headings])
    after: tuple[str, str] | None = None
    while True:
        with database.read() as reader:
            page = sessions.list_sessions(reader, wanted, after, PAGE)
        yield csv_lines([_line(summary, names) for summary in page])
        if len(page) < PAGE:
            return
        after = page[-1].started_at, page[-1].id


def _line(summary: SessionSummary, names: dict[int, str]) -> list[str]:
    return [
        summary.id,
        summary.started_at,
        summary.completed_at or "",
        summary.product_code,
        summary.batch_id,
        summary.serial_no,
        summary.qr_code,
        summary.status.value,
        summary.final_result or "",
        names.get(summary.user_id or 0, ""),
        summary.source,
    ]


def csv_lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[harmless(cell) for cell in row] for row in rows])
    return text.getvalue().encode("utf-8", "replace")


def harmless(cell: str) -> str:
    """A scanned code that a spreadsheet would run as a formula, as text."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
