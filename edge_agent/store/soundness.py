"""What `check` asks of the database: every row that is not as the schema's triggers would have left it.

Rules of this file:
- Only questions: each function streams what is wrong (or what files must exist), one pass over its table,
  memory independent of its size. What it means for the operator is `edge_agent.check`'s to say.
- How a fact is frozen is written once, in the triggers. `frozen_expressions` reads it from there, so the
  re-freezing here can never drift from what was queued.
- The k-th audited fact is queue entry k, for ever: ids of the queue have no gaps. It may be emptied only from
  its beginning, of what the server has acknowledged, and the transaction that does it says so in the trail.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, NamedTuple

from edge_agent.store.database import define_pure_functions
from edge_agent.store.schema import pristine, schema_objects
from sync_protocol.canonical import canonical_row, sha256_hex

FACT_TABLES = (
    "inspection_targets",
    "inspection_sessions",
    "inspection_images",
    "ai_inspection_results",
    "human_verification_results",
)
TICK_INSTRUCTIONS = 100_000
FREEZE = re.compile(r"FROM \(SELECT (freeze\(.*\)) AS d\);", re.DOTALL)


class Fault(NamedTuple):
    """`code` is one that `edge_agent.check.findings` knows; `subject` names the row; `detail` is a clause."""

    code: str
    subject: str
    detail: str


class StoredFile(NamedTuple):
    """A file that a row names; `uploaded_at` None = only here; `evicted_at`: not expected here any more."""

    row_id: str
    file_path: str
    size_bytes: int
    sha256: str
    uploaded_at: str | None
    evicted_at: str | None


@contextmanager
def ticking(reader: sqlite3.Connection, tick: Callable[[], None]) -> Iterator[None]:
    """Calls `tick` every few milliseconds of SQLite's work; what it raises ends the statement."""
    raised: list[BaseException] = []

    def on_progress() -> int:
        try:
            tick()
        except BaseException as error:
            raised.append(error)
        return len(raised)

    reader.set_progress_handler(on_progress, TICK_INSTRUCTIONS)
    try:
        yield
    except sqlite3.OperationalError:
        if raised:
            raise raised[0] from None
        raise
    finally:
        reader.set_progress_handler(None, 0)


# ── structure ───────────────────────────────────────────────────────────────────────────────────────────


def structure_faults(reader: sqlite3.Connection) -> Iterator[Fault]:
    """SQLite's own complaints, dangling references, and a schema that is not ours (a dropped trigger)."""
    for (complaint,) in reader.execute("PRAGMA integrity_check(20)"):
        if complaint != "ok":
            yield Fault("database-damaged", "edge.db", complaint)
    for table, rowid, parent, _ in reader.execute("PRAGMA foreign_key_check"):
        yield Fault(
            "foreign-key-broken", f"{table} row {rowid}", f"names a row of {parent} that is not there"
        )
    wanted, present = _expected_objects(), schema_objects(reader)
    for name in sorted(wanted.keys() | present.keys()):
        if wanted.get(name) != present.get(name):
            kind = "missing" if name not in present else "changed" if name in wanted else "not ours"
            yield Fault("schema-changed", name, f"it is {kind}")


@cache
def _expected_objects() -> Mapping[str, str]:
    with closing(pristine()) as expected:
        return schema_objects(expected)


# ── facts, queue, audit ─────────────────────────────────────────────────────────────────────────────────


@cache
def frozen_expressions() -> Mapping[tuple[str, str], str]:
    """(table, INSERT or UPDATE) → the expression over `r` that freezes a row as its trigger does."""
    found = {}
    with closing(pristine()) as schema:
        triggers = (
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_queue_%'"
        )
        for name, table, sql in schema.execute(triggers):
            if match := FREEZE.search(sql):
                operation = name.rsplit("_", 1)[1].upper()
                found[table, operation] = re.sub(r"\bNEW\.", "r.", match[1])
    return found


