"""What a pushed operation is, and what becomes of a session that two changes met on: decided without a database.

Rules of this file:
- Pure functions. A value's shape is checked here, because PostgreSQL takes more than it would give back ("now" for an
  instant, "yes" for a boolean); ranges, allowed values and NULL are the database's to refuse.
- What only a newer server could store is deferred, never rejected: the device keeps it. What an older device does not
  know of yet (`Table.later`) may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import orjson
import rfc8785
from pydantic import Field, TypeAdapter

from central_server.facts import MEMBERS, TABLES, Table
from sync_protocol.canonical import are_canonical, canonical_row
from sync_protocol.messages import UUID_PATTERN, OpResult, PushOp

_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def _texts(pattern: str | None = None) -> Callable[[list[Any]], bool]:
    """Whether all of a column's values are texts like that."""
    return TypeAdapter(list[Annotated[str, Field(strict=True, pattern=pattern)]]).validator.isinstance_python


def _of(kinds: set[type]) -> Callable[[list[Any]], bool]:
    return lambda values: {*map(type, values)} <= kinds


# PostgreSQL type → whether all of these values have its form.
FORMS: Mapping[str, Callable[[list[Any]], bool]] = {
    "uuid": _texts(UUID_PATTERN),
    "timestamptz": _texts(_INSTANT),
    "date": _texts(_DAY),
    "text": _of({str}),
    "integer": _of({int}),
    "bigint": _of({int}),
    "boolean": lambda values: {*map(type, values)} <= {int} and {*values} <= {0, 1},
    "double precision": _of({int, float}),
}


class Incoming(NamedTuple):
    """An operation whose data is a canonical flat row with the members of its table."""

    op: PushOp
    row: Mapping[str, Any]

    @property
    def record(self) -> orjson.Fragment:
        """The row with `row_sha256`, for jsonb_to_recordset."""
        return orjson.Fragment(f'{{"row_sha256":"\\\\x{self.op.sha256}",{self.op.data[1:]}')


def read_ops(ops: Sequence[PushOp]) -> list[Incoming | OpResult]:
    """Each operation (its sha256 is that of its data), or why it cannot be applied."""
    rows = [_parse(op.data) for op in ops]
    sound = _sound_kinds(ops, rows)
    return [
        _read_op(op, row, (op.entity_type, op.operation) in sound) for op, row in zip(ops, rows, strict=True)
    ]


def _sound_kinds(ops: Sequence[PushOp], rows: Sequence[dict[str, Any] | None]) -> set[tuple[str, str]]:
    """What needs no second look: (table, operation) where all rows are canonical and all values have their columns'
    forms.

    Rows are written and columns checked all at once, at a third of what they cost one by one.
    """
    by_kind: dict[tuple[str, str], list[tuple[str, dict[str, Any] | None]]] = {}
    for op, row in zip(ops, rows, strict=True):
        by_kind.setdefault((op.entity_type, op.operation), []).append((op.data, row))
    return {kind for kind, of_kind in by_kind.items() if kind in MEMBERS and _are_sound(kind, of_kind)}


def _are_sound(kind: tuple[str, str], entries: Sequence[tuple[str, dict[str, Any] | None]]) -> bool:
    members = tuple(sorted(MEMBERS[kind]))
    rows = [row for _, row in entries if row is not None and tuple(row) == members]
    if len(rows) < len(entries):
        return False
    columns = dict(zip(members, zip(*(row.values() for row in rows), strict=True), strict=True))
    return not _ill_formed(TABLES[kind[0]], columns) and are_canonical(rows, [data for data, _ in entries])


def _ill_formed(table: Table, columns: Mapping[str, Iterable[Any]]) -> list[str]:
    """The columns in which a value, other than null, is not of the column's form."""
    return [
        name
        for name, values in columns.items()
        if not FORMS[table.columns[name]]([value for value in values if value is not None])
    ]


def _read_op(op: PushOp, row: dict[str, Any] | None, is_sound: bool) -> Incoming | OpResult:
    if op.entity_type not in TABLES:
        return deferred(op, "schema-newer", f"There is no table {op.entity_type} here.")
    if (op.entity_type, op.operation) not in MEMBERS:
        return rejected(op, "operation-unknown", f"{op.entity_type} takes no {op.operation}.")
    if row is None or not (is_sound or _is_canonical(op.data, row)):
        return rejected(op, "row-invalid", "The data is not the canonical JSON of a row.")
    return (None if is_sound else _fault_of_form(op, row)) or _fault_of_sense(op, row) or Incoming(op, row)


def _fault_of_form(op: PushOp, row: dict[str, Any]) -> OpResult | None:
    members = MEMBERS[op.entity_type, op.operation]
    if missing := members - TABLES[op.entity_type].later - row.keys():
        return rejected(op, "row-invalid", f"The data lacks {', '.join(sorted(missing))}.")
    if unknown := row.keys() - members:
        return deferred(op, "schema-newer", f"There is no column {', '.join(sorted(unknown))} here.")
    if wrong := _ill_formed(TABLES[op.entity_type], {name: [value] for name, value in row.items()}):
        return rejected(op, "row-invalid", f"Not of its column's form: {', '.join(sorted(wrong))}.")
    return None


def _fault_of_sense(op: PushOp, row: dict[str, Any]) -> OpResult | None:
    if row["id"] != op.entity_id:
        return rejected(op, "row-invalid", "The data's id is not the entity's.")
    if op.operation == "UPDATE" and not _is_change(op, row):
        return rejected(op, "row-invalid", "A change needs base_version, a higher version, and updated_at.")
    return None


def answered(op: PushOp, outcome: Any, code: str = "", detail: str = "") -> OpResult:
    return OpResult(op.op_id, outcome, code, detail)


def rejected(op: PushOp, code: str, detail: str) -> OpResult:
    return answered(op, "rejected", code, detail)


def deferred(op: PushOp, code: str, detail: str) -> OpResult:
    return answered(op, "deferred", code, detail)


def _parse(data: str) -> dict[str, Any] | None:
    try:
        row = orjson.loads(data)
    except ValueError:
        return None
    return row if type(row) is dict else None


def _is_canonical(data: str, row: Mapping[str, Any]) -> bool:
    try:
        return canonical_row(row) == data.encode()
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return False


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
