"""Devices and a server of which one is a schema version ahead: what can go on goes on, the rest waits for the update.

A column of today plays the newer one: the older end is without it, the newer one knows that it came later.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from central_server.facts import TABLES
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.messages import PushOp
from tests.central.devices import Device, edited

APPLIED = ("applied", "")
TABLE, COLUMN = "inspection_images", "captured_by_server_id"


def without(op: PushOp, column: str) -> PushOp:
    """The operation as a device freezes it that does not know the column."""
    row = {name: value for name, value in json.loads(op.data).items() if name != column}
    data = canonical_row(row)
    return op._replace(data=data.decode(), sha256=sha256_hex(data))


def outbox(device: Device) -> tuple[list[PushOp], int]:
    """What an inspection queued, and where in it the photograph is."""
    device.store.inspect()
    ops = device.outbox()
    [at] = [at for at, op in enumerate(ops) if op.entity_type == TABLE]
    return ops, at


def test_an_older_device_pushes_to_a_newer_server_without_what_it_does_not_know(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLES, TABLE, replace(TABLES[TABLE], later=frozenset({COLUMN})))
    ops, at = outbox(device)
    ops[at] = without(ops[at], COLUMN)
    assert device.outcomes(ops) == [APPLIED] * len(ops)
    assert device.outcomes(ops) == [APPLIED] * len(ops), "the stored answer"
    with device.database.snapshot() as tx:
        sql = "SELECT captured_by, encode(row_sha256, 'hex') FROM inspection_images WHERE device_id = %s"
        assert tx.execute(sql, (device.device_id,)).fetchall() == [(None, ops[at].sha256)]


def test_what_every_version_has_may_not_be_missing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, TABLE, replace(TABLES[TABLE], later=frozenset({COLUMN})))
    ops, at = outbox(device)
    ops[at] = without(without(ops[at], COLUMN), "mime_type")
    assert device.outcomes(ops)[at] == ("rejected", "row-invalid")


def test_what_a_newer_device_knows_waits_for_the_server_and_then_arrives(device: Device) -> None:
    ops, at = outbox(device)
    known = ops[at]
    ops[at] = edited(known, fields={"lens": "35 mm"})
    outcomes = device.outcomes(ops)
    assert outcomes[at] == ("deferred", "schema-newer")
    assert outcomes[:at] == [APPLIED] * at
    updated = [known if op is ops[at] else op for op in ops]  # now the server knows every member
    assert device.outcomes(updated) == [APPLIED] * len(ops)
