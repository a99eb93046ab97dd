"""What was inspected, as people look for it: sessions by filters, by a scanned code, one with everything about it.

Rules of this file:
- Newest first by (work_day, id), which is also the cursor: a page costs the same wherever it is.
- Answers are records: ids and instants as text, in the form of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor

from central_server.store.database import Connection
from edge_agent.clock import to_rfc3339
from edge_agent.errors import NotFound

Record = dict[str, Any]
MOST_FOUND = 100
NOT_OK = "(v.ai_result NOT IN ('', 'OK') OR v.human_result NOT IN ('', 'OK'))"
"""What idx_item_verdicts_not_ok holds: said in a query so that it can be used."""
SHOWN = """
    SELECT s.id, s.work_day, s.status, s.final_result, d.final_result AS decided_result, s.started_at, s.completed_at,
           s.product_id, t.product_code, t.batch_id, t.serial_no, t.qr_code, s.user_id, u.username, s.device_id,
           s.target_id, s.source
    FROM ({page}) AS s
    LEFT JOIN inspection_targets t ON t.id = s.target_id
    LEFT JOIN users u ON u.id = s.user_id
    LEFT JOIN LATERAL (SELECT final_result FROM central_decisions c WHERE c.session_id = s.id AND c.item_id IS NULL
                       ORDER BY version DESC LIMIT 1) AS d ON true
    ORDER BY s.work_day DESC, s.id DESC"""
PAGE = "SELECT s.* FROM inspection_sessions s {where} ORDER BY s.work_day DESC, s.id DESC LIMIT %s"
PARTS = {
    "items": """SELECT v.item_id, i.item_code, i.item_name, v.ai_result, v.human_result, v.reason_code, v.user_id
                FROM item_verdicts v LEFT JOIN inspection_items_master i ON i.id = v.item_id
                WHERE v.session_id = %s ORDER BY i.order_sequence, v.item_id""",
    "images": """SELECT id, item_id, sha256, mime_type, file_size, width_px, height_px, captured_at, captured_by,
                        source, origin FROM inspection_images WHERE session_id = %s ORDER BY id""",
    "ai_results": """SELECT id, item_id, image_id, overall_result, confidence, processing_time, pipeline_id,
                            pipeline_version, pipeline_sha256, criteria_sha256, model_sha256s, detailed_results,
                            created_at FROM ai_inspection_results WHERE session_id = %s ORDER BY id""",
    "verifications": """SELECT id, item_id, image_id, user_id, final_result, reason_code, notes, saw_ai, supersedes,
                               verification_time, created_at, device_id
                        FROM human_verification_results WHERE session_id = %s ORDER BY id""",
    "decisions": """SELECT id, item_id, final_result, reason, decided_by, decided_at, version
                    FROM central_decisions WHERE session_id = %s ORDER BY decided_at, version""",
    "conflicts": """SELECT id, device_id, kept, device_data, server_data, created_at, resolved_at
                    FROM conflict_log WHERE entity_id = %s ORDER BY created_at""",
}


class Cursors(NamedTuple):
    """Where a page ends: the next one begins below it."""

    work_day: date
    id: str


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions; None = all. Days are inclusive.

    `verdict`: the session's result; together with `item_id` the item's (a person's, else the AI's).
    """

    since_day: date | None = None
    until_day: date | None = None
    product_id: str | None = None
    item_id: str | None = None
    user_id: str | None = None
    device_id: str | None = None
    status: str | None = None
    verdict: str | None = None


def sessions(tx: Connection, wanted: SessionFilter, before: Cursors | None, limit: int) -> list[Record]:
    """At most `limit` sessions below `before`, newest first."""
    conditions, values = _conditions(wanted)
    if before is not None:
        conditions.append("(s.work_day, s.id) < (%s, %s)")
        values += before
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return _shown(tx, where, [*values, limit])


def find(tx: Connection, code: str) -> list[Record]:
    """Sessions of the physical products with this scanned code or serial number, newest first; at most 100."""
    targets = """SELECT id FROM inspection_targets WHERE qr_code = %s
                 UNION SELECT id FROM inspection_targets WHERE serial_no = %s AND serial_no <> ''"""
    return _shown(tx, f"WHERE s.target_id IN ({targets})", [code, code, MOST_FOUND])


def session(tx: Connection, session_id: str) -> Record:
    """One session with its items, images, verdicts, decisions and conflicts. Raises NotFound (`unknown-session`)."""
    found = _shown(tx, "WHERE s.id = %s", [session_id, 1])
    if not found:
        raise NotFound(
            "The session is not here.", code="unknown-session", hint="It may not have arrived yet."
        )
    return found[0] | {name: records(tx.execute(sql.encode(), (session_id,))) for name, sql in PARTS.items()}


