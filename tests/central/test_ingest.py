"""What a device pushes is taken in once, whole, and answered the same for ever."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from central_server.errors import Refused
from central_server.facts import TABLES
from central_server.store import ingest
from central_server.store.database import Database
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.messages import PushOp, PushReply, PushRequest
from tests.central.devices import CLOCK, Device, again, edited, undone

APPLIED = ("applied", "")
BIG = "^(sync_ops|inspection_(targets|sessions|images)|ai_inspection|human_verification|item_verdicts)(_|$)"
READ_WHOLE = "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relname ~ %s ORDER BY relname"


def op_of(ops: list[PushOp], table: str, operation: str = "INSERT") -> PushOp:
    return next(op for op in ops if (op.entity_type, op.operation) == (table, operation))


# ── the good way ────────────────────────────────────────────────────────────────────────────────────────


def test_a_real_outbox_arrives_whole(device: Device) -> None:
    for ai in ("OK", "NG", "OK"):
        device.store.inspect(ai=ai, final="NG" if ai == "NG" else "OK")
    ops = device.outbox()
    assert device.outcomes(ops) == [APPLIED] * len(ops)
    inserts = [op.entity_type for op in ops if op.operation == "INSERT"]
    assert {table: device.count(table) for table in TABLES} == {
        table: inserts.count(table) for table in TABLES
    }
    assert device.count("tauri_sync_queue") == device.count("sync_ops") == len(ops)
    with device.database.snapshot() as tx:
        rows = tx.execute(
            "SELECT status, final_result, version, user_id IS NOT NULL FROM inspection_sessions WHERE device_id = %s",
            (device.device_id,),
        ).fetchall()
    versions = max(json.loads(op.data)["version"] for op in ops if op.operation == "UPDATE")
    assert sorted(rows) == [("COMPLETED", result, versions, True) for result in ("NG", "OK", "OK")]


def test_the_bytes_can_be_made_again_from_the_stored_row(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    device.push(ops)
    op = op_of(ops, "ai_inspection_results")
    columns = TABLES[op.entity_type].columns
    with device.database.snapshot() as tx:
        names = ", ".join(
            f"'{name}', {f'wire({name})' if kind == 'timestamptz' else name}"
            for name, kind in columns.items()
        )
        sql = f"SELECT jsonb_build_object({names}), row_sha256 FROM ai_inspection_results WHERE id = %s"
        (stored,) = tx.execute(sql.encode(), (op.entity_id,)).fetchall()
    assert isinstance(stored[0], dict)
    assert canonical_row(stored[0]) == op.data.encode()
    assert stored[1] == bytes.fromhex(op.sha256)


def test_no_table_is_read_as_a_whole_however_small_it_was_when_the_plans_were_made(device: Device) -> None:
    device.store.inspect()
    request = PushRequest(batch_id=CLOCK.new_id(), incarnation=device.incarnation, ops=tuple(device.outbox()))
    with undone(device.database) as tx:
        tx.execute("ANALYZE")
        before = tx.execute(READ_WHOLE, (BIG,)).fetchall()
        ingest.push(tx, device.device_id, request)
        assert tx.execute(READ_WHOLE, (BIG,)).fetchall() == before


def test_children_that_come_first_wait_for_their_parents(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    late = [op for op in ops if op.entity_type in ("inspection_targets", "inspection_sessions")]
    early = [op for op in ops if op not in late]
    assert set(device.outcomes(early)) == {("deferred", "parent-missing")}
    assert device.count("sync_ops") == device.count("tauri_sync_queue") == 0
    assert set(device.outcomes(late)) == {APPLIED}
    assert set(device.outcomes(early)) == {APPLIED}


def test_a_change_that_runs_ahead_waits(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    *first, last = [op for op in ops if op.entity_type == "inspection_sessions"]
    device.push([op_of(ops, "inspection_targets"), first[0]])
    assert device.outcomes([last]) == [("deferred", "parent-missing")]
    assert device.outcomes([*first, last]) == [APPLIED] * (len(first) + 1)


# ── again ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_replay_gets_the_stored_answer_and_changes_nothing(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    first = device.push(ops)
    second = device.push(ops)
    assert second.results == first.results
    assert second.ack == first.ack + 1
    assert device.count("tauri_sync_queue") == len(ops)


def test_a_replay_in_another_grouping_is_the_same(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    device.push(ops[:5])
    assert device.outcomes(ops) == [APPLIED] * len(ops)
    assert device.count("sync_ops") == len(ops)


def test_the_same_fact_in_a_new_operation_is_a_duplicate(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    device.push(ops)
    requeued = [again(op, seq=op.seq + 1000) for op in ops if op.operation == "INSERT"]
    assert set(device.outcomes(requeued)) == {("duplicate", "")}
    last_change = again(ops[-1], seq=5000)
    assert device.outcomes([last_change]) == [("duplicate", "")]


def test_nothing_is_stored_when_the_commit_does_not_come(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    request = PushRequest(batch_id=CLOCK.new_id(), incarnation=device.incarnation, ops=tuple(ops))
    with undone(device.database) as tx:
        ingest.push(tx, device.device_id, request)
    assert {device.count(table) for table in (*TABLES, "sync_ops", "tauri_sync_queue")} == {0}
    assert device.push(ops).ack == 1


def test_the_same_batch_at_once_is_applied_once(device: Device) -> None:
    for _ in range(3):
        device.store.inspect()
    ops = device.outbox()
    replies: list[PushReply] = []
    threads = [threading.Thread(target=lambda: replies.append(device.push(ops))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reply.ack for reply in replies) == [1, 2, 3, 4]
    assert {reply.results for reply in replies} == {replies[0].results}
    assert device.count("tauri_sync_queue") == len(ops)


# ── a device that is not itself ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kept", ["op_id", "seq"])
def test_a_cloned_disk_is_noticed_and_loses_nothing(device: Device, kept: str) -> None:
    device.store.inspect()
    ops = device.outbox()
    device.push(ops)
    target = op_of(ops, "inspection_targets")
    changes = {"op_id": target.op_id} if kept == "op_id" else {"seq": target.seq}
    other = again(target, seq=900, id=CLOCK.new_id())._replace(**changes)
    fresh = again(target, seq=901, id=CLOCK.new_id())
    with pytest.raises(Refused) as caught:
        device.push([fresh, other])
    assert caught.value.code.code == "device-forked"
    assert device.count("inspection_targets") == 1
    if kept == "seq":
        assert device.outcomes([fresh, other], incarnation=CLOCK.new_id()) == [APPLIED] * 2


def test_a_device_that_is_not_or_no_longer_enrolled_is_refused(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    with device.database.write() as tx:
        tx.execute("UPDATE devices SET revoked_at = now() WHERE device_id = %s", (device.device_id,))
    with pytest.raises(Refused) as revoked:
        device.push(ops)
    device.device_id = CLOCK.new_id()
    with pytest.raises(Refused) as unknown:
        device.push(ops)
    assert (revoked.value.code.code, unknown.value.code.code) == ("device-revoked", "device-unknown")


def test_another_devices_rows_cannot_be_touched(device: Device, database: Database, tmp_path: Path) -> None:
    device.store.inspect()
    ops = device.outbox()
    device.push(ops)
    other = Device(database, tmp_path / "other")
    other.close()
    change = again(ops[-1], seq=1, version=99, status="CANCELLED")._replace(base_version=98)
    stolen = again(op_of(ops, "inspection_targets"), seq=2)
    assert other.outcomes([change, stolen]) == [("rejected", "not-owner")] * 2


# ── poison ──────────────────────────────────────────────────────────────────────────────────────────────

POISON = {
    "no uuid": {"product_id": "plate"},
    "no instant": {"created_at": "yesterday"},
    "an instant only PostgreSQL knows": {"updated_at": "now"},
    "a number for a text": {"batch_id": 5},
    "impossible day": {"created_at": "2026-02-30T00:00:00.000Z"},
    "zero byte": {"qr_code": "a\0b"},
    "null": {"batch_id": None},
    "too long for the index": {"qr_code": "".join(sha256_hex(str(n).encode()) for n in range(400))},
}


@pytest.mark.parametrize("fields", POISON.values(), ids=POISON)
def test_a_poisoned_row_is_rejected_alone_and_kept(device: Device, fields: dict[str, object]) -> None:
    for _ in range(3):
        device.store.add_session()
    ops = device.outbox()
    targets = [number for number, op in enumerate(ops) if op.entity_type == "inspection_targets"]
    ops[targets[1]] = edited(ops[targets[1]], fields=fields)
    outcomes = device.outcomes(ops)
    assert outcomes[targets[1]] == ("rejected", "row-invalid")
    assert outcomes[targets[1] + 1] == ("deferred", "parent-missing")  # its session
    assert outcomes.count(APPLIED) == len(ops) - 2
    with device.database.snapshot() as tx:
        kept = tx.execute(
            "SELECT data, attempts FROM sync_rejections WHERE device_id = %s", (device.device_id,)
        )
        assert kept.fetchall() == [(ops[targets[1]].data.encode(), 1)]


def test_a_rejected_operation_may_be_sent_again(device: Device) -> None:
    device.store.add_session()
    target = device.outbox()[0]
    bad = edited(target, fields={"product_id": "plate"})
    assert device.outcomes([bad]) == device.outcomes([bad]) == [("rejected", "row-invalid")]
    assert device.outcomes([target]) == [APPLIED]
    with device.database.snapshot() as tx:
        sql = "SELECT attempts, resolved_at IS NOT NULL FROM sync_rejections WHERE device_id = %s"
        assert tx.execute(sql, (device.device_id,)).fetchall() == [(2, True)]


def test_what_is_wrong_is_named(device: Device) -> None:
    device.store.inspect()
    ops = device.outbox()
    device.push(ops)
    target, session = op_of(ops, "inspection_targets"), op_of(ops, "inspection_sessions")
    spaced = target.data.replace(",", ", ", 1)
    cases = {
        ("rejected", "row-differs"): again(target, seq=101, batch_id="another"),
        ("rejected", "operation-unknown"): again(target, seq=102)._replace(operation="DELETE"),
        ("deferred", "schema-newer"): again(target, seq=103, colour="red"),
        ("deferred", "schema-newer "): again(target, seq=104)._replace(entity_type="robots"),
        ("rejected", "row-invalid"): again(target, seq=105)._replace(
            data=spaced, sha256=sha256_hex(spaced.encode())
        ),
        ("rejected", "row-invalid "): again(session, seq=106)._replace(entity_id=CLOCK.new_id()),
    }
    assert device.outcomes(list(cases.values())) == [(outcome, code.strip()) for outcome, code in cases]


def test_an_operation_twice_in_a_batch_is_refused(device: Device) -> None:
    device.store.add_session()
    ops = device.outbox()
    with pytest.raises(Refused) as caught:
        device.push([*ops, ops[0]])
    assert caught.value.code.code == "batch-invalid"


def test_one_id_with_two_contents_in_one_batch_keeps_the_first(device: Device) -> None:
    device.store.add_session()
    target = device.outbox()[0]
    assert device.outcomes([target, again(target, seq=50, batch_id="x"), again(target, seq=51)]) == [
        APPLIED,
        ("rejected", "row-differs"),
        ("duplicate", ""),
    ]


# ── two changes met ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("later_s", "outcome", "kept"), [(60, "applied", "device"), (-60, "superseded", "server")]
)
def test_of_two_changes_the_newer_counts_and_both_are_kept(
    device: Device, later_s: int, outcome: str, kept: str
) -> None:
    session_id = device.store.add_session()
    device.store.move(session_id, "IN_PROGRESS")
    device.store.move(session_id, "CANCELLED")
    ops = device.outbox()
    device.push(ops)
    first_change = op_of(ops, "inspection_sessions", "UPDATE")
    stale = again(
        first_change, seq=77, status="HUMAN_REVIEW", updated_at=json.loads(ops[-1].data)["updated_at"]
    )
    assert device.outcomes([stale], clock_offset_ms=later_s * 1000) == [(outcome, "")]
    assert device.outcomes([stale]) == [(outcome, "")]
    with device.database.snapshot() as tx:
        sql = "SELECT kept, server_data ->> 'status', device_data ->> 'status' FROM conflict_log WHERE device_id = %s"
        assert tx.execute(sql, (device.device_id,)).fetchall() == [(kept, "CANCELLED", "HUMAN_REVIEW")]
        sql = "SELECT status, version FROM inspection_sessions WHERE device_id = %s"
        status = "HUMAN_REVIEW" if kept == "device" else "CANCELLED"
        assert tx.execute(sql, (device.device_id,)).fetchall() == [(status, 3)]
