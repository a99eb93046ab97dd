"""The central schema is the contract: equal to its migrations, complete, and made once by any number of servers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import cast

import psycopg
import pytest

from central_server.daemon.building import tidy
from central_server.errors import Unavailable
from central_server.store.database import Database
from central_server.store.migrations import make_partitions, migrate, migrations, schema_dir
from tests.servers import postgres

# Names the commissioned database design gives (its PostgreSQL sections and the statistics indexes).
COLUMNS = {
    "pipelines": "id name description definition version created_at updated_at created_by",
    "pipeline_executions": "id pipeline_id status input_data output_data error_message started_at completed_at "
    "created_by",
    "components": "id name description docker_image version input_schema output_schema resource_requirements "
    "created_at updated_at",
    "component_executions": "id execution_id component_id status input_data output_data execution_time_ms "
    "resource_usage started_at completed_at",
    "files": "id original_name mime_type file_size storage_path checksum metadata created_at created_by",
    "inspection_targets_master": "id product_code product_name version description created_at updated_at "
    "created_by",
    "inspection_items_master": "id target_id item_code item_name inspection_type ai_enabled pipeline_id criteria "
    "order_sequence required created_at updated_at",
    "tauri_sync_queue": "id device_id device_type app_version entity_type entity_id operation data priority "
    "retry_count last_retry_at created_at processed_at",
    "users": "id username email password_hash full_name role created_at updated_at",
}
INDEXES = {
    "idx_pipelines_name": "pipelines name",
    "idx_pipeline_executions_status_created": "pipeline_executions status created_at",
    "idx_component_executions_execution_time": "component_executions execution_id started_at",
    "idx_files_storage_path": "files storage_path",
    "idx_files_created_user": "files created_by created_at",
    "idx_inspection_targets_product_code": "inspection_targets_master product_code",
    "idx_inspection_items_target_sequence": "inspection_items_master target_id order_sequence",
    "idx_inspection_items_pipeline": "inspection_items_master pipeline_id",
    "idx_tauri_sync_queue_device_priority": "tauri_sync_queue device_id device_type priority created_at",
    "idx_tauri_sync_queue_unprocessed": "tauri_sync_queue processed_at",
    "idx_ai_results_confidence_time": "ai_inspection_results confidence created_at",
    "idx_human_results_final_date": "human_verification_results final_result created_at",
    "idx_inspection_sessions_status_completed": "inspection_sessions status completed_at",
}
OBJECTS = """
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
       coalesce(pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
  AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'index', c.relname, pg_get_indexdef(c.oid), '', '', '' FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('i', 'I')
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '' FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass::text, pg_get_triggerdef(oid), '', '', '' FROM pg_trigger
WHERE NOT tgisinternal
UNION ALL SELECT 'function', oid::regprocedure::text, pg_get_functiondef(oid), '', '', '' FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'view', viewname, definition, '', '', '' FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT 'partitioned', partrelid::regclass::text, pg_get_partkeydef(partrelid), '', '', ''
FROM pg_partitioned_table
ORDER BY 1, 2, 3"""
HISTORY = (
    "pipeline_executions",
    "component_executions",
    "inspection_targets",
    "inspection_sessions",
    "inspection_images",
    "ai_inspection_results",
    "human_verification_results",
)


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def objects(url: str) -> list[tuple[object, ...]]:
    with connected(url) as connection:
        return connection.execute(OBJECTS.encode()).fetchall()


def months(connection: psycopg.Connection[tuple[object, ...]], table: str) -> set[str]:
    rows = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", (table,)
    )
    return {str(name).removeprefix(f"{table}_") for (name,) in rows}


# ── one schema ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_is_the_sum_of_the_migrations(empty_url: str) -> None:
    with connected(empty_url) as connection:
        connection.execute((schema_dir() / "postgresql.sql").read_bytes())
    by_hand = objects(empty_url)
    with connected(empty_url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        for sql in migrations().values():
            connection.execute(sql.encode())
    assert objects(empty_url) == by_hand
    assert len(by_hand) > 300


def test_migrations_are_numbered_without_gaps() -> None:
    assert [int(name[:4]) for name in migrations()] == list(range(1, len(migrations()) + 1))


def test_every_column_of_the_commissioned_design_exists(url: str) -> None:
    present = {(row[1], row[2]) for row in objects(url) if row[0] == "column"}
    wanted = {(table, name) for table, names in COLUMNS.items() for name in names.split()}
    assert wanted - present == set()


def test_every_index_of_the_commissioned_design_exists(url: str) -> None:
    sql = """SELECT i.indrelid::regclass::text || ' ' || string_agg(a.attname, ' ' ORDER BY k.place)
             FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (number, place), pg_attribute a
             WHERE i.indexrelid = %s::regclass AND a.attrelid = i.indrelid AND a.attnum = k.number
             GROUP BY i.indrelid"""
    with connected(url) as connection:
        found = {name: connection.execute(sql.encode(), (name,)).fetchone() for name in INDEXES}
    assert found == {name: (columns,) for name, columns in INDEXES.items()}


def test_the_oldest_server_in_reach_takes_the_schema_too(empty_url: str) -> None:
    migrate(empty_url)
    with postgres(16) as old:
        assert migrate(old) == list(migrations())
        here = {row[:3] for row in objects(old) if row[0] in ("column", "index", "trigger", "view")}
    there = {row[:3] for row in objects(empty_url) if row[0] in ("column", "index", "trigger", "view")}
    assert here == there


# ── any number of servers, any time ─────────────────────────────────────────────────────────────────────


def test_many_instances_may_migrate_at_once(empty_url: str) -> None:
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(migrate(empty_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [[], [], [], list(migrations())]


def test_migrating_again_changes_nothing(url: str) -> None:
    before = objects(url)
    assert migrate(url) == []
    assert objects(url) == before


def test_a_newer_database_is_refused_untouched(url: str) -> None:
    with connected(url) as connection:
        connection.execute("INSERT INTO schema_migrations (name, sha256) VALUES ('9999_later', '')")
        with pytest.raises(Unavailable, match="9999_later") as caught:
            migrate(url)
        connection.execute("DELETE FROM schema_migrations WHERE name = '9999_later'")
    assert caught.value.code.code == "database-newer"


def test_an_edited_migration_is_refused(url: str) -> None:
    with connected(url) as connection:
        (kept,) = connection.execute("SELECT sha256 FROM schema_migrations").fetchall()
        connection.execute("UPDATE schema_migrations SET sha256 = repeat('0', 64)")
        with pytest.raises(Unavailable, match="0001") as caught:
            migrate(url)
        connection.execute("UPDATE schema_migrations SET sha256 = %s", kept)
    assert caught.value.code.code == "database-changed"


def test_a_failing_migration_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"0001_create": "CREATE TABLE one (id INT)", "0002_fail": "SELECT 1 / 0"}
    monkeypatch.setattr("central_server.store.migrations.migrations", lambda: broken)
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_url)
    assert objects(empty_url) == []


def test_a_server_that_is_not_there_is_reported() -> None:
    with pytest.raises(Unavailable) as caught:
        migrate("postgresql://nobody@127.0.0.1:1/nothing")
    assert caught.value.code.code == "database-unavailable"


# ── months ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_months_to_come_are_there(empty_url: str) -> None:
    migrate(empty_url)
    with connected(empty_url) as connection:
        row = connection.execute(
            "SELECT array_agg(to_char(now() + make_interval(months => m), 'YYYYMM')) FROM generate_series(-2, 3) m"
        ).fetchone()
        assert row is not None
        for table in HISTORY:
            assert months(connection, table) == {*cast("list[str]", row[0]), "other"}
        assert make_partitions(connection) == 0


WORLD = """CREATE SCHEMA world; CREATE TABLE world.clock (at TIMESTAMPTZ NOT NULL);
           INSERT INTO world.clock VALUES (pg_catalog.now());
           CREATE FUNCTION world.now() RETURNS TIMESTAMPTZ LANGUAGE sql STABLE AS 'SELECT at FROM world.clock'"""


def test_a_server_that_runs_for_months_makes_the_months_as_they_come(empty_url: str) -> None:
    """Every night, at every instance; here the database's clock goes on by a year, and both tidy up at once."""
    migrate(empty_url)
    with connected(empty_url) as connection:
        connection.execute(WORLD.encode())
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET search_path = world, pg_catalog, public".encode())
    database = Database(empty_url, max_connections=2)
    database.open()
    ahead = "SELECT array_agg(to_char(world.now() + make_interval(months => m), 'YYYYMM')) FROM generate_series(0, 3) m"
    with connected(empty_url) as connection:
        for _ in range(3):
            connection.execute("UPDATE world.clock SET at = at + interval '4 months'")
            with ThreadPoolExecutor(2) as pool:
                for job in [pool.submit(tidy, database, 400, 400) for _ in range(2)]:
                    job.result()
            ((names,),) = connection.execute(ahead.encode()).fetchall()
            for table in HISTORY:
                assert set(cast("list[str]", names)) <= months(connection, table)
    database.close()


def test_a_month_made_late_takes_over_what_the_default_partition_kept(url: str) -> None:
    insert = """INSERT INTO inspection_targets (id, product_id, batch_id, qr_code, serial_no, product_code, created_at,
                    updated_at, device_id, row_sha256)
                SELECT %s::uuid, gen_random_uuid(), '', '', '', '', now(), now(), 'd', ''"""
    june, july = "01900000-0000-7000-8000-000000000000", "01909000-0000-7000-8000-000000000000"
    place = "SELECT tableoid::regclass::text FROM inspection_targets ORDER BY id"
    with connected(url) as connection:
        for row_id in (june, july):
            connection.execute(insert.encode(), (row_id,))
        assert connection.execute(place.encode()).fetchall() == [("inspection_targets_other",)] * 2
        assert connection.execute("SELECT make_partitions('2024-07-15', '2024-07-20')").fetchone() == (8,)
        found = [name for (name,) in connection.execute(place.encode())]
        assert found == ["inspection_targets_other", "inspection_targets_202407"]


def test_a_look_up_by_id_touches_one_month(url: str) -> None:
    with connected(url) as connection:
        fixed = connection.execute("SELECT uuid7_floor(now())").fetchone()
        assert fixed is not None
        plan = connection.execute(
            f"EXPLAIN SELECT 1 FROM inspection_sessions WHERE id = '{fixed[0]}'".encode()
        ).fetchall()
    scanned = [line for (line,) in plan if " on inspection_sessions_" in str(line)]
    assert len(scanned) == 1
