"""A pull misses nothing, says nothing twice, and its bytes are canonical."""

from __future__ import annotations

import json
import threading
from typing import Any

import psycopg
import pytest

from central_server.errors import Refused
from central_server.store import changes
from central_server.store.changes import forget_tombstones, pull
from central_server.store.database import Database
from central_server.store.digest import bucket_rows, buckets
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.checksums import digest
from sync_protocol.messages import Change
from sync_protocol.wire import pack, read_page, unpack, write_page
from tests.central.devices import CLOCK, Device, undone
from tests.waiting import WAIT_S

NASTY = 'quote " back \\ slash / tab \t newline \n bell \x07 delete \x7f é 日本 \U0001f600 \u2028'


def add_user(tx: psycopg.Connection[Any], full_name: str = "") -> str:
    user_id = CLOCK.new_id()
    sql = "INSERT INTO users (id, username, password_hash, full_name) VALUES (%s, %s, '', %s)"
    tx.execute(sql, (user_id, user_id, full_name))
    return user_id


def start(database: Database, space: str = "masters") -> tuple[int, str]:
    """The space's head and the epoch: where a test's own changes begin."""
    sql = "SELECT version, server_epoch::text FROM sync_spaces, server_state WHERE space = %s"
    with database.snapshot() as tx:
        (row,) = tx.execute(sql, (space,)).fetchall()
    return int(str(row[0])), str(row[1])


def pulled(
    database: Database, cursor: int, epoch: str, max_bytes: int = 1 << 20, space: str = "masters"
) -> list[Change]:
    found: list[Change] = []
    while True:
        page = pull(database, space, cursor, epoch, max_bytes)
        assert page.from_cursor == cursor
        found += page.changes
        cursor = page.to_cursor
        if not page.has_more:
            assert cursor == start(database, space)[0]
            return found


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_table_of_the_space_arrives_in_the_edges_columns(database: Database, device: Device) -> None:
    cursor, epoch = start(database)
    ids = {name: CLOCK.new_id() for name in ("user", "pipeline", "product", "item")}
    with database.write() as tx:
        tx.execute(
            "INSERT INTO users (id, username, password_hash, full_name) VALUES (%s, %s, '', %s)",
            (ids["user"], ids["user"], NASTY),
        )
        tx.execute(
            """INSERT INTO pipelines (id, name, definition, code, sha256, definition_version, created_by)
               VALUES (%s, 'face', '{"z": [1.50, "ü"], "a": null}', %s, '', '1.0.0', %s)""",
            (ids["pipeline"], ids["pipeline"], ids["user"]),
        )
        tx.execute(
            """INSERT INTO inspection_targets_master (id, product_code, product_name, version)
               VALUES (%s, %s, 'Plate', '1')""",
            (ids["product"], ids["product"]),
        )
        tx.execute(
            """INSERT INTO inspection_items_master (id, target_id, item_code, item_name, inspection_type, pipeline_id,
                                                    criteria, order_sequence)
               VALUES (%s, %s, 'f', %s, 'VISUAL', %s, '{}', 1)""",
            (ids["item"], ids["product"], NASTY, ids["pipeline"]),
        )
    found = pulled(database, cursor, epoch)
    assert [change.table for change in found] == [
        "users",
        "pipelines",
        "inspection_targets_master",
        "inspection_items_master",
    ]
    assert [change.id for change in found] == list(ids.values())
    for change in found:
        row = json.loads(change.data)
        assert canonical_row(row) == change.data.encode()
        assert change.sha256 == sha256_hex(change.data.encode())
        with device.store.database.read() as reader:
            columns = {column[1] for column in reader.execute(f"PRAGMA table_info({change.table})")}
        kept_here = {"row_version", "row_sha256"} | ({"id"} if change.table == "users" else set())
        assert set(row) == columns - kept_here
        assert row["created_at"] == row["updated_at"]
        assert len(row["created_at"]) == len("2026-11-23T04:05:06.789Z")
    assert json.loads(found[0].data)["full_name"] == NASTY
    assert json.loads(json.loads(found[1].data)["definition"]) == {"a": None, "z": [1.5, "ü"]}


WIRE: dict[str, dict[str, Any]] = {
    "model_packages": {
        "id": "018f0000-0000-7000-8000-000000000101",
        "name": "plate",
        "version": "1.0.0",
        "task": "classification",
        "archive_sha256": "a" * 64,
        "archive_size": 5_000_000_000,
        "model_sha256": "b" * 64,
        "manifest": '{"golden": [], "threshold": 0.50}',
        "is_active": 0,
        "created_at": "2026-11-23T04:05:06.789Z",
        "updated_at": "2026-11-23T04:05:07.000Z",
    },
    "assets": {
        "id": "018f0000-0000-7000-8000-000000000102",
        "sha256": "c" * 64,
        "size": 12,
        "created_at": "2026-11-23T04:05:06.789Z",
    },
    "central_decisions": {
        "id": "018f0000-0000-7000-8000-000000000103",
        "session_id": "018f0000-0000-7000-8000-000000000104",
        "item_id": None,
        "final_result": "NG",
        "reason": NASTY,
        "decided_at": "2026-11-23T04:05:06.789Z",
        "version": 1,
    },
}


