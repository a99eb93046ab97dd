"""Taking in what a device pushes: one batch, one transaction, an answer per operation.

Rules of this file:
- The device's row is locked first, so batches of one device are applied one after the other.
- An answer given for good (applied, duplicate, superseded) is in the ledger with the change itself; a replay gets
  it again. Deferred and rejected operations are not: sending them again tries again.
- Rows go in table by table with one statement each. If the database refuses any, the batch is undone to its
  beginning and taken one by one, so a poisoned row is rejected alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
import psycopg
from psycopg.types.json import Jsonb

from central_server.errors import Refused
from central_server.facts import AI_RESULTS, SESSIONS, TABLES, VERIFICATIONS, Table
from central_server.incoming import (
    Conflict,
    Incoming,
    SessionState,
    answered,
    deferred,
    read_ops,
    rejected,
    settle_session,
)
from central_server.store.database import Connection, Cursor
from sync_protocol.messages import OpResult, PushOp, PushReply, PushRequest

# The database refuses the row itself; too long for an index is "operational" to psycopg, but not to us.
REFUSED = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
FINAL = ("applied", "duplicate", "superseded")
Results = dict[str, OpResult]

# Of this transaction: every statement is planned once a connection, and never by how small a table was then. Planning
# anew is a third of what a small batch costs the database.
PLANS = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true)"
LOCK_DEVICE = """
    UPDATE devices SET last_seen_at = now() WHERE device_id = %s
    RETURNING device_type, app_version, revoked_at IS NOT NULL, (SELECT server_epoch::text FROM server_state),
              to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
              EXISTS (SELECT 1 FROM sync_rejections r WHERE r.device_id = devices.device_id AND resolved_at IS NULL)"""
LEDGER = """
    SELECT op_id::text, incarnation::text, seq, encode(sha256, 'hex'), outcome FROM sync_ops
    WHERE device_id = %(device_id)s AND op_id = ANY(%(op_ids)s::uuid[])
    UNION ALL
    SELECT op_id::text, incarnation::text, seq, encode(sha256, 'hex'), outcome FROM sync_ops
    WHERE device_id = %(device_id)s AND incarnation = %(incarnation)s AND seq = ANY(%(seqs)s::bigint[])"""
REMEMBER = """
    WITH op AS (
        SELECT * FROM jsonb_to_recordset(%(ops)s::jsonb) AS o (op_id uuid, seq bigint, sha256 bytea, outcome text,
            entity_type text, entity_id uuid, operation text, data jsonb)
    ), ledger AS (
        INSERT INTO sync_ops (device_id, op_id, incarnation, seq, sha256, outcome)
        SELECT %(device_id)s, op_id, %(incarnation)s, seq, sha256, outcome FROM op
    )
    INSERT INTO tauri_sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation, data, op_id,
                                  processed_at)
    SELECT %(device_id)s, %(device_type)s, %(app_version)s, entity_type, entity_id, operation, data, op_id, now()
    FROM op"""
ACKNOWLEDGE = """
    INSERT INTO device_incarnations AS i (device_id, incarnation, last_seq, last_ack) VALUES (%s, %s, %s, 1)
    ON CONFLICT (device_id, incarnation)
    DO UPDATE SET last_seq = greatest(i.last_seq, excluded.last_seq), last_ack = i.last_ack + 1
    RETURNING last_ack"""
PRESENT_SESSIONS = """
    SELECT id::text, version, device_id, (extract(epoch FROM updated_at) * 1000)::bigint + clock_offset_ms,
           encode(row_sha256, 'hex'),
           jsonb_build_object('completed_at', completed_at, 'final_result', final_result, 'reason', reason,
                              'status', status, 'updated_at', updated_at, 'user_server_id', user_id,
                              'version', version)::text
    FROM inspection_sessions WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"""
CHANGE_SESSIONS = """
    UPDATE inspection_sessions s
    SET status = r.status, completed_at = r.completed_at, final_result = r.final_result, reason = r.reason,
        user_id = r.user_server_id, updated_at = r.updated_at, version = greatest(s.version, r.version),
        row_sha256 = r.row_sha256, clock_offset_ms = %s
    FROM jsonb_to_recordset(%s::jsonb) AS r (id uuid, status text, completed_at timestamptz, final_result text,
        reason text, user_server_id uuid, updated_at timestamptz, version integer, row_sha256 bytea)
    WHERE s.id = r.id"""
LOG_CONFLICT = """
    INSERT INTO conflict_log (entity_type, entity_id, device_id, op_id, kept, device_data, server_data)
    VALUES ('inspection_sessions', %s, %s, %s, %s, %s, %s)"""
REJECT = """
    INSERT INTO sync_rejections AS r (device_id, op_id, seq, entity_type, entity_id, operation, data, code, detail)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (device_id, op_id) DO UPDATE SET attempts = r.attempts + 1, last_at = now(), resolved_at = NULL,
        data = excluded.data, code = excluded.code, detail = excluded.detail"""
RESOLVE = """UPDATE sync_rejections SET resolved_at = now()
             WHERE device_id = %s AND op_id = ANY(%s::uuid[]) AND resolved_at IS NULL"""
STATEMENTS = {name: (table.insert, table.present) for name, table in TABLES.items()}


@dataclass(frozen=True, slots=True)
class Sender:
    """Who pushes, as its row says, and when (the transaction's now); `has_rejections`: some are open."""

    device_id: str
    incarnation: str
    device_type: str
    app_version: str
    clock_offset_ms: int
    server_epoch: str
    server_time: str
    has_rejections: bool


def push(tx: Connection, device_id: str, request: PushRequest) -> PushReply:
    """Applies a batch within the caller's transaction; the answer holds only if that commits.

    Raises Refused: `device-unknown`, `device-revoked`, `device-forked`, `batch-invalid`.
    """
    _require_distinct(request.ops)
    locked, known = _ask(tx, device_id, request)
    sender = _sender(locked.fetchone(), device_id, request)
    results = _replayed(known.fetchall(), sender, request.ops)
    rows = []
    for read in read_ops([op for op in request.ops if op.op_id not in results]):
        if isinstance(read, Incoming):
            rows.append(read)
        else:
            results[read.op_id] = read
    if rows:
        results |= _apply(tx, sender, rows)
    _note_rejections(tx, sender, request.ops, results)
    return PushReply.model_construct(
        batch_id=request.batch_id,
        ack=_acknowledge(tx, sender, request.ops, results),
        server_epoch=sender.server_epoch,
        server_time=sender.server_time,
        results=tuple(results[op.op_id] for op in request.ops),
    )


def _array(ids: Iterable[object]) -> str:
    """UUIDs or numbers as PostgreSQL writes an array: psycopg looks at every item of a list."""
    return f"{{{','.join(map(str, ids))}}}"


def _json(items: Sequence[object]) -> Jsonb:
    """Rows among them are passed through as they are (`orjson.Fragment`)."""
    return Jsonb(items, orjson.dumps)


def _require_distinct(ops: Sequence[PushOp]) -> None:
    if len({op.op_id for op in ops}) < len(ops) or len({op.seq for op in ops}) < len(ops):
        raise Refused("batch-invalid", "An op_id or a seq occurs twice in the batch.")


def _ask(tx: Connection, device_id: str, request: PushRequest) -> tuple[Cursor, Cursor]:
    """The device's row, locked, and what the ledger (looked at afterwards) has of the operations."""
    keys = {
        "device_id": device_id,
        "incarnation": request.incarnation,
        "op_ids": _array(op.op_id for op in request.ops),
        "seqs": _array(op.seq for op in request.ops),
    }
    with tx.pipeline():
        tx.execute(PLANS)
        return tx.execute(LOCK_DEVICE, (device_id,)), tx.execute(LEDGER, keys)


def _sender(row: tuple[object, ...] | None, device_id: str, request: PushRequest) -> Sender:
    if row is None:
        raise Refused("device-unknown", f"The device {device_id} is not enrolled here.")
    device_type, app_version, is_revoked, server_epoch, server_time, has_rejections = row
    if is_revoked:
        raise Refused("device-revoked", f"The access of device {device_id} was withdrawn.")
    return Sender(
        device_id,
        request.incarnation,
        str(device_type),
        str(app_version),
        request.clock_offset_ms,
        str(server_epoch),
        str(server_time),
        bool(has_rejections),
    )


def _replayed(found: Iterable[tuple[object, ...]], sender: Sender, ops: Sequence[PushOp]) -> Results:
    """The stored answers. Raises Refused (`device-forked`) when an op_id or a seq comes with other content."""
    by_id, by_seq = {op.op_id: op for op in ops}, {op.seq: op for op in ops}
    results: Results = {}
    for op_id, incarnation, seq, sha256, outcome in found:
        known = by_id.get(str(op_id))
        same_place = by_seq.get(int(str(seq))) if incarnation == sender.incarnation else None
        if (known and known.sha256 != sha256) or (same_place and same_place is not known):
            raise Refused(
                "device-forked",
                f"Operation {op_id} (seq {seq}) came before with other content.",
                hint="Another disk uses this device's identity: a clone, or a restored backup.",
            )
        if known:
            results[known.op_id] = answered(known, outcome)
    return results


def _apply(tx: Connection, sender: Sender, rows: Sequence[Incoming]) -> Results:
    try:
        with tx.transaction(), tx.pipeline():
            return _apply_together(tx, sender, rows)
    except REFUSED:
        return _apply_one_by_one(tx, sender, rows)


def _apply_one_by_one(tx: Connection, sender: Sender, rows: Sequence[Incoming]) -> Results:
    order = list(TABLES)
    results: Results = {}
    for row in sorted(
        rows, key=lambda r: (r.op.operation != "INSERT", order.index(r.op.entity_type), r.op.seq)
    ):
        try:
            with tx.transaction(), tx.pipeline():
                results |= _apply_together(tx, sender, [row])
        except REFUSED as error:
            reason = error.diag.message_primary or type(error).__name__
            results[row.op.op_id] = rejected(row.op, "row-invalid", reason)
    return results


def _apply_together(tx: Connection, sender: Sender, rows: Sequence[Incoming]) -> Results:
    """Everything is asked for before the first answer is waited for."""
    by_kind: dict[tuple[str, str], list[Incoming]] = {}
    for row in rows:
        by_kind.setdefault((row.op.entity_type, row.op.operation), []).append(row)
    inserts = [(table, new) for table in TABLES.values() if (new := by_kind.get((table.name, "INSERT")))]
    changes = by_kind.get((SESSIONS.name, "UPDATE"))
    made = [_insert(tx, sender, table, new) for table, new in inserts]
    present = tx.execute(PRESENT_SESSIONS, ([row.op.entity_id for row in changes],)) if changes else None
    results: Results = {}
    for (table, new), cursor in zip(inserts, made, strict=True):
        results |= _inserted(tx, sender, table, cursor.fetchall(), new)
    if present is not None and changes:
        results |= _change_sessions(tx, sender, present.fetchall(), changes)
    _take_results(tx, rows, results)
    _remember(tx, sender, [(row.op, results[row.op.op_id]) for row in rows])
    return results


def _take_results(tx: Connection, rows: Sequence[Incoming], results: Results) -> None:
    """New verdicts of the AI and of people become their items' present ones, and are counted."""
    new = [
        _array(
            row.op.entity_id for row in rows if row.op.entity_type == table.name and _is_new(row.op, results)
        )
        for table in (AI_RESULTS, VERIFICATIONS)
    ]
    if new != ["{}", "{}"]:
        tx.execute("SELECT take_results(%s::uuid[], %s::uuid[])", new)


def _is_new(op: PushOp, results: Results) -> bool:
    return op.operation == "INSERT" and results[op.op_id].outcome == "applied"


def _insert(tx: Connection, sender: Sender, table: Table, new: Sequence[Incoming]) -> Cursor:
    """Of rows with the same id the first."""
    first = {row.op.entity_id: row for row in reversed(new)}
    values = {
        "device_id": sender.device_id,
        "clock_offset_ms": sender.clock_offset_ms,
        "rows": _json([row.record for row in first.values()]),
    }
    return tx.execute(STATEMENTS[table.name][0].encode(), values)


def _inserted(
    tx: Connection, sender: Sender, table: Table, made: Iterable[tuple[object, ...]], new: Sequence[Incoming]
) -> Results:
    ids = {str(row_id) for (row_id,) in made}
    results: Results = {}
    others = []
    for row in new:
        if row.op.entity_id in ids:
            ids.remove(row.op.entity_id)
            results[row.op.op_id] = answered(row.op, "applied")
        else:
            others.append(row)
    if others:
        wanted = {"ids": [row.op.entity_id for row in others]}
        present = tx.execute(STATEMENTS[table.name][1].encode(), wanted).fetchall()
        found = {str(row[0]): (row[1], row[2]) for row in present}
        results |= {row.op.op_id: _not_made(row.op, sender, found.get(row.op.entity_id)) for row in others}
    return results


def _not_made(op: PushOp, sender: Sender, found: tuple[object, object] | None) -> OpResult:
    if found is None:
        return deferred(op, "parent-missing", "The row it belongs to has not arrived.")
    sha256, device_id = found
    if device_id != sender.device_id:
        return rejected(op, "not-owner", "The row is another device's.")
    if sha256 != bytes.fromhex(op.sha256):
        return rejected(op, "row-differs", "A row with this id is there, with other content.")
    return answered(op, "duplicate")


def _change_sessions(
    tx: Connection, sender: Sender, present: Iterable[tuple[object, ...]], changes: Sequence[Incoming]
) -> Results:
    by_session: dict[str, list[Incoming]] = {}
    for change in sorted(changes, key=lambda change: change.op.seq):
        by_session.setdefault(change.op.entity_id, []).append(change)
    states = {
        str(row[0]): SessionState(int(str(row[1])), str(row[2]), int(str(row[3])), str(row[4]), str(row[5]))
        for row in present
    }
    settled = [
        settle_session(states.get(session_id), sender.device_id, sender.clock_offset_ms, in_order)
        for session_id, in_order in by_session.items()
    ]
    effective = [one.effective.record for one in settled if one.effective is not None]
    if effective:
        tx.execute(CHANGE_SESSIONS, (sender.clock_offset_ms, _json(effective)))
    _log_conflicts(tx, sender, (conflict for one in settled for conflict in one.conflicts))
    return {result.op_id: result for one in settled for result in one.results}


def _log_conflicts(tx: Connection, sender: Sender, conflicts: Iterable[Conflict]) -> None:
    for one in conflicts:
        op = one.incoming.op
        tx.execute(
            LOG_CONFLICT, (op.entity_id, sender.device_id, op.op_id, one.kept, op.data, one.server_data)
        )


def _remember(tx: Connection, sender: Sender, answers: Sequence[tuple[PushOp, OpResult]]) -> None:
    ops = [
        {
            "op_id": op.op_id,
            "seq": op.seq,
            "sha256": f"\\x{op.sha256}",
            "outcome": result.outcome,
            "entity_type": op.entity_type,
            "entity_id": op.entity_id,
            "operation": op.operation,
            "data": orjson.Fragment(op.data),
        }
        for op, result in answers
        if result.outcome in FINAL
    ]
    values = {
        "ops": _json(ops),
        "device_id": sender.device_id,
        "incarnation": sender.incarnation,
        "device_type": sender.device_type,
        "app_version": sender.app_version,
    }
    if ops:
        tx.execute(REMEMBER, values)


def _note_rejections(tx: Connection, sender: Sender, ops: Sequence[PushOp], results: Results) -> None:
    for op in ops:
        result = results[op.op_id]
        if result.outcome == "rejected":
            data = op.data.encode("utf-8", "surrogatepass")
            entity_type = op.entity_type.replace("\0", "\ufffd")
            about = (
                op.op_id,
                op.seq,
                entity_type,
                op.entity_id,
                op.operation,
                data,
                result.code,
                result.detail,
            )
            tx.execute(REJECT, (sender.device_id, *about))
    if sender.has_rejections:
        final = _array(op.op_id for op in ops if results[op.op_id].outcome in FINAL)
        tx.execute(RESOLVE, (sender.device_id, final))


def _acknowledge(tx: Connection, sender: Sender, ops: Sequence[PushOp], results: Results) -> int:
    last_seq = max((op.seq for op in ops if results[op.op_id].outcome in FINAL), default=0)
    row = tx.execute(ACKNOWLEDGE, (sender.device_id, sender.incarnation, last_seq)).fetchone()
    assert row is not None
    return int(str(row[0]))
