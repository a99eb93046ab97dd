"""`run_check` is silent on a sound installation, and can be watched and stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.check import run_check
from edge_agent.check.findings import KINDS
from edge_agent.store import audit, soundness
from tests.store_factory import NOON, Store
from tests.unit.check.conftest import check, soundness_last

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


def test_every_finding_tells_what_to_do(store: Store) -> None:
    assert all(kind.message and kind.hint.endswith((".", ")")) for kind in KINDS.values())


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
