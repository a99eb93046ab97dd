"""`run_check` is exact about every row that is changed, missing or impossible."""

from __future__ import annotations

import sqlite3

import pytest

from edge_agent.check import run_check
from edge_agent.models import Severity
from edge_agent.store import audit
from sync_protocol.canonical import sha256_hex
from tests.store_factory import NOON, Store
from tests.unit.check.conftest import check, damage, found, soundness_last, value

# ── facts, queue, audit ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("inspection_targets", "serial_no = 'other'"),
        ("inspection_images", "captured_at = '2020-01-01T00:00:00.000Z'"),
        ("ai_inspection_results", "detailed_results = '{}'"),
        ("ai_inspection_results", "confidence = 0.94"),
        ("human_verification_results", "notes = 'it was fine'"),
        ("inspection_sessions", "reason = 'changed'"),
        ("inspection_sessions", "master_version = '2'"),
    ],
)
def test_a_changed_fact_is_found(store: Store, table: str, change: str) -> None:
    row_id = value(store, f"SELECT max(id) FROM {table}")
    damage(store, f"UPDATE {table} SET {change} WHERE id = ?", row_id)
    assert found(store) == {("fact-changed", f"{table} {row_id}")}


@pytest.mark.parametrize("change", ["master_version = '2'", "accept_ai_ok = 1", "criteria_snapshot = '[]'"])
def test_a_changed_session_is_found_even_after_the_queue_is_purged(store: Store, change: str) -> None:
    with store.database.write() as tx:
        tx.execute("DELETE FROM sync_queue")
        audit.append(tx, "queue.purge", "sync_queue", str(soundness_last(tx)))
    session = store.add_session(status="IN_PROGRESS", user_id=None)
    store.move(session, "FAILED")
    with store.database.write() as tx:
        tx.execute("DELETE FROM sync_queue")
        audit.append(tx, "queue.purge", "sync_queue", str(soundness_last(tx)))
    assert check(store) == []
    damage(store, f"UPDATE inspection_sessions SET {change} WHERE id = ?", session)
    assert found(store) == {("fact-changed", f"inspection_sessions {session}")}


def test_a_fact_that_entered_unrecorded_is_found(store: Store) -> None:
    columns = "product_id, batch_id, qr_code, product_code, created_at, updated_at"
    damage(
        store,
        f"INSERT INTO inspection_targets (id, {columns}) SELECT 'forged', {columns} "
        "FROM inspection_targets LIMIT 1",
    )
    assert found(store) == {("fact-not-recorded", "inspection_targets forged")}


def test_a_deleted_fact_is_found(store: Store) -> None:
    row_id = store.add_verification(store.add_session(), None)
    damage(store, "DELETE FROM human_verification_results WHERE id = ?", row_id)
    assert found(store) == {("fact-gone", f"human_verification_results {row_id}")}


def test_queued_bytes_that_were_changed_are_found(store: Store) -> None:
    damage(store, "UPDATE sync_queue SET data = replace(data, 'PENDING', 'FAILED') WHERE id = 2")
    assert found(store) == {("queue-entry-changed", "sync_queue 2")}


def test_queued_bytes_that_were_changed_with_their_sha256_are_found(store: Store) -> None:
    data = '{"id":"forged"}'
    damage(store, "UPDATE sync_queue SET data = ?, sha256 = ? WHERE id = 4", data, sha256_hex(data.encode()))
    assert found(store) == {("queue-entry-changed", "sync_queue 4")}


@pytest.mark.parametrize(
    ("removed", "subject"),
    [("id IN (5, 6)", "sync_queue 5–6"), ("id <= 2", "sync_queue 1–2"), ("id > 3", "sync_queue 4–{}")],
)
def test_removed_queue_entries_are_found(store: Store, removed: str, subject: str) -> None:
    last = value(store, "SELECT max(id) FROM sync_queue")
    damage(store, f"DELETE FROM sync_queue WHERE {removed}")
    assert ("queue-gap", subject.format(last)) in found(store)
    assert {code for code, _ in found(store)} == {"queue-gap"}


def test_a_changed_audit_entry_is_found(store: Store) -> None:
    damage(store, "UPDATE audit_log SET actor = 'somebody else' WHERE seq = 3")
    [one] = check(store)
    assert (one.code, one.severity) == ("audit-broken", Severity.ERROR)
    assert "entry 3 " in one.message


def test_a_removed_audit_entry_is_found(store: Store) -> None:
    with store.database.write() as tx:
        audit.append(tx, "login", "users", "1")
        audit.append(tx, "login", "users", "1")
    seq = int(value(store, "SELECT max(seq) FROM audit_log")) - 1
    damage(store, "DELETE FROM audit_log WHERE seq = ?", seq)
    assert {one.code for one in check(store)} == {"audit-broken"}


# ── structure and states ────────────────────────────────────────────────────────────────────────────────


def test_a_dropped_trigger_is_found(store: Store) -> None:
    with sqlite3.connect(store.config.database_path) as connection:
        connection.execute("DROP TRIGGER ai_inspection_results_no_update")
    connection.close()
    assert found(store) == {("schema-changed", "ai_inspection_results_no_update")}


def test_a_foreign_trigger_is_found(store: Store) -> None:
    with sqlite3.connect(store.config.database_path) as connection:
        connection.execute("CREATE TRIGGER mine AFTER INSERT ON users BEGIN SELECT 1; END")
    connection.close()
    assert found(store) == {("schema-changed", "mine")}


