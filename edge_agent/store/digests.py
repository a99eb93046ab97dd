"""What a comparison with the server needs of this store: id and checksum of every row, recorded or made anew.

Rules of this file:
- Questions stream, one pass over a table; `queue_again` is the only change.
- What was recorded of a fact is the audit trail's last word of it: the queue may be emptied, the trail never. A fact
  with anything unsent stands at the server as it was before that, or not at all.
- How a fact is frozen is read from the triggers (`store.soundness`), so nothing here can drift from what is sent.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from typing import NamedTuple

from edge_agent.store.database import define_pure_functions
from edge_agent.store.schema import pristine
from edge_agent.store.soundness import frozen_expressions

UPDATABLE = "inspection_sessions"
_BODY = re.compile(r"\bBEGIN\s+(INSERT INTO sync_queue.*);\s*END\s*$", re.DOTALL)
_FROZEN = re.compile(r"FROM \(SELECT (freeze\(.*\)) AS d\)$", re.DOTALL)


class FactSum(NamedTuple):
    """`recorded`: what was sent last and acknowledged; `present`: of the row as it is, None: not made anew."""

    id: str
    recorded: str
    present: str | None


class Upload(NamedTuple):
    """A photograph the object store is said to hold."""

    id: str
    sha256: str
    size: int


def count_rows(reader: sqlite3.Connection, table: str) -> int:
    return int(reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def facts(reader: sqlite3.Connection, table: str, *, deep: bool) -> Iterator[FactSum]:
    """Every fact that the server has acknowledged, in its acknowledged form."""
    unsent = _unsent(reader, table)
    present = _present(table) if deep else "NULL"
    if deep:
        define_pure_functions(reader)
    rows = reader.cursor()
    rows.row_factory = None
    sql = f"""SELECT r.id, a.content_sha256, {present} FROM {table} r JOIN audit_log a ON a.seq = (
                  SELECT seq FROM audit_log WHERE entity_type = '{table}' AND entity_id = r.id
                         AND content_sha256 <> '' ORDER BY seq DESC LIMIT 1)"""
    for row_id, recorded, made in rows.execute(sql):
        if row_id not in unsent:
            yield FactSum(row_id, recorded, made)
        elif (earlier := _before(reader, table, row_id, unsent[row_id])) is not None:
            yield FactSum(row_id, earlier, None)


def in_flight(reader: sqlite3.Connection, table: str, ids: Sequence[str]) -> set[str]:
    """Those of the rows that have something unsent: what the server holds of them is about to change."""
    sql = """SELECT DISTINCT entity_id FROM sync_queue
             WHERE entity_type = ? AND entity_id IN (SELECT value FROM json_each(?)) AND processed_at IS NULL"""
    return {row[0] for row in reader.execute(sql, (table, json.dumps(list(ids))))}


def existing(reader: sqlite3.Connection, table: str, ids: Sequence[str]) -> set[str]:
    """Those of the rows that are here."""
    sql = f"SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(?))"
    return {row[0] for row in reader.execute(sql, (json.dumps(list(ids)),))}


def lost_conflicts(reader: sqlite3.Connection, table: str, ids: Sequence[str]) -> set[str]:
    """Those of the rows of which the server kept its own version after a conflict."""
    sql = """SELECT DISTINCT entity_id FROM conflict_log
             WHERE entity_type = ? AND entity_id IN (SELECT value FROM json_each(?)) AND kept = 'server'"""
    return {row[0] for row in reader.execute(sql, (table, json.dumps(list(ids))))}


def uploads(reader: sqlite3.Connection, newest: int | None = None) -> Iterator[Upload]:
    """Photographs that the object store is said to hold, the newest first: so many, or all of them."""
    sql = """SELECT id, sha256, file_size FROM inspection_images WHERE uploaded_at IS NOT NULL
             ORDER BY id DESC LIMIT ?"""
    return (Upload(*row) for row in reader.execute(sql, (-1 if newest is None else newest,)))


def upload_again(tx: sqlite3.Connection, ids: Iterable[str]) -> None:
    """The object store does not hold these photographs after all."""
    tx.executemany("UPDATE inspection_images SET uploaded_at = NULL WHERE id = ?", ((one,) for one in ids))


def queue_again(tx: sqlite3.Connection, table: str, ids: Iterable[str], operation: str = "INSERT") -> int:
    """Queues the rows as they are now, each as its trigger would; how many.

    They are new operations: what the server answered to the old ones must not keep it from taking these. An
    UPDATE says that it was made on version 0, so the server settles it like any change that met another: by time.
    """
    sql = _queue_sql(table, operation)
    return sum(tx.execute(sql, (one,)).rowcount for one in ids)


@cache
def _queue_sql(table: str, operation: str) -> str:
    """The statement of the table's trigger, for the row `?` instead of the one just written."""
    with closing(pristine()) as schema:
        name = f"{table}_queue_{operation.lower()}"
        [(trigger,)] = schema.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,))
    body = _BODY.search(trigger)
    assert body is not None, name
    statement = _FROZEN.sub(rf"FROM (SELECT \1 AS d, r.* FROM {table} r WHERE r.id = ?) AS r", body[1])
    return re.sub(r"\bOLD\.version\b", "0", re.sub(r"\bNEW\.", "r.", statement))


def _present(table: str) -> str:
    """SQL for the sha256 of row `r` frozen again, as its last recorded operation froze it."""
    expressions = frozen_expressions()
    update = expressions.get((table, "UPDATE"), "NULL")
    return f"sha256(CASE a.action WHEN 'UPDATE' THEN {update} ELSE {expressions[table, 'INSERT']} END)"


def _unsent(reader: sqlite3.Connection, table: str) -> dict[str, int]:
    """Id → how many operations on it were not acknowledged."""
    sql = """SELECT entity_id, count(*) FROM sync_queue INDEXED BY idx_sync_queue_unprocessed
             WHERE processed_at IS NULL AND entity_type = ? GROUP BY entity_id"""
    return {row[0]: row[1] for row in reader.execute(sql, (table,))}


def _before(reader: sqlite3.Connection, table: str, row_id: str, unsent: int) -> str | None:
    """What was recorded before the last `unsent` operations on the row; None: nothing, it was never sent."""
    sql = """SELECT content_sha256 FROM audit_log WHERE entity_type = ? AND entity_id = ? AND content_sha256 <> ''
             ORDER BY seq DESC LIMIT 1 OFFSET ?"""
    row = reader.execute(sql, (table, row_id, unsent)).fetchone()
    return None if row is None else str(row[0])
