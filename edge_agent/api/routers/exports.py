"""The history as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from edge_agent.api.auth import Has, Supervisor
from edge_agent.api.bodies.fields import Instant
from edge_agent.messages import choose_language
from edge_agent.models import SessionStatus
from edge_agent.store import sessions, users
from edge_agent.store.database import Database
from edge_agent.store.sessions import HistoryFilter, SessionSummary

router = APIRouter(prefix="/exports", tags=["exports"])
PAGE = 500
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


@router.get(
    "/sessions.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_sessions(
    _who: Supervisor,
    has: Has,
    request: Request,
    product_id: Annotated[str | None, Query(max_length=64)] = None,
    user_id: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    status: SessionStatus | None = None,
    since: Instant = None,
    until: Instant = None,
) -> StreamingResponse:
    """Every session the filters name, newest first; UTF-8 with a byte order mark, streamed."""
    wanted = HistoryFilter(product_id, user_id, status, since, until)
    headings = HEADINGS[choose_language(request.headers.get("accept-language", ""))]
    headers = {"Content-Disposition": 'attachment; filename="sessions.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(
        csv_pages(has.database, wanted, headings), media_type="text/csv; charset=utf-8", headers=headers
    )


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