def test_a_dangling_reference_is_found(store: Store) -> None:
    damage(store, "INSERT INTO login_tokens VALUES ('t', 99, '', '')")
    [one] = check(store)
    assert one.code == "foreign-key-broken"
    assert "login_tokens" in one.subject


def test_a_torn_page_is_found(store: Store) -> None:
    for _ in range(3):
        store.inspect()
    store.close()
    path = store.config.database_path
    with sqlite3.connect(path) as connection:
        root = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'idx_ai_results_image'"
        ).fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 + 8 : (root - 1) * 4096 + 64] = b"\xff" * 56
    path.write_bytes(content)
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as reader:
        reader.row_factory = sqlite3.Row
        reader.isolation_level = None
        codes = {one.code for one in run_check(store.config, reader, now_s=NOON)}
    reader.close()
    assert "database-damaged" in codes
    assert codes <= {"database-damaged", "part-unfinished", "verdict-wrong", "image-without-verdict"}


@pytest.mark.parametrize(
    ("status", "completed_at", "final_result"),
    [
        ("COMPLETED", None, "OK"),
        ("CANCELLED", None, None),
        ("IN_PROGRESS", "2026-11-23T00:00:00.000Z", None),
        ("COMPLETED", "2026-11-23T00:00:00.000Z", None),
        ("FAILED", "2026-11-23T00:00:00.000Z", "NG"),
    ],
)
def test_an_impossible_session_is_found(
    store: Store, status: str, completed_at: str | None, final_result: str | None
) -> None:
    session = store.add_session()
    with store.database.write() as tx:
        tx.execute(
            "UPDATE inspection_sessions SET status = ?, completed_at = ?, final_result = ? WHERE id = ?",
            (status, completed_at, final_result, session),
        )
    assert found(store) == {("session-state-impossible", f"session {session}")}


def test_an_image_of_no_item_of_its_session_is_found(store: Store) -> None:
    with store.database.write() as tx:
        tx.execute(
            "INSERT INTO inspection_items_master SELECT 'plate-back', target_id, 'back', item_name, "
            "inspection_type, ai_enabled, pipeline_id, criteria, 3, required, created_at, updated_at, 1, 0, NULL "
            "FROM inspection_items_master LIMIT 1"
        )
    image = store.add_image(store.add_session(), "plate-back", state="captured")
    assert found(store) == {("image-item-unknown", f"image {image}")}


def test_an_inspected_image_without_verdict_is_found(store: Store) -> None:
    image = store.add_image(store.add_session(), state="inspected")
    assert found(store) == {("image-without-verdict", f"image {image}")}


def test_a_cut_off_run_counts_only_while_the_daemon_is_not_running(store: Store) -> None:
    image = store.add_image(store.add_session(), state="inspecting")
    assert found(store) == {("image-cut-off", f"image {image}")}
    assert found(store, daemon_running=True) == set()


# ── derived tables ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        "ai_result = 'OK', review = NULL",
        "human_result = 'OK'",
        "review = NULL",
        "reason_code = 'dent'",
        "weight = 7",
        "image_id = 'other'",
        "updated_at = '2026-01-01T00:00:00.000Z'",
        "is_closed = 0",
    ],
)
def test_a_wrong_verdict_is_found(store: Store, change: str) -> None:
    session = value(store, "SELECT session_id FROM item_verdicts WHERE ai_result = 'NG'")
    damage(
        store, f"UPDATE item_verdicts SET {change} WHERE session_id = ? AND item_id = 'plate-face'", session
    )
    codes = found(store)
    assert ("verdict-wrong", f"session {session} item plate-face") in codes
    assert {code for code, _ in codes} <= {"verdict-wrong", "count-wrong"}


def test_a_missing_verdict_is_found(store: Store) -> None:
    session = store.add_session()
    store.add_verification(session, "plate-lamp")
    damage(store, "DELETE FROM item_verdicts WHERE session_id = ?", session)
    assert ("verdict-wrong", f"session {session} item plate-lamp") in found(store)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE verdict_counts SET verdict_count = verdict_count + 1 WHERE verdict_count > 0",
        "UPDATE verdict_counts SET weight_sum = weight_sum + 0.5 WHERE subject = 0 AND user_id = -1",
        "UPDATE verdict_counts SET verification_time_s = 0 WHERE subject = 1 AND period % 100 = 99",
        "DELETE FROM verdict_counts",
        "DELETE FROM verdict_counts WHERE subject = 2 AND user_id = 1",
        "UPDATE reason_counts SET ng_count = 2 WHERE user_id = -1",
        "UPDATE reason_counts SET reason_code = 'dent'",
        "DELETE FROM reason_counts",
        "UPDATE session_counts SET session_count = 0",
        "UPDATE session_counts SET cycle_time_s = cycle_time_s - 1 WHERE subject = 1 AND user_id = 1",
        "INSERT INTO session_counts VALUES (1, 1, 20260101, 'COMPLETED', 'OK', 1, 0)",
        "DELETE FROM count_subjects WHERE item_id <> ''",
    ],
)
def test_a_wrong_count_is_found(store: Store, sql: str) -> None:
    damage(store, sql)
    assert {code for code, _ in found(store)} == {"count-wrong"}
