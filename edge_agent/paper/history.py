"""The history as a printed list: which products were inspected when, by whom, and with which result.

Rules of this file:
- The caller bounds the list; every session given is printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edge_agent.paper.sheet import Sheet
from edge_agent.paper.words import Print, Words
from edge_agent.store.sessions import HistoryFilter, SessionSummary

HEADS = ("started", "product", "lot", "serial", "status", "result", "inspector", "session")
SHARES = (0.17, 0.13, 0.12, 0.12, 0.09, 0.11, 0.11, 0.15)


def history_pdf(
    found: Sequence[SessionSummary], wanted: HistoryFilter, words: Words, printed: Print
) -> bytes:
    """The list in the order given, under what it is a list of."""
    sheet = Sheet(words("history"), words.time(printed.at), words.language)
    counts = Counter(one.final_result for one in found)
    totals = "   ".join(f"{words.result(result)} {counts[result]}" for result in ("OK", "NG", "REVIEW", None))
    sheet.facts(
        [
            (words("period"), f"{words.time(wanted.since)} – {words.time(wanted.until)}"),
            (words("count"), f"{len(found)}   ({totals})"),
            *printed.facts(words),
        ]
    )
    sheet.heading(words("history"))
    sheet.table([words(head) for head in HEADS], [_row(one, words) for one in found], SHARES)
    return sheet.to_pdf()


def _row(one: SessionSummary, words: Words) -> list[str]:
    return [
        words.time(one.started_at),
        one.product_code,
        one.batch_id,
        one.serial_no,
        words(f"status.{one.status}"),
        words.result(one.final_result) if one.final_result else "—",
        words.person(one.user_id),
        one.id,
    ]