def queue_faults(reader: sqlite3.Connection) -> Iterator[Fault]:
    """Queue entries whose bytes, order or number are not what the audit trail says was queued."""
    facts = "SELECT entity_type, entity_id, action, content_sha256 FROM audit_log WHERE content_sha256 <> ''"
    audited = enumerate(reader.execute(f"{facts} ORDER BY seq"), start=1)
    last_id, said = purged_up_to(reader), (0, ("", "", "", ""))
    for entry in reader.execute(
        "SELECT id, entity_type, entity_id, operation, sha256, data FROM sync_queue ORDER BY id"
    ):
        if entry["id"] != last_id + 1:
            yield Fault("queue-gap", f"sync_queue {last_id + 1}–{entry['id'] - 1}", "they were removed")
        last_id = entry["id"]
        if sha256_hex(entry["data"].encode()) != entry["sha256"]:
            yield Fault("queue-entry-changed", f"sync_queue {last_id}", "its data do not match its sha256")
        while said[0] < last_id and (following := next(audited, None)):
            said = following[0], tuple(following[1])
        if said != (last_id, tuple(entry)[1:5]):
            yield Fault("queue-entry-changed", f"sync_queue {last_id}", "it is not what was recorded")
    last_recorded = max(said[0], *(number for number, _ in audited), 0)
    if last_recorded > last_id:
        yield Fault("queue-gap", f"sync_queue {last_id + 1}–{last_recorded}", "they were removed")


def purged_up_to(reader: sqlite3.Connection) -> int:
    """The highest queue entry ever purged; who purges says so in the trail (`queue.purge`, id as entity)."""
    sql = "SELECT max(CAST(entity_id AS INTEGER)) FROM audit_log WHERE entity_type = ? AND action = ?"
    return reader.execute(sql, ("sync_queue", "queue.purge")).fetchone()[0] or 0


def fact_faults(reader: sqlite3.Connection, table: str) -> Iterator[Fault]:
    """Rows never recorded, rows that differ from what was recorded last, and recorded rows that are gone."""
    define_pure_functions(reader)
    expressions = frozen_expressions()
    insert = expressions[table, "INSERT"]
    update = expressions.get((table, "UPDATE"))
    rows = reader.execute(
        f"""SELECT r.id AS id, a.action, a.content_sha256 AS recorded,
                   sha256(CASE a.action WHEN 'UPDATE' THEN {update or "NULL"} ELSE {insert} END) AS present,
                   a.action = 'UPDATE' AND NOT coalesce({_began_plainly(table, insert) if update else 1}, 0)
                   AS is_doubtful
            FROM {table} r LEFT JOIN audit_log a ON a.seq = (
                SELECT seq FROM audit_log WHERE entity_type = '{table}' AND entity_id = r.id
                       AND content_sha256 <> '' ORDER BY seq DESC LIMIT 1)"""
    )
    for row in rows:
        if row["recorded"] is None:
            yield Fault("fact-not-recorded", f"{table} {row['id']}", "no audit entry tells of it")
        elif row["recorded"] != row["present"]:
            yield Fault("fact-changed", f"{table} {row['id']}", "it differs from what was recorded")
        elif row["is_doubtful"] and not _begun_alike(reader, table, row["id"], insert):
            yield Fault(
                "fact-changed", f"{table} {row['id']}", "it differs from what was recorded at its start"
            )
    gone = reader.execute(
        f"""SELECT entity_id FROM audit_log a WHERE entity_type = '{table}' AND action = 'INSERT'
            AND content_sha256 <> '' AND NOT EXISTS (SELECT 1 FROM {table} r WHERE r.id = a.entity_id)"""
    )
    for (row_id,) in gone:
        yield Fault("fact-gone", f"{table} {row_id}", "it was recorded and is no longer there")