def executions(
    tx: Connection,
    *,
    pipeline_id: str | None,
    status: str | None,
    since: datetime | None,
    until: datetime | None,
    before: str | None,
    limit: int,
) -> list[Record]:
    """Pipeline runs at the centre, newest first; `before` is the id of the last one seen."""
    given = {
        "e.pipeline_id = %s": pipeline_id,
        "e.status = %s": status,
        "e.created_at >= %s": since,
        "e.created_at < %s": until,
        "e.id < %s": before,
    }
    chosen = {condition: value for condition, value in given.items() if value is not None}
    where = f"WHERE {' AND '.join(chosen)}" if chosen else ""
    sql = f"""SELECT e.id, e.pipeline_id, p.code AS pipeline, e.status, e.error_message, e.started_at, e.completed_at,
                     e.created_by, e.created_at
              FROM pipeline_executions e LEFT JOIN pipelines p ON p.id = e.pipeline_id
              {where} ORDER BY e.id DESC LIMIT %s"""
    return records(tx.execute(sql.encode(), [*chosen.values(), limit]))


def execution(tx: Connection, execution_id: str) -> Record:
    """One run with its components' parts. Raises NotFound (`unknown-execution`)."""
    sql = """SELECT id, pipeline_id, status, input_data, output_data, error_message, started_at, completed_at,
                    created_by, created_at FROM pipeline_executions WHERE id = %s"""
    found = records(tx.execute(sql, (execution_id,)))
    if not found:
        raise NotFound("There is no such execution.", code="unknown-execution")
    parts = """SELECT x.id, x.component_id, c.name AS component, c.version, x.status, x.execution_time_ms,
                      x.resource_usage, x.input_data, x.output_data, x.started_at, x.completed_at
               FROM component_executions x LEFT JOIN components c ON c.id = x.component_id
               WHERE x.execution_id = %s ORDER BY x.started_at, x.id"""
    return found[0] | {"components": records(tx.execute(parts, (execution_id,)))}


def components(
    tx: Connection, text: str, after: tuple[str, str] | None, limit: int, *, with_inactive: bool
) -> list[Record]:
    """Components whose name, description or image holds `text`, by name and version, after a (name, version)."""
    sql = """SELECT id, name, version, description, docker_image, is_active, row_version, updated_at FROM components
             WHERE (is_active OR %s) AND (name, version) > (%s, %s)
                   AND strpos(lower(concat_ws(' ', name, description, docker_image)), lower(%s)) > 0
             ORDER BY name, version LIMIT %s"""
    return records(tx.execute(sql, (with_inactive, *(after or ("", "")), text, limit)))


def _shown(tx: Connection, where: str, values: Sequence[Any]) -> list[Record]:
    """The page first, and what people want to read beside it for its sessions only."""
    return records(tx.execute(SHOWN.format(page=PAGE.format(where=where)).encode(), values))


def records(cursor: Cursor[tuple[object, ...]]) -> list[Record]:
    """Each row by its columns' names."""
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]


def _conditions(wanted: SessionFilter) -> tuple[list[str], list[Any]]:
    given: Mapping[str, Sequence[Any]] = {
        "s.work_day >= %s": [wanted.since_day],
        "s.work_day <= %s": [wanted.until_day],
        "s.product_id = %s": [wanted.product_id],
        "s.user_id = %s": [wanted.user_id],
        "s.device_id = %s": [wanted.device_id],
        "s.status = %s": [wanted.status],
        _status_hint(wanted.status): [],
    }
    chosen = {
        condition: values for condition, values in given.items() if condition and None not in values
    } | _verdict_condition(wanted)
    return list(chosen), [value for values in chosen.values() for value in values]


def _status_hint(status: str | None) -> str:
    """Says what the equality implies, so that the index of what is not completed can be used."""
    return "" if status in (None, "COMPLETED") else "s.status <> 'COMPLETED'"


def _verdict_condition(wanted: SessionFilter) -> dict[str, list[Any]]:
    if wanted.item_id is not None:
        of_item = "SELECT 1 FROM item_verdicts v WHERE v.session_id = s.id AND v.item_id = %s"
        if wanted.verdict is None:
            return {f"EXISTS ({of_item})": [wanted.item_id]}
        present = "coalesce(nullif(v.human_result, ''), v.ai_result) = %s"
        hint = "" if wanted.verdict == "OK" else f" AND {NOT_OK}"
        return {f"EXISTS ({of_item} AND {present}{hint})": [wanted.item_id, wanted.verdict]}
    if wanted.verdict is None:
        return {}
    hint = "" if wanted.verdict == "OK" else " AND s.final_result <> 'OK'"
    return {f"s.final_result = %s{hint}": [wanted.verdict]}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_rfc3339(value.timestamp())
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value
