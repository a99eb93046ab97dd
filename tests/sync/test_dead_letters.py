"""Dead letters and conflicts: seen, tried again, written out, and never lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.errors import NotFound
from edge_agent.models import Actor
from edge_agent.store import audit, conflicts, dead, uploads
from edge_agent.store.database import insert
from edge_agent.store.soundness import queue_faults
from edge_agent.store.uploads import Trouble
from edge_agent.sync import dead_letters
from tests.store_factory import Store

TOMO = Actor("tomo")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    opened.add_masters()
    yield opened
    opened.close()


def kill(store: Store, where: str, code: str = "row-invalid") -> list[int]:
    with store.database.write() as tx:
        rows = tx.execute(
            f"""UPDATE sync_queue SET dead_at = '2026-11-23T13:00:00.000Z', error_code = ?, error_detail = 'no',
                    retry_count = 4 WHERE {where} RETURNING id""",
            (code,),
        ).fetchall()
    return sorted(row["id"] for row in rows)


def hold_the_rest(store: Store, entry_id: int) -> int:
    with store.database.write() as tx:
        sql = "UPDATE sync_queue SET held_by = ? WHERE id > ? AND dead_at IS NULL"
        return tx.execute(sql, (entry_id, entry_id)).rowcount


def test_what_it_holds_up_is_told_with_it(store: Store) -> None:
    store.inspect()
    [target] = kill(store, "id = 1")
    count = hold_the_rest(store, target)
    with store.database.read() as reader:
        held = dead.list_held(reader, target, 3)
        assert dead.count_held(reader) == count
        assert dead.list_held(reader, target + 1, 3) == []
    assert [one.id for one in held] == [2, 3, 4]


def test_one_is_tried_again_and_the_trail_says_who_asked(store: Store) -> None:
    store.inspect()
    [entry_id] = kill(store, "id = 1")
    dead_letters.retry_one(store.database, entry_id, TOMO)
    with store.database.read() as reader:
        assert dead.find_dead(reader, entry_id) is None
        row = reader.execute("SELECT * FROM sync_queue WHERE id = 1").fetchone()
        [said] = audit.list_entries(reader, entity=("sync_queue", "1"))
        assert list(queue_faults(reader)) == []
    assert (row["retry_count"], row["error_code"], row["next_attempt_at"]) == (0, None, None)
    assert (said.actor, said.action) == ("tomo", "queue.retry")
    with pytest.raises(NotFound) as unknown:
        dead_letters.retry_one(store.database, entry_id, TOMO)
    assert unknown.value.code_ == "unknown-dead-letter"


def test_what_was_acknowledged_is_never_queued_again(store: Store) -> None:
    store.inspect()
    kill(store, "id = 1")
    with store.database.write() as tx:
        tx.execute("UPDATE sync_queue SET processed_at = '2026-11-23T14:00:00.000Z' WHERE id = 1")
    assert dead_letters.retry_many(store.database, TOMO) == 0


def test_all_or_those_with_one_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "CHUNK", 2)
    for _ in range(2):
        store.inspect()
    damaged = kill(store, "entity_type = 'inspection_images'", "row-damaged")
    others = kill(store, "entity_type = 'human_verification_results'")
    assert dead_letters.retry_many(store.database, TOMO, code="row-damaged") == len(damaged) == 2
    with store.database.read() as reader:
        assert [one.id for one in dead.list_dead(reader, 0, 100)] == others
        assert dead.count_dead(reader) == len(others)
    assert dead_letters.retry_many(store.database, TOMO) == len(others) == 4


def test_the_export_holds_every_row_its_reason_and_what_it_holds_up(store: Store) -> None:
    store.inspect()
    hold_the_rest(store, *kill(store, "id = 1"))
    document = json.loads(b"".join(dead_letters.export(store.database)))
    [letter] = document["dead_letters"]
    assert (letter["error_code"], letter["data"]["product_code"]) == ("row-invalid", "PLATE")
    assert letter["held"][0]["entity_type"] == "inspection_sessions"


def test_the_export_names_the_photographs_given_up_and_where_their_files_are(store: Store) -> None:
    store.inspect()
    with store.database.write() as tx:
        sha256, file_path = tx.execute("SELECT sha256, file_path FROM inspection_images LIMIT 1").fetchone()
        uploads.note(tx, [Trouble(sha256, "blob-too-large", "Too large.", None)], "2026-11-23T13:00:00.000Z")
    [image] = json.loads(b"".join(dead_letters.export(store.database)))["images"]
    assert (image["sha256"], image["file_path"], image["error_code"]) == (sha256, file_path, "blob-too-large")


def test_an_export_of_nothing_is_still_a_document(store: Store) -> None:
    assert json.loads(b"".join(dead_letters.export(store.database))) == {
        "note": dead_letters.NOTE,
        "dead_letters": [],
        "images": [],
    }


def test_a_conflict_is_open_until_a_person_has_seen_it(store: Store) -> None:
    for number in range(3):
        row = {
            "id": f"c{number}",
            "entity_type": "inspection_sessions",
            "entity_id": "s",
            "kept": "server",
            "local_data": "{}",
            "server_data": "{}",
            "reason": "superseded",
            "created_at": "2026-11-23T13:00:00.000Z",
        }
        with store.database.write() as tx:
            insert(tx, "conflict_log", row)
    with store.database.write() as tx:
        assert conflicts.resolve(tx, "c0", "2026-11-23T14:00:00.000Z", 1)
        assert not conflicts.resolve(tx, "c0", "2026-11-23T15:00:00.000Z", None)
    with store.database.read() as reader:
        [first] = conflicts.list_open(reader, None, 1)
        [second] = conflicts.list_open(reader, (first.created_at, first.id), 5)
        seen = conflicts.find(reader, "c0")
        assert conflicts.count_open(reader) == 2
    assert (first.id, second.id) == ("c1", "c2")
    assert seen is not None
    assert (seen.resolved_by, seen.resolved_at) == (1, "2026-11-23T14:00:00.000Z")