def _began_plainly(table: str, insert: str) -> str:
    """SQL for whether the row, put back to the usual beginning, is what was recorded when it was inserted.

    The quick answer for nearly every row; where it says no, `_begun_alike` looks closely.
    """
    begun = re.sub(r"\br\.(\w+)\b", lambda match: BEGINNING.get(match[1], match[0]), insert)
    first = f"""(SELECT content_sha256 FROM audit_log WHERE entity_type = '{table}' AND entity_id = r.id
                 AND action = 'INSERT' AND content_sha256 <> '' ORDER BY seq LIMIT 1)"""
    plain = (begun.replace("r.status", f"'{status}'") for status in FIRST_STATUSES)
    return " OR ".join(f"{first} = sha256({text})" for text in plain)


def _begun_alike(reader: sqlite3.Connection, table: str, row_id: str, insert: str) -> bool:
    """Whether what an update never touches is still as it was inserted.

    With the queue entry at hand its fixed fields are compared; after the entry is purged, the row as it must
    have begun is frozen again and compared with the audit trail.
    """
    frozen, recorded, queued = reader.execute(
        f"""SELECT {insert}, a.content_sha256,
                   (SELECT data FROM sync_queue WHERE entity_type = a.entity_type AND entity_id = a.entity_id
                    AND operation = 'INSERT')
            FROM {table} r JOIN audit_log a ON a.entity_type = '{table}' AND a.entity_id = r.id
                 AND a.action = 'INSERT' AND a.content_sha256 <> ''
            WHERE r.id = ?""",
        (row_id,),
    ).fetchone() or ("", "", None)
    if not frozen:
        return False
    row = json.loads(frozen)
    if queued is not None:
        begun = json.loads(queued)
        return all(begun.get(name) == value for name, value in row.items() if name not in CHANGING)
    return recorded in {sha256_hex(canonical_row(begun)) for begun in _beginnings(row)}


BEGINNING = {
    "completed_at": "NULL",
    "final_result": "NULL",
    "reason": "NULL",
    "version": "1",
    "updated_at": "r.started_at",
}
FIRST_STATUSES = ("PENDING", "IN_PROGRESS")
CHANGING = frozenset(
    {"completed_at", "final_result", "reason", "status", "updated_at", "user_server_id", "version"}
)
"""Fields of a session that its updates carry."""