@pytest.mark.parametrize(
    ("space", "table"),
    [("masters", "model_packages"), ("masters", "assets"), ("decisions", "central_decisions")],
)
def test_what_only_the_centre_keeps_so_arrives_as_it_is_stored(
    database: Database, space: str, table: str
) -> None:
    row = dict(WIRE[table])
    if table == "central_decisions":
        with database.write() as tx:
            row["decided_by"] = add_user(tx)
    cursor, epoch = start(database, space)
    with database.write() as tx:
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})"
        tx.execute(sql.encode(), [bool(v) if k == "is_active" else v for k, v in row.items()])
    (found,) = pulled(database, cursor, epoch, space=space)
    assert (found.table, found.id, found.version) == (table, row["id"], cursor + 1)
    assert found.data.encode() == canonical_row(row)


def test_a_commit_tells_listeners_which_space_changed(url: str, database: Database) -> None:
    with psycopg.connect(url, autocommit=True) as listening:
        listening.execute("LISTEN sync")
        with psycopg.connect(url) as writing:
            add_user(writing)
            add_user(writing)
            writing.execute("UPDATE components SET description = '' WHERE false")
            assert list(listening.notifies(timeout=0)) == []
        assert [one.payload for one in listening.notifies(timeout=WAIT_S, stop_after=1)] == ["masters"]
        assert list(listening.notifies(timeout=0)) == []


def test_a_row_appears_once_at_its_newest_and_a_deleted_one_as_its_tombstone(database: Database) -> None:
    cursor, epoch = start(database)
    with database.write() as tx:
        kept, gone = add_user(tx), add_user(tx)
    with database.write() as tx:
        tx.execute("UPDATE users SET full_name = 'new' WHERE id = %s", (kept,))
        tx.execute("DELETE FROM users WHERE id = %s", (gone,))
    found = pulled(database, cursor, epoch)
    assert [(change.id, change.operation) for change in found] == [(kept, "put"), (gone, "tombstone")]
    assert json.loads(found[0].data)["full_name"] == "new"
    assert found[1].data == found[1].sha256 == ""


def test_pages_of_any_size_hold_the_same(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor, epoch = start(database)
    with database.write() as tx:
        for number in range(23):
            add_user(tx, "x" * (number * 10))
    whole = pulled(database, cursor, epoch)
    assert len(whole) == 23
    assert pulled(database, cursor, epoch, max_bytes=1) == whole
    assert pulled(database, cursor, epoch, max_bytes=3000) == whole
    monkeypatch.setattr(changes, "ROWS_AT_ONCE", 5)
    assert pulled(database, cursor, epoch) == whole


def test_a_page_travels_whole(database: Database) -> None:
    cursor, epoch = start(database)
    with database.write() as tx:
        add_user(tx, NASTY)
    page = pull(database, "masters", cursor, epoch)
    assert read_page(unpack(pack(write_page(page)))) == page


# ── versions, by construction ───────────────────────────────────────────────────────────────────────────


def test_a_statement_on_many_rows_gives_each_its_version(database: Database) -> None:
    head, epoch = start(database)
    with database.write() as tx:
        tx.execute("""INSERT INTO users (id, username, password_hash)
                      SELECT gen_random_uuid(), 'many-' || n, '' FROM generate_series(1, 5000) n""")
        tx.execute("UPDATE users SET full_name = 'x' WHERE username LIKE 'many-%'")
    assert start(database)[0] == head + 10_000
    with database.snapshot() as tx:
        (row,) = tx.execute(
            "SELECT count(DISTINCT row_version), min(row_version) FROM users WHERE username LIKE 'many-%'"
        ).fetchall()
    assert row == (5_000, head + 5_001)
    with database.write() as tx:
        tx.execute("DELETE FROM users WHERE username LIKE 'many-%'")
    assert len(pulled(database, head, epoch)) == 5_000


def test_what_is_rolled_back_leaves_no_trace(database: Database) -> None:
    head, epoch = start(database)
    with database.write() as tx:
        first = add_user(tx)
        with tx.transaction(force_rollback=True):
            add_user(tx)
        last = add_user(tx)
    with undone(database) as tx:
        add_user(tx)
    found = pulled(database, head, epoch)
    assert [(change.id, change.version) for change in found] == [(first, head + 1), (last, head + 2)]


def test_a_table_of_the_space_cannot_be_truncated(database: Database) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="tombstones"), database.write() as tx:
        tx.execute("TRUNCATE users CASCADE")


