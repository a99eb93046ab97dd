"""What a pushed operation is, and what becomes of a session that two changes met on: decided without a database.

Rules of this file:
- Pure functions. A value's shape is checked here, because PostgreSQL takes more than it would give back ("now" for an
  instant, "yes" for a boolean); ranges, allowed values and NULL are the database's to refuse.
- What only a newer server could store is deferred, never rejected: the device keeps it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
import rfc8785

from central_server.facts import MEMBERS, TABLES
from sync_protocol.canonical import canonical_row
from sync_protocol.messages import UUID_PATTERN, OpResult, PushOp

_UUID = re.compile(UUID_PATTERN).fullmatch
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z").fullmatch
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
SHAPES: Mapping[str, Callable[[Any], object]] = {
    "uuid": lambda value: type(value) is str and _UUID(value),
    "timestamptz": lambda value: type(value) is str and _INSTANT(value),
    "date": lambda value: type(value) is str and _DAY(value),
    "text": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "bigint": lambda value: type(value) is int,
    "boolean": lambda value: type(value) is int and value in (0, 1),
    "double precision": lambda value: type(value) in (int, float),
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """An operation whose data is a canonical flat row with the members of its table."""

    op: PushOp
    row: Mapping[str, Any]

    @property
    def record(self) -> str:
        """The row as JSON text with `row_sha256`, for jsonb_to_recordset."""
        return f'{{"row_sha256":"\\\\x{self.op.sha256}",{self.op.data[1:]}'


def read_op(op: PushOp) -> Incoming | OpResult:
    """The operation, or why it cannot be applied."""
    if hashlib.sha256(op.data.encode("utf-8", "surrogatepass")).hexdigest() != op.sha256:
        return rejected(op, "row-damaged", "The data's sha256 is not the one sent with it.")
    if op.entity_type not in TABLES:
        return deferred(op, "schema-newer", f"There is no table {op.entity_type} here.")
    members = MEMBERS.get((op.entity_type, op.operation))
    if members is None:
        return rejected(op, "operation-unknown", f"{op.entity_type} takes no {op.operation}.")
    row = _parse(op.data)
    if row is None:
        return rejected(op, "row-invalid", "The data is not the canonical JSON of a flat row.")
    return _read_row(op, row, members)


def _read_row(op: PushOp, row: dict[str, Any], members: frozenset[str]) -> Incoming | OpResult:
    if missing := members - row.keys():
        return rejected(op, "row-invalid", f"The data lacks {', '.join(sorted(missing))}.")
    if unknown := row.keys() - members:
        return deferred(op, "schema-newer", f"There is no column {', '.join(sorted(unknown))} here.")
    columns = TABLES[op.entity_type].columns
    if wrong := [
        name for name, value in row.items() if value is not None and not SHAPES[columns[name]](value)
    ]:
        return rejected(op, "row-invalid", f"Not of its column's form: {', '.join(sorted(wrong))}.")
    if row["id"] != op.entity_id:
        return rejected(op, "row-invalid", "The data's id is not the entity's.")
    if op.operation == "UPDATE" and not _is_change(op, row):
        return rejected(op, "row-invalid", "A change needs base_version, a higher version, and updated_at.")
    return Incoming(op, row)


def answered(op: PushOp, outcome: Any, code: str = "", detail: str = "") -> OpResult:
    return OpResult(op.op_id, outcome, code, detail)


def rejected(op: PushOp, code: str, detail: str) -> OpResult:
    return answered(op, "rejected", code, detail)


def deferred(op: PushOp, code: str, detail: str) -> OpResult:
    return answered(op, "deferred", code, detail)


def _parse(data: str) -> dict[str, Any] | None:
    try:
        row = orjson.loads(data)
        if type(row) is not dict or any(type(value) in (dict, list, bool) for value in row.values()):
            return None
        return row if canonical_row(row) == data.encode() else None
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return None


def _is_change(op: PushOp, row: Mapping[str, Any]) -> bool:
    if op.base_version is None or row["version"] is None or row["version"] <= op.base_version:
        return False
    try:
        return bool(_instant_ms(row["updated_at"]))
    except (TypeError, ValueError):
        return False


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session as it is: `changed_at_ms` by the server's clock, `data` what changes can change, as JSON."""

    version: int
    device_id: str
    changed_at_ms: int
    sha256: str
    data: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """`kept` is "device" when the change that came late is the newer one."""

    incoming: Incoming
    kept: str
    server_data: str


@dataclass(slots=True)
class Settled:
    results: list[OpResult] = field(default_factory=list)
    effective: Incoming | None = None
    conflicts: list[Conflict] = field(default_factory=list)


def settle_session(
    state: SessionState | None, device_id: str, clock_offset_ms: int, changes: Sequence[Incoming]
) -> Settled:
    """What one session's changes, in the device's order, come to.

    A change made on the present version applies. One made on an older version met another: both are kept, and
    the newer by the server's clock is effective (tie: the higher checksum, so every server decides alike).
    """
    settled = Settled()
    for change in changes:
        if state is None:
            settled.results.append(deferred(change.op, "parent-missing", "The session has not arrived."))
            continue
        if state.device_id != device_id:
            settled.results.append(rejected(change.op, "not-owner", "The session is another device's."))
            continue
        base = change.op.base_version or 0
        if base > state.version:
            settled.results.append(deferred(change.op, "parent-missing", f"Version {base} has not arrived."))
            continue
        if change.op.sha256 == state.sha256:
            settled.results.append(answered(change.op, "duplicate"))
            continue
        changed_at_ms = _instant_ms(change.row["updated_at"]) + clock_offset_ms
        is_newer = (changed_at_ms, change.op.sha256) > (state.changed_at_ms, state.sha256)
        if base < state.version:
            settled.conflicts.append(Conflict(change, "device" if is_newer else "server", state.data))
        if base < state.version and not is_newer:
            settled.results.append(answered(change.op, "superseded", detail=state.data))
            continue
        settled.results.append(answered(change.op, "applied"))
        settled.effective = change
        version = max(state.version, change.row["version"])
        state = replace(
            state,
            version=version,
            changed_at_ms=changed_at_ms,
            sha256=change.op.sha256,
            data=change.op.data,
        )
    return settled


def _instant_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