def _beginnings(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The ways in which this session may have been inserted."""
    fresh = {"completed_at": None, "final_result": None, "reason": None, "version": 1}
    for status in FIRST_STATUSES:
        for user in (row["user_server_id"], None):
            begun = {"status": status, "user_server_id": user, "updated_at": row["started_at"]}
            yield {**row, **fresh, **begun}


# ── states ──────────────────────────────────────────────────────────────────────────────────────────────


def state_faults(reader: sqlite3.Connection, *, daemon_running: bool) -> Iterator[Fault]:
    """Rows in a state that no path of the product leads to."""
    closed = "('COMPLETED', 'FAILED', 'CANCELLED')"
    session_rules = {
        f"status IN {closed} AND completed_at IS NULL": "it is closed but has no end",
        f"status NOT IN {closed} AND completed_at IS NOT NULL": "it is open but has an end",
        "status = 'COMPLETED' AND final_result IS NULL": "it is completed but has no result",
        "status <> 'COMPLETED' AND final_result IS NOT NULL": "it has a result but is not completed",
        "NOT json_valid(criteria_snapshot)": "its criteria snapshot is not JSON",
    }
    for rule, detail in session_rules.items():
        for (row_id,) in reader.execute(f"SELECT id FROM inspection_sessions WHERE {rule}"):
            yield Fault("session-state-impossible", f"session {row_id}", detail)
    for (row_id,) in reader.execute(
        """SELECT i.id FROM inspection_images i JOIN inspection_sessions s ON s.id = i.session_id
           WHERE json_valid(s.criteria_snapshot) AND NOT EXISTS (
               SELECT 1 FROM json_each(s.criteria_snapshot) item
               WHERE item.value ->> 'id' = i.item_id)"""
    ):
        yield Fault("image-item-unknown", f"image {row_id}", "its session has no such item")
    for (row_id,) in reader.execute(
        """SELECT id FROM inspection_images i WHERE state = 'inspected' AND NOT EXISTS (
               SELECT 1 FROM ai_inspection_results r WHERE r.image_id = i.id)"""
    ):
        yield Fault("image-without-verdict", f"image {row_id}", "it counts as inspected but has no verdict")
    if not daemon_running:
        for (row_id,) in reader.execute("SELECT id FROM inspection_images WHERE state = 'inspecting'"):
            yield Fault("image-cut-off", f"image {row_id}", "its AI run was cut off")


# ── derived ─────────────────────────────────────────────────────────────────────────────────────────────


def verdict_faults(reader: sqlite3.Connection) -> Iterator[Fault]:
    """Rows of item_verdicts that are not what the AI results and verifications add up to."""
    for row in reader.execute(
        """
        SELECT v.session_id, v.item_id FROM item_verdicts v
        LEFT JOIN ai_inspection_results a ON a.id = (
            SELECT id FROM ai_inspection_results WHERE session_id = v.session_id AND item_id = v.item_id
            ORDER BY image_id DESC, id DESC LIMIT 1)
        LEFT JOIN human_verification_results h ON h.id = (
            SELECT id FROM human_verification_results WHERE session_id = v.session_id AND item_id = v.item_id
            ORDER BY id DESC LIMIT 1)
        JOIN inspection_sessions s ON s.id = v.session_id
        WHERE v.ai_result_id IS NOT a.id OR v.image_id IS NOT a.image_id
           OR v.ai_result <> coalesce(a.overall_result, '') OR v.weight <> coalesce(a.sample_weight, 1)
           OR v.review IS NOT CASE WHEN a.overall_result <> 'OK' THEN a.overall_result
                                   WHEN a.sample_weight IS NOT NULL THEN 'SAMPLED' END
           OR v.human_result_id IS NOT h.id OR v.human_result <> coalesce(h.final_result, '')
           OR v.reason_code <> coalesce(h.reason_code, '') OR v.user_id <> coalesce(h.user_id, 0)
           OR v.verification_time <> coalesce(h.verification_time, 0)
           OR NOT (v.updated_at IS a.created_at OR v.updated_at IS h.created_at)
           OR v.is_closed <> (s.status IN ('COMPLETED', 'FAILED', 'CANCELLED'))
        """
    ):
        yield Fault(
            "verdict-wrong", f"session {row[0]} item {row[1]}", "it is not what its results add up to"
        )
    for table in ("ai_inspection_results", "human_verification_results"):
        for row in reader.execute(
            f"""SELECT session_id, item_id FROM {table} r WHERE item_id IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM item_verdicts v
                    WHERE v.session_id = r.session_id AND v.item_id = r.item_id)"""
        ):
            yield Fault("verdict-wrong", f"session {row[0]} item {row[1]}", f"{table} has a verdict for it")


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────


def image_files(reader: sqlite3.Connection) -> Iterator[StoredFile]:
    """Every image file that must be there, in the order in which they were taken."""
    sql = (
        "SELECT id, file_path, file_size, sha256, uploaded_at, evicted_at FROM inspection_images ORDER BY id"
    )
    return (StoredFile(*row) for row in reader.execute(sql))


def count_images(reader: sqlite3.Connection) -> int:
    return int(reader.execute("SELECT count(*) FROM inspection_images").fetchone()[0])


def image_path(reader: sqlite3.Connection, image_id: str) -> str | None:
    """The file path of that image's row, None if there is no such row."""
    row = reader.execute("SELECT file_path FROM inspection_images WHERE id = ?", (image_id,)).fetchone()
    return None if row is None else str(row[0])