def test_a_later_change_is_not_visible_before_an_earlier_one(url: str, database: Database) -> None:
    """The trap: B takes its version after A but commits first, and a reader's cursor passes A."""
    cursor, epoch = start(database)
    with psycopg.connect(url) as a, psycopg.connect(url) as b:
        first = add_user(a)
        b.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            add_user(b)
        assert pulled(database, cursor, epoch) == []
        b.rollback()
        a.commit()
        second = add_user(b)
        b.commit()
    assert [change.id for change in pulled(database, cursor, epoch)] == [first, second]


def test_writers_that_cross_do_not_deadlock(url: str, database: Database) -> None:
    with database.write() as tx:
        one, two = add_user(tx), add_user(tx)
    update = "UPDATE users SET full_name = 'x' WHERE id = %s"
    with psycopg.connect(url) as a, psycopg.connect(url) as b:
        a.execute(update, (one,))
        blocked = threading.Thread(target=lambda: b.execute(update, (two,)))
        blocked.start()
        with psycopg.connect(url, autocommit=True) as watch:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s"
            while watch.execute(waiting, (b.info.backend_pid,)).fetchone() == (0,):
                pass
        a.execute(update, (two,))  # would wait for B, which waits for A, if B held its row already
        a.commit()
        blocked.join()
        b.commit()


def test_a_polling_reader_misses_no_row_of_many_writers(url: str, database: Database) -> None:
    cursor, epoch = start(database)
    written: list[str] = []
    seen: list[Change] = []
    left = threading.Semaphore(0)

    def write(number: int) -> None:
        with psycopg.connect(url) as connection:
            for step in range(25):
                mine = [add_user(connection) for _ in range(1 + (number + step) % 3)]
                if step % 5 == 4:
                    connection.rollback()
                else:
                    connection.commit()
                    written.extend(mine)
        left.release()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        page = pull(database, "masters", cursor, epoch, max_bytes=2000)
        seen += page.changes
        cursor = page.to_cursor
    seen += pulled(database, cursor, epoch)
    assert sorted(change.id for change in seen) == sorted(written)
    versions = [change.version for change in seen]
    assert versions == sorted(set(versions))


# ── reset ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cursor_that_cannot_be_continued_is_reset(database: Database) -> None:
    with database.write() as tx:
        gone = add_user(tx)
    before, epoch = start(database)
    with database.write() as tx:
        tx.execute("DELETE FROM users WHERE id = %s", (gone,))
        tx.execute("UPDATE sync_tombstones SET deleted_at = now() - interval '91 days'")
        add_user(tx)
    head, _ = start(database)
    assert [change.operation for change in pulled(database, before, epoch)] == ["tombstone", "put"]
    with database.write() as tx:
        forget_tombstones(tx, "masters", 90)
    for cursor, asked in ((before, epoch), (head, CLOCK.new_id()), (head + 1, epoch)):
        with pytest.raises(Refused) as caught:
            pull(database, "masters", cursor, asked)
        assert caught.value.code.code == "pull-reset"
        assert caught.value.context == {"server_epoch": epoch}
    assert pull(database, "masters", 0, None).changes
    assert pull(database, "masters", head, epoch).changes == ()
    with pytest.raises(Refused) as unknown:
        pull(database, "secrets", 0, None)
    assert unknown.value.code.code == "space-unknown"


# ── digest ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_digest_of_masters_is_that_of_the_pulled_rows(database: Database) -> None:
    with database.write() as tx:
        for _ in range(300):
            add_user(tx, NASTY)
    rows = {c.id: c.sha256 for c in pulled(database, 0, "") if c.table == "users" and c.operation == "put"}
    wanted = digest((row_id, bytes.fromhex(sha256)) for row_id, sha256 in rows.items())
    with database.snapshot() as tx:
        found = buckets(tx, "masters", "users", "")
        assert {one.bucket: (one.count, int(one.hash_sum)) for one in found} == {
            number: (bucket.count, bucket.hash_sum) for number, bucket in wanted.items()
        }
        one = found[0]
        listed = bucket_rows(tx, "masters", "users", "", one.bucket)
        assert len(listed) == one.count
        assert all(rows[row.id] == row.sha256 for row in listed)


def test_the_digest_of_facts_is_that_of_the_bytes_last_sent(database: Database, device: Device) -> None:
    for _ in range(5):
        device.store.inspect()
    ops = device.outbox()
    device.push(ops)
    for table in ("inspection_sessions", "human_verification_results"):
        last = {op.entity_id: bytes.fromhex(op.sha256) for op in ops if op.entity_type == table}
        with database.snapshot() as tx:
            found = buckets(tx, "facts", table, device.device_id)
            assert buckets(tx, "facts", table, CLOCK.new_id()) == []
        assert {one.bucket: (one.count, int(one.hash_sum)) for one in found} == {
            number: (bucket.count, bucket.hash_sum) for number, bucket in digest(last.items()).items()
        }


def test_the_digest_of_another_table_is_refused(database: Database) -> None:
    with database.snapshot() as tx, pytest.raises(Refused):
        buckets(tx, "facts", "devices", "")
