"""The schema is the contract: equal to its migrations, complete, and impossible to write past."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.clock import Clock, to_rfc3339
from edge_agent.errors import Damaged, Unavailable
from edge_agent.models import Actor
from edge_agent.store import audit
from edge_agent.store.database import chain, connect_reader, insert
from edge_agent.store.schema import migrations, open_database, schema_dir, schema_objects, statements
from sync_protocol.canonical import canonical_json, sha256_hex
from tests.store_factory import NOON, Store

# Names the commissioned database design gives (its SQLite section, the masters we mirror and the queue).
COLUMNS = {
    "users": "id username email password_hash full_name role created_at updated_at",
    "inspection_targets": "id product_id batch_id qr_code created_at updated_at",
    "inspection_sessions": "id target_id user_id status started_at completed_at",
    "inspection_images": "id session_id file_path image_type file_size created_at",
    "ai_inspection_results": "id session_id pipeline_version overall_result confidence processing_time "
    "detailed_results created_at",
    "human_verification_results": "id session_id user_id final_result notes verification_time created_at",
    "system_config": "key value updated_at",
    "inspection_targets_master": "id product_code product_name version description created_at updated_at "
    "created_by",
    "inspection_items_master": "id target_id item_code item_name inspection_type ai_enabled pipeline_id "
    "criteria order_sequence required created_at updated_at",
    "pipelines": "id name description definition version created_at updated_at created_by",
    "sync_queue": "id device_id device_type app_version entity_type entity_id operation data priority "
    "retry_count last_retry_at created_at processed_at",
}
INDEXES = {
    "idx_pipelines_name": "pipelines name",
    "idx_inspection_targets_product_code": "inspection_targets_master product_code",
    "idx_inspection_items_target_sequence": "inspection_items_master target_id order_sequence",
    "idx_inspection_items_pipeline": "inspection_items_master pipeline_id",
    "idx_ai_results_confidence_time": "ai_inspection_results confidence created_at",
    "idx_human_results_final_date": "human_verification_results final_result created_at",
    "idx_inspection_sessions_status_completed": "inspection_sessions status completed_at",
}
FACTS = (
    "inspection_targets",
    "inspection_sessions",
    "inspection_images",
    "ai_inspection_results",
    "human_verification_results",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    made.add_masters()
    yield made
    made.close()


@pytest.fixture
def schema() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((schema_dir() / "sqlite.sql").read_text("utf-8"))
        yield connection


# ── one schema ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_is_the_sum_of_the_migrations(schema: sqlite3.Connection, tmp_path: Path) -> None:
    open_database(tmp_path / "edge.db", Clock(), "desktop", "0.1.0").close()
    with closing(connect_reader(tmp_path / "edge.db")) as migrated:
        assert schema_objects(migrated) == schema_objects(schema)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [int(name[:4]) for name in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_trigger_is_one_statement() -> None:
    sql = "CREATE TABLE t (a); CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT ';';"
    assert [text[:12] for text in statements(sql)] == ["CREATE TABLE", "CREATE TRIGG", "SELECT ';';"]


def test_opening_twice_changes_nothing(tmp_path: Path) -> None:
    first = Store(tmp_path)
    with first.database.read() as reader:
        before = reader.execute("SELECT * FROM system_config").fetchall()
    first.close()
    second = Store(tmp_path)
    with second.database.read() as reader:
        assert reader.execute("SELECT * FROM system_config").fetchall() == before
    second.close()


@pytest.mark.parametrize("table", COLUMNS)
def test_every_column_of_the_commissioned_design_exists(schema: sqlite3.Connection, table: str) -> None:
    present = {row[1] for row in schema.execute(f"PRAGMA table_info({table})")}
    assert set(COLUMNS[table].split()) <= present


@pytest.mark.parametrize("index", INDEXES)
def test_every_index_of_the_commissioned_design_exists(schema: sqlite3.Connection, index: str) -> None:
    table, *columns = INDEXES[index].split()
    on = schema.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'index' AND name = ?", (index,))
    assert on.fetchone() == (table,)
    assert [row[2] for row in schema.execute(f"PRAGMA index_info({index})")] == columns


def test_every_foreign_key_leads_to_a_key(schema: sqlite3.Connection) -> None:
    for (table,) in schema.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        schema.execute(f"PRAGMA foreign_key_check({table})").fetchall()  # raises on a mismatch


# ── refused, reported ───────────────────────────────────────────────────────────────────────────────────


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    Store(tmp_path).close()
    path = tmp_path / "edge.db"
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('edge', '9999_later', '')"
        )
        newer.commit()
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="9999_later") as caught:
        open_database(path, Clock(), "desktop", "0.1.0")
    assert caught.value.code_ == "database-newer"
    assert path.read_bytes() == before


def test_a_damaged_database_is_reported(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_masters()
    for _ in range(20):
        store.inspect()
    store.close()
    path = tmp_path / "edge.db"
    content = bytearray(path.read_bytes())
    for page in range(8, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 512] = b"\xa5" * 512
    path.write_bytes(content)
    with pytest.raises(Damaged) as caught:
        open_database(path, Clock(), "desktop", "0.1.0")
    assert caught.value.code_ == "database-damaged"


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_file_that_is_no_database_is_reported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "edge.db"
    path.write_bytes(content)
    with pytest.raises(Damaged) as caught:
        open_database(path, Clock(), "desktop", "0.1.0")
    assert caught.value.code_ == "database-damaged"
    assert path.read_bytes() == content


# ── facts ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_writer_enforces_foreign_keys(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        store.add_image("no such session")
    with store.database.read() as reader:
        assert reader.execute("SELECT count(*) FROM inspection_images").fetchone()[0] == 0


@pytest.mark.parametrize("table", ["ai_inspection_results", "human_verification_results", "audit_log"])
@pytest.mark.parametrize("change", ["UPDATE {0} SET created_at = ''", "DELETE FROM {0}"])
def test_what_was_said_cannot_be_changed(store: Store, table: str, change: str) -> None:
    store.inspect()
    with (
        pytest.raises(sqlite3.IntegrityError, match="insert-only"),
        store.database.write() as tx,
    ):
        tx.execute(change.format(table))


@pytest.mark.parametrize("column", ["sha256", "session_id", "item_id", "captured_at", "file_size", "origin"])
def test_the_facts_of_an_image_cannot_be_changed(store: Store, column: str) -> None:
    store.add_image(store.add_session())
    with pytest.raises(sqlite3.IntegrityError, match="never change"), store.database.write() as tx:
        tx.execute(f"UPDATE inspection_images SET {column} = 1")


def test_the_state_of_an_image_can_be_changed_and_is_not_queued(store: Store) -> None:
    store.add_image(store.add_session())
    before = queue(store)
    with store.database.write() as tx:
        tx.execute("UPDATE inspection_images SET state = 'failed', attempts = 2, failure = 'inference-crash'")
    assert queue(store) == before


# ── by construction ─────────────────────────────────────────────────────────────────────────────────────


def queue(store: Store) -> list[sqlite3.Row]:
    with store.database.read() as reader:
        return reader.execute("SELECT * FROM sync_queue ORDER BY id").fetchall()


def test_every_change_of_a_fact_is_queued_frozen_and_audited(store: Store) -> None:
    store.inspect()
    entries = queue(store)
    assert {entry["entity_type"] for entry in entries} == set(FACTS)
    assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
    with store.database.read() as reader:
        trail = reader.execute("SELECT * FROM audit_log ORDER BY seq").fetchall()
        assert list(audit.verify(reader)) == []
    assert [(e["entity_id"], e["operation"], e["sha256"]) for e in entries] == [
        (a["entity_id"], a["action"], a["content_sha256"]) for a in trail
    ]
    for entry in entries:
        assert sha256_hex(entry["data"].encode()) == entry["sha256"]


def test_a_queued_fact_is_the_whole_row_as_canonical_json(store: Store) -> None:
    verification = store.add_verification(store.add_session(), None, "NG")
    [entry] = [e for e in queue(store) if e["entity_id"] == verification]
    with store.database.read() as reader:
        row = dict(reader.execute("SELECT * FROM human_verification_results").fetchone())
        server_id = reader.execute(
            "SELECT server_id FROM users WHERE id = ?", (row.pop("user_id"),)
        ).fetchone()
    assert entry["data"].encode() == canonical_json({**row, "user_server_id": server_id[0]})
    assert (entry["operation"], entry["priority"]) == ("INSERT", 100)


def test_entries_of_one_transaction_share_its_id_and_actor(store: Store) -> None:
    session = store.add_session()
    first, second = queue(store)
    assert (first["tx_id"], second["entity_id"]) == (second["tx_id"], session)
    with store.database.read() as reader:
        assert {entry.actor for entry in audit.list_entries(reader)} == {"mika"}


def test_rows_of_the_server_are_neither_queued_nor_audited(store: Store) -> None:
    now = to_rfc3339(NOON)
    row = {"id": "t1", "product_id": "plate", "batch_id": "", "qr_code": "x", "product_code": "PLATE"}
    with store.database.write(local=False) as tx:
        insert(tx, "inspection_targets", {**row, "created_at": now, "updated_at": now})
    assert queue(store) == []
    with store.database.write() as tx:
        insert(tx, "inspection_targets", {**row, "id": "t2", "created_at": now, "updated_at": now})
    assert [entry["entity_id"] for entry in queue(store)] == ["t2"]


def test_what_is_rolled_back_leaves_no_gap_in_the_queue(store: Store) -> None:
    store.add_session()
    with contextlib.suppress(RuntimeError), store.database.write() as tx:
        tx.execute("UPDATE inspection_sessions SET status = 'IN_PROGRESS', version = version + 1")
        raise RuntimeError
    store.add_session()
    assert [entry["id"] for entry in queue(store)] == [1, 2, 3, 4]


@pytest.mark.parametrize("table", FACTS)
def test_a_foreign_connection_cannot_write_facts(store: Store, table: str) -> None:
    session = store.inspect()
    with closing(sqlite3.connect(store.config.database_path)) as foreign:
        names = [row[1] for row in foreign.execute(f"PRAGMA table_info({table})")]
        values = ", ".join("'copy'" if name == "id" else name for name in names)
        with pytest.raises(sqlite3.OperationalError, match="no such function"):
            foreign.execute(f"INSERT INTO {table} SELECT {values} FROM {table} LIMIT 1")
        with pytest.raises(sqlite3.OperationalError, match="no such function"):
            foreign.execute("UPDATE inspection_sessions SET status = 'FAILED' WHERE id = ?", (session,))


def test_a_reader_cannot_write(store: Store) -> None:
    with store.database.read() as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM system_config")


def test_the_audit_chain_separates_its_fields() -> None:
    assert chain("a", "bc", None) != chain("ab", "c", None)
    assert chain("a", Actor("b").user_id, None) == sha256_hex(b"a\x1f\x1f")


# ── derived counts ──────────────────────────────────────────────────────────────────────────────────────


def counts(store: Store) -> list[tuple[object, ...]]:
    with store.database.read() as reader:
        sql = """SELECT status, final_result, session_count, cycle_time_s FROM session_counts
                 WHERE subject = 0 AND user_id = -1 AND period % 100 = 99 ORDER BY 1, 2"""
        return [tuple(row) for row in reader.execute(sql)]


def test_a_corrected_session_counts_under_its_present_result_only(store: Store) -> None:
    session = store.inspect(final="OK")
    [(_, _, _, seconds)] = counts(store)
    with store.database.write() as tx:
        tx.execute(
            "UPDATE inspection_sessions SET final_result = 'NG', version = version + 1 WHERE id = ?",
            (session,),
        )
    assert counts(store) == [("COMPLETED", "NG", 1, seconds), ("COMPLETED", "OK", 0, 0.0)]


def test_a_clock_set_back_makes_no_negative_cycle_time(store: Store) -> None:
    session = store.add_session()
    store.time.now -= 86_400
    store.move(session, "CANCELLED")
    assert counts(store) == [("CANCELLED", "", 1, 0.0)]


def test_the_newest_image_decides_even_if_the_clock_was_set_back_and_the_agent_restarted(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    store.add_masters()
    session = store.add_session()
    store.add_ai_result(session, store.add_image(session), "OK")
    store.close()
    later = Store(tmp_path)
    later.time.now = NOON - 10 * 86_400
    newest = later.add_image(session)
    later.add_ai_result(session, newest, "NG")
    with later.database.read() as reader:
        verdict = reader.execute("SELECT image_id, ai_result, review FROM item_verdicts").fetchone()
    assert tuple(verdict) == (newest, "NG", "NG")
    later.close()
