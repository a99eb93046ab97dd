"""What is forgotten of old operations, and that a device that comes back after that doubles nothing."""

from __future__ import annotations

from central_server.facts import TABLES
from central_server.store.retention import forget_operations
from edge_agent.clock import Clock
from tests.central.devices import Device, edited

LONG_AGO = Clock(time=lambda: 1_600_000_000.0)
AGE = """
    UPDATE sync_ops SET applied_at = applied_at - interval '31 days' WHERE device_id = %(d)s;
    UPDATE tauri_sync_queue SET processed_at = processed_at - interval '31 days' WHERE device_id = %(d)s;
    UPDATE sync_rejections SET resolved_at = resolved_at - interval '31 days' WHERE device_id = %(d)s"""
LEDGERS = ("sync_ops", "tauri_sync_queue")


def age(device: Device) -> None:
    """Everything that came from this device came a month earlier."""
    with device.database.write() as tx:
        for statement in AGE.split(";"):
            tx.execute(statement.encode(), {"d": device.device_id})


def test_operations_are_forgotten_when_they_came_long_ago(device: Device) -> None:
    device.store.inspect()
    ops = [op._replace(op_id=LONG_AGO.new_id()) for op in device.outbox()]
    device.push(ops)
    forget_operations(device.database, 30)
    assert [device.count(table) for table in LEDGERS] == [len(ops)] * 2, "made long ago, but it came just now"
    age(device)
    gone = forget_operations(device.database, 30, at_once=3)
    assert [device.count(table) for table in LEDGERS] == [0, 0]
    assert all(gone[table] >= len(ops) for table in LEDGERS)


def test_what_is_sent_again_after_that_doubles_nothing(device: Device) -> None:
    device.store.inspect()
    ops = [op._replace(op_id=LONG_AGO.new_id()) for op in device.outbox()]
    device.push(ops)
    before = rows(device)
    age(device)
    forget_operations(device.database, 30)
    outcomes = device.outcomes(ops)
    inserts = [outcome for op, outcome in zip(ops, outcomes, strict=True) if op.operation == "INSERT"]
    assert set(inserts) == {("duplicate", "")}
    assert {outcome for outcome, _ in outcomes} <= {"duplicate", "superseded"}
    assert rows(device) == before


def rows(device: Device) -> list[list[tuple[object, ...]]]:
    """Every fact of the device, whole."""
    with device.database.snapshot() as tx:
        statements = [f"SELECT * FROM {table} WHERE device_id = %s ORDER BY id" for table in TABLES]
        return [tx.execute(one.encode(), (device.device_id,)).fetchall() for one in statements]


def test_a_refused_operation_stays_until_a_person_has_seen_it(device: Device) -> None:
    device.store.add_session()
    target = device.outbox()[0]
    device.push([edited(target, fields={"product_id": "plate"})])
    age(device)
    forget_operations(device.database, 30)
    assert device.count("sync_rejections") == 1
    device.push([target])
    forget_operations(device.database, 30)
    assert device.count("sync_rejections") == 1
    age(device)
    forget_operations(device.database, 30)
    assert device.count("sync_rejections") == 0
