"""Verdicts: of the AI and of people, and what now holds for each item.

Rules of this file:
- Result rows are insert-only; `item_verdicts` and the counts follow by trigger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.models import AiInspection, FinalResult, ItemVerdict, Verification
from edge_agent.store.database import placeholders
from edge_agent.store.records import columns, many, one

REVIEWS = """
        SELECT v.session_id, v.item_id, v.image_id, v.ai_result_id, v.ai_result, v.review, v.updated_at,
               t.product_code, t.serial_no
        FROM item_verdicts v {}
             CROSS JOIN inspection_sessions s ON s.id = v.session_id
             CROSS JOIN inspection_targets t ON t.id = s.target_id
        WHERE v.review IS NOT NULL AND v.human_result = '' AND v.is_closed = 0"""


@dataclass(frozen=True, slots=True)
class ReviewEntry:
    """One item that a person must look at; `review` says why: NG, REVIEW, ERROR or SAMPLED."""

    session_id: str
    item_id: str
    image_id: str | None
    ai_result_id: str | None
    ai_result: str
    review: str
    updated_at: str
    product_code: str
    serial_no: str


def get_ai_result(reader: sqlite3.Connection, result_id: str) -> AiInspection | None:
    sql = f"SELECT {columns(AiInspection)} FROM ai_inspection_results WHERE id = ?"
    return one(AiInspection, reader.execute(sql, (result_id,)))


def latest_ai_result(reader: sqlite3.Connection, image_id: str) -> AiInspection | None:
    sql = f"SELECT {columns(AiInspection)} FROM ai_inspection_results WHERE image_id = ? ORDER BY id DESC"
    return one(AiInspection, reader.execute(sql, (image_id,)))


def list_ai_results(reader: sqlite3.Connection, session_id: str) -> list[AiInspection]:
    sql = f"SELECT {columns(AiInspection)} FROM ai_inspection_results WHERE session_id = ? ORDER BY id"
    return many(AiInspection, reader.execute(sql, (session_id,)))


def list_verifications(reader: sqlite3.Connection, session_id: str) -> list[Verification]:
    sql = f"SELECT {columns(Verification)} FROM human_verification_results WHERE session_id = ? ORDER BY id"
    return many(Verification, reader.execute(sql, (session_id,)))


def whole_verdict(reader: sqlite3.Connection, session_id: str) -> FinalResult | None:
    """The newest verdict of a person on the session as a whole."""
    sql = """SELECT final_result FROM human_verification_results
             WHERE session_id = ? AND item_id IS NULL ORDER BY id DESC LIMIT 1"""
    row = reader.execute(sql, (session_id,)).fetchone()
    return None if row is None else FinalResult(row[0])


def item_verdicts(reader: sqlite3.Connection, session_id: str) -> list[ItemVerdict]:
    sql = f"SELECT {columns(ItemVerdict)} FROM item_verdicts WHERE session_id = ?"
    return many(ItemVerdict, reader.execute(sql, (session_id,)))


def review_list(
    reader: sqlite3.Connection, after: tuple[str, str, str] | None, limit: int
) -> list[ReviewEntry]:
    """What waits for a person, oldest first; `after` = updated_at, session_id, item_id of the last seen."""
    sql = f"""
        {REVIEWS.format("INDEXED BY idx_item_verdicts_review")}
              AND (v.updated_at, v.session_id, v.item_id) > (?, ?, ?)
        ORDER BY v.updated_at, v.session_id, v.item_id LIMIT ?
    """
    return many(ReviewEntry, reader.execute(sql, (*(after or ("", "", "")), limit)))


def reviews_of(reader: sqlite3.Connection, session_ids: Sequence[str]) -> list[ReviewEntry]:
    """What of these sessions waits for a person, oldest first."""
    sql = f"""
        {REVIEWS.format("")} AND v.session_id IN ({placeholders(session_ids)})
        ORDER BY v.updated_at, v.session_id, v.item_id
    """
    return many(ReviewEntry, reader.execute(sql, session_ids))
