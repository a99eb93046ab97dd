"""`run_check`: silent on a sound installation, and exact about every single damage."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.check import run_check
from edge_agent.check.findings import KINDS
from edge_agent.errors import Problem
from edge_agent.models import Finding, Severity
from edge_agent.store import audit, soundness
from sync_protocol.canonical import sha256_hex
from tests.store_factory import DAY, NOON, Store


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Store(tmp_path_factory.mktemp("template"))
    made.add_masters()
    made.inspect()
    made.inspect(ai="NG", human="NG", final="NG")
    made.inspect(final=None)
    made.close()
    return made.data_dir


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Iterator[Store]:
    """Two completed inspections and one under way, in a directory of its own."""
    copied = Store(shutil.copytree(template, tmp_path / "data"))
    yield copied
    copied.close()


def check(store: Store, **options: Any) -> list[Finding]:
    with store.database.read() as reader:
        return list(run_check(store.config, reader, now_s=NOON, **options))


def found(store: Store, **options: Any) -> set[tuple[str, str]]:
    return {(one.code, one.subject) for one in check(store, **options)}


def damage(store: Store, sql: str, *args: object) -> None:
    with store.forged() as connection:
        assert connection.execute(sql, args).rowcount > 0


def value(store: Store, sql: str, *args: object) -> str:
    with store.database.read() as reader:
        return str(reader.execute(sql, args).fetchone()[0])


# ── sound ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sound_installation_gives_nothing(store: Store) -> None:
    assert check(store) == []


def test_an_empty_installation_gives_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert check(store) == []
    store.close()


def test_everything_people_do_stays_sound(store: Store) -> None:
    """Corrections, second images, sampling, whole-session verdicts, cancellation, hot folders, audit."""
    session = store.add_session()
    first, second = store.add_image(session), store.add_image(session)
    store.add_ai_result(session, second, "REVIEW")
    store.add_ai_result(session, first, "NG")  # late: the newer image decides
    store.add_ai_result(session, second, "OK", weight=20.0)
    store.add_verification(session, "plate-face", "HOLD")
    store.add_verification(session, "plate-face", "OK")
    store.add_verification(session, None, "OK")
    store.move(session, "HUMAN_REVIEW")
    store.move(session, "COMPLETED", "OK")
    store.move(session, "COMPLETED", "NG")  # corrected by a supervisor
    store.move(store.add_session(), "CANCELLED")
    store.add_image(store.add_session(status="IN_PROGRESS", user_id=None), state="failed")
    with store.database.write() as tx:
        audit.append(tx, "login", "users", "1", {"from": "console"})
    assert check(store) == []


def test_a_queue_emptied_from_its_beginning_is_sound_if_the_trail_says_so(store: Store) -> None:
    with store.database.write() as tx:
        tx.execute("DELETE FROM sync_queue WHERE id <= 12")
        audit.append(tx, "queue.purge", "sync_queue", "12")
    assert check(store) == []
    with store.database.write() as tx:
        tx.execute("DELETE FROM sync_queue")
        audit.append(tx, "queue.purge", "sync_queue", str(soundness_last(tx)))
    assert check(store) == []
    store.inspect()
    assert check(store) == []


def soundness_last(tx: sqlite3.Connection) -> int:
    return int(tx.execute("SELECT count(*) FROM audit_log WHERE content_sha256 <> ''").fetchone()[0])


def test_every_finding_tells_what_to_do(store: Store) -> None:
    assert all(kind.message and kind.hint.endswith((".", ")")) for kind in KINDS.values())


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


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────


def image_of(store: Store) -> tuple[str, Path]:
    image_id = value(store, "SELECT min(id) FROM inspection_images")
    return f"image {image_id}", store.data_dir / f"images/{DAY}/{image_id}.png"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (Path.unlink, "image-missing"),
        (flip, "image-changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "image-changed"),
        (lambda path: (path.unlink(), path.mkdir()), "image-unreadable"),
    ],
)
def test_a_harmed_image_is_found(store: Store, harm: Callable[[Path], object], code: str) -> None:
    subject, path = image_of(store)
    harm(path)
    assert found(store) == {(code, subject)}


def test_an_evicted_image_may_be_gone_but_not_changed(store: Store) -> None:
    subject, path = image_of(store)
    with store.database.write() as tx:
        tx.execute("UPDATE inspection_images SET uploaded_at = '2026-11-23T13:00:00.000Z'")
    content = path.read_bytes()
    path.unlink()
    assert found(store) == {("image-missing", subject)}
    with store.database.write() as tx:
        tx.execute("UPDATE inspection_images SET evicted_at = '2026-11-23T14:00:00.000Z'")
    assert check(store) == []
    path.write_bytes(content + b"!")
    assert found(store) == {("image-changed", subject)}


def test_a_row_that_leads_out_of_the_data_directory_is_found(store: Store) -> None:
    subject, path = image_of(store)
    damage(store, "UPDATE inspection_images SET file_path = '../../etc/passwd' WHERE id = ?", path.stem)
    assert ("path-outside", subject) in found(store)


@pytest.mark.parametrize(
    ("file_path", "content", "code"),
    [
        (f"images/{DAY}/018f0000-0000-7000-8000-00000000ffff.png", b"x", "image-orphan"),
        ("images/note.txt", b"x", "image-orphan"),
        ("derived/018f0000-0000-7000-8000-00000000ffff.overlay.jpg", b"x", "derived-orphan"),
        ("staging/half.part", b"x", "staging-leftover"),
    ],
)
def test_a_file_without_a_row_is_found(store: Store, file_path: str, content: bytes, code: str) -> None:
    path = store.data_dir / file_path
    path.write_bytes(content)
    written_s = path.stat().st_mtime
    assert found(store) == {(code, file_path)}
    with store.database.read() as reader:
        running = list(run_check(store.config, reader, now_s=written_s + 1, daemon_running=True))
        later = list(run_check(store.config, reader, now_s=written_s + 3600, daemon_running=True))
    assert (running, [one.code for one in later]) == ([], [code])


def test_a_copy_under_another_day_is_an_orphan(store: Store) -> None:
    _, path = image_of(store)
    other = store.data_dir / "images/2026-11-24"
    other.mkdir()
    (other / path.name).write_bytes(path.read_bytes())
    assert found(store) == {("image-orphan", f"images/2026-11-24/{path.name}")}


def test_an_empty_drawn_picture_is_found(store: Store) -> None:
    _, path = image_of(store)
    (store.data_dir / f"derived/{path.stem}.overlay.jpg").touch()
    assert found(store) == {("derived-empty", f"derived/{path.stem}.overlay.jpg")}


def test_harmed_models_are_found(store: Store) -> None:
    model = store.data_dir / "models/face-1.0.0/model.onnx"
    flip(model)
    (store.data_dir / "models/left-0.1").mkdir()
    assert found(store) == {("model-changed", "model face 1.0.0"), ("model-orphan", "models/left-0.1")}
    model.unlink()
    assert ("model-missing", "model face 1.0.0") in found(store)


def test_harmed_assets_are_found(store: Store) -> None:
    [asset] = (store.data_dir / "assets").iterdir()
    flip(asset)
    assert found(store) == {("asset-changed", f"assets/{asset.name}")}
    asset.unlink()
    assert found(store) == {("asset-missing", f"assets/{asset.name}")}


def test_a_changed_pipeline_is_found(store: Store) -> None:
    damage(store, "UPDATE pipelines SET definition = ?", json.dumps({"code": "face"}))
    assert found(store) == {("pipeline-changed", "pipeline face")}


def test_pipelines_that_do_not_compile_and_probes_are_reported(store: Store) -> None:
    problems = {"face": (Problem("", "/steps/0", "unknown-step", "There is no step."),)}
    probe = Finding("camera-silent", Severity.WARNING, "camera 0", "It does not answer.", "Plug it in.")
    findings = check(store, problems=problems, probes=[("cameras", lambda: [probe])])
    assert [one.code for one in findings] == ["pipeline-not-compiling", "camera-silent"]
    assert "/steps/0" in findings[0].message


# ── running it ──────────────────────────────────────────────────────────────────────────────────────────


def test_progress_names_every_part_and_counts_the_images(store: Store) -> None:
    seen: list[tuple[str, int, int | None]] = []
    check(store, progress=lambda *step: seen.append(step))
    assert {"audit", "structure", "queue", "verdicts", "counts", "images", "models"} <= {s[0] for s in seen}
    assert [s for s in seen if s[2]] == [("images", 0, 3), ("images", 1, 3), ("images", 2, 3)]


@pytest.mark.parametrize("part", ["structure", "inspection_sessions", "images"])
def test_progress_can_stop_the_check_and_the_reader_is_free_again(store: Store, part: str) -> None:
    def stop(name: str, done: int, total: int | None) -> None:
        if name == part:
            raise KeyboardInterrupt

    with store.database.read() as reader:
        with pytest.raises(KeyboardInterrupt):
            list(run_check(store.config, reader, now_s=NOON, progress=stop))
        assert not reader.in_transaction


def test_a_long_statement_can_be_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "TICK_INSTRUCTIONS", 50)
    seen: list[str] = []

    def stop_in_the_middle(name: str, done: int, total: int | None) -> None:
        seen.append(name)
        if seen.count("counts") > 1:
            raise KeyboardInterrupt

    with store.database.read() as reader, pytest.raises(KeyboardInterrupt):
        list(run_check(store.config, reader, now_s=NOON, progress=stop_in_the_middle))


def test_checking_writes_nothing_and_sees_one_commit_while_others_write(store: Store) -> None:
    with store.database.read() as reader:
        checking = run_check(store.config, reader, now_s=NOON, daemon_running=True)
        before = store.database.commits
        assert next(checking, None) is None
        assert store.database.commits == before


def test_every_fact_table_is_frozen_by_a_trigger_the_check_understands() -> None:
    expressions = soundness.frozen_expressions()
    assert {table for table, _ in expressions} == set(soundness.FACT_TABLES)
    assert ("inspection_sessions", "UPDATE") in expressions
    assert not any("NEW." in text for text in expressions.values())


def test_the_fields_an_update_carries_are_those_the_check_lets_change(store: Store) -> None:
    with store.database.read() as reader:
        [data] = reader.execute("SELECT data FROM sync_queue WHERE operation = 'UPDATE' LIMIT 1").fetchone()
    assert set(json.loads(data)) == {*soundness.CHANGING, "id"}
