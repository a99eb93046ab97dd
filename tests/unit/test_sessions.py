"""Scan to completion, on a real store."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock import Clock
from edge_agent.config import Config, load_config
from edge_agent.errors import BadInput, Conflict, Denied, NotFound, Unavailable
from edge_agent.inspection.judgement import Judgement
from edge_agent.inspection.sessions import Sessions
from edge_agent.models import Actor, FinalResult, Role, SessionStatus
from edge_agent.store import masters, settings
from edge_agent.store.database import Database, insert
from edge_agent.store.schema import open_database

CHECKLIST = {
    "type": "FUNCTION",
    "rule": "checklist",
    "checks": [{"key": "led", "label": "LED", "expect": True}],
}
LOOK = {"type": "VISUAL", "rule": "class", "accept": ["OK"], "conf_min": 0.8}
INSPECTOR = Actor("sato", user_id=1, role=Role.INSPECTOR)
SUPERVISOR = Actor("suzuki", user_id=2, role=Role.SUPERVISOR)
NOW = "2026-11-23T00:00:00.000Z"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(tmp_path, min_free_bytes=0, time_zone="Asia/Tokyo")


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    with closing(open_database(config.database_path, Clock(), "desktop", "test")) as opened:
        with opened.write() as tx:
            _put_masters(tx)
        yield opened


@pytest.fixture
def announced() -> list[tuple[str, Mapping[str, Any]]]:
    return []


@pytest.fixture
def sessions(database: Database, config: Config, announced: list[tuple[str, Mapping[str, Any]]]) -> Sessions:
    return Sessions(database, Clock(), config, lambda kind, facts: announced.append((kind, facts)))


def _put_masters(tx: sqlite3.Connection) -> None:
    stamps = {"created_at": NOW, "updated_at": NOW}
    for number, (name, role) in enumerate((("sato", "inspector"), ("suzuki", "supervisor")), 1):
        insert(tx, "users", {"username": name, "password_hash": "", "role": role, "server_id": f"u{number}"})
    product = {"id": "p1", "product_code": "PLATE", "product_name": "Plate", "version": "3"}
    masters.put(tx, "inspection_targets_master", {**product, **stamps})
    for order, (code, kind, criteria) in enumerate(
        (("look", "VISUAL", LOOK), ("led", "FUNCTION", CHECKLIST)), 1
    ):
        item = {
            "id": code,
            "target_id": "p1",
            "item_code": code,
            "item_name": code,
            "inspection_type": kind,
            "ai_enabled": int(kind == "VISUAL"),
            "pipeline_id": None,
            "criteria": json.dumps(criteria),
            "order_sequence": order,
            "required": 1,
        }
        masters.put(tx, "inspection_items_master", {**item, **stamps})


def ok(item_id: str, **more: Any) -> Judgement:
    checks = {"led": True} if item_id == "led" else None
    return Judgement(FinalResult.OK, item_id=item_id, checks=checks, verification_time=2.5, **more)


def test_a_code_leads_to_product_items_and_an_open_session(sessions: Sessions) -> None:
    before = sessions.scan("PLATE")
    assert (before.product.product_code, before.open_session) == ("PLATE", None)
    assert [item.item_code for item in before.items] == ["look", "led"]
    view = sessions.start('{"product":"PLATE","lot":"L7","serial":"S1"}', INSPECTOR)
    assert (view.target.batch_id, view.target.serial_no) == ("L7", "S1")
    again = sessions.scan('{"product":"PLATE","lot":"L7","serial":"S1"}')
    assert again.open_session is not None
    assert again.open_session.id == view.session.id


def test_an_unknown_product_is_answered_with_what_was_read_and_changes_nothing(
    sessions: Sessions, database: Database
) -> None:
    with pytest.raises(NotFound) as caught:
        sessions.start("NO-SUCH", INSPECTOR)
    assert caught.value.code_ == "unknown-product"
    assert caught.value.context["scan"]["text"] == "NO-SUCH"
    with database.read() as reader:
        assert reader.execute("SELECT count(*) FROM inspection_targets").fetchone()[0] == 0


def test_starting_twice_resumes_the_open_session(sessions: Sessions) -> None:
    assert sessions.start("PLATE", INSPECTOR).session.id == sessions.start("PLATE", INSPECTOR).session.id


def test_a_finished_target_can_be_inspected_again(sessions: Sessions) -> None:
    first = sessions.start("PLATE", INSPECTOR).session
    sessions.cancel(first.id, "wrong part", INSPECTOR)
    second = sessions.start("PLATE", INSPECTOR).session
    assert second.id != first.id
    assert second.target_id == first.target_id


def test_the_work_day_is_the_factorys(database: Database, config: Config) -> None:
    late_utc = Clock(time=lambda: 1_795_478_400.0 - 3600)  # 2026-11-23T23:00Z is the 24th in Tokyo
    assert Sessions(database, late_utc, config, lambda *_: None).work_day() == "2026-11-24"


def test_the_whole_way_to_completed(
    sessions: Sessions, announced: list[tuple[str, Mapping[str, Any]]]
) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    sessions.verify(session_id, ok("look"), INSPECTOR)
    with pytest.raises(Conflict) as caught:
        sessions.complete(session_id, INSPECTOR)
    assert caught.value.context["missing"] == ["led"]
    sessions.verify(session_id, ok("led"), INSPECTOR)
    view = sessions.complete(session_id, INSPECTOR)
    assert (view.session.status, view.session.final_result) == (SessionStatus.COMPLETED, "OK")
    assert [facts["status"] for _, facts in announced][-1] == SessionStatus.COMPLETED


def test_ok_against_an_unmet_checklist_is_refused(sessions: Sessions) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    with pytest.raises(BadInput) as caught:
        sessions.verify(session_id, replace(ok("led"), checks={"led": False}), INSPECTOR)
    assert caught.value.context["unmet"] == ["led"]
    sessions.verify(session_id, Judgement(FinalResult.NG, item_id="led", reason_code="dark"), INSPECTOR)
    assert sessions.view(session_id).can_complete


def test_a_verdict_on_an_item_that_is_not_in_the_session_is_refused(sessions: Sessions) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    with pytest.raises(NotFound, match="no item other"):
        sessions.verify(session_id, ok("other"), INSPECTOR)


def test_a_correction_supersedes_and_keeps_the_first(sessions: Sessions, database: Database) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    first = sessions.verify(session_id, ok("look"), INSPECTOR)
    second = sessions.verify(session_id, replace(ok("look"), final_result=FinalResult.NG), INSPECTOR)
    with database.read() as reader:
        rows = reader.execute("SELECT id, supersedes FROM human_verification_results ORDER BY id").fetchall()
        counted = reader.execute(
            "SELECT human_result, verdict_count FROM verdict_counts WHERE subject = 0 AND user_id = -1 "
            "AND period % 100 < 99"
        ).fetchall()
    assert [tuple(row) for row in rows] == [(first, None), (second, first)]
    assert {row[0]: row[1] for row in counted} == {"NG": 1, "OK": 0}


def test_a_completed_session_is_corrected_by_a_supervisor_only(sessions: Sessions) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    sessions.verify(session_id, ok("look"), INSPECTOR)
    sessions.verify(session_id, ok("led"), INSPECTOR)
    sessions.complete(session_id, INSPECTOR)
    escape = replace(ok("look"), final_result=FinalResult.NG, reason_code="scratch")
    with pytest.raises(Denied):
        sessions.verify(session_id, escape, INSPECTOR)
    sessions.verify(session_id, escape, SUPERVISOR)
    session = sessions.view(session_id).session
    assert (session.status, session.final_result) == (SessionStatus.COMPLETED, "NG")


def test_a_person_can_judge_the_session_as_a_whole(sessions: Sessions) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    sessions.verify(session_id, Judgement(FinalResult.HOLD), INSPECTOR)
    assert sessions.complete(session_id, INSPECTOR).session.final_result == "REVIEW"


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_an_ended_session_takes_no_more(sessions: Sessions, end: str) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    getattr(sessions, end)(session_id, "dropped on the floor", INSPECTOR)
    with pytest.raises(Conflict, match="takes no more verdicts"):
        sessions.verify(session_id, ok("look"), SUPERVISOR)
    with pytest.raises(Conflict, match="cannot become"):
        sessions.complete(session_id, INSPECTOR)
    assert sessions.view(session_id).session.reason == "dropped on the floor"


def test_criteria_are_those_of_the_start(sessions: Sessions, database: Database) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    with database.write() as tx:
        tx.execute("UPDATE inspection_items_master SET criteria = '{}', is_active = 0 WHERE id = 'look'")
    assert sessions.view(session_id).items[0].item.criteria == LOOK


def test_no_new_session_on_a_nearly_full_disk(database: Database, config: Config) -> None:
    full = config.model_copy(update={"min_free_bytes": 2**62})
    with pytest.raises(Unavailable, match="MiB of disk are free"):
        Sessions(database, Clock(), full, lambda *_: None).start("PLATE", INSPECTOR)


def test_an_idempotency_key_starts_one_session(sessions: Sessions, database: Database) -> None:
    keyed = replace(INSPECTOR, request_key="k1")
    sessions.start('{"product":"PLATE","serial":"1"}', keyed)
    with pytest.raises(Conflict, match="already made its change"):
        sessions.start('{"product":"PLATE","serial":"2"}', keyed)
    with database.read() as reader:
        assert reader.execute("SELECT count(*) FROM inspection_sessions").fetchone()[0] == 1


def test_every_change_is_queued_and_audited_with_its_actor(sessions: Sessions, database: Database) -> None:
    session_id = sessions.start("PLATE", INSPECTOR).session.id
    sessions.verify(session_id, ok("look"), INSPECTOR)
    with database.read() as reader:
        queued = [
            tuple(row) for row in reader.execute("SELECT entity_type, operation FROM sync_queue ORDER BY id")
        ]
        actors = {row[0] for row in reader.execute("SELECT actor FROM audit_log")}
        grouped = reader.execute("SELECT count(DISTINCT tx_id) FROM sync_queue").fetchone()[0]
    assert queued == [
        ("inspection_targets", "INSERT"),
        ("inspection_sessions", "INSERT"),
        ("human_verification_results", "INSERT"),
        ("inspection_sessions", "UPDATE"),
    ]
    assert actors == {"sato"}
    assert grouped == 2


def test_the_scan_mapping_is_a_setting(sessions: Sessions, database: Database) -> None:
    with database.write() as tx:
        settings.put(tx, "scan.mapping", {"delimiter": "|", "field_order": ["serial", "product_code"]}, NOW)
    assert sessions.start("S9|PLATE", INSPECTOR).target.serial_no == "S9"
