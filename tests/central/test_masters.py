"""Masters at the centre, one at a time: what is accepted, what is refused and where, who was faster."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from central_server.masters.masters import Key, Masters
from central_server.masters.packages import Packages
from central_server.masters.resources import KindName
from central_server.objects import Objects
from central_server.store.changes import pull
from central_server.store.database import Database
from edge_agent.clock import Clock
from edge_agent.errors import BadDefinition, BadInput, Conflict, NotFound
from tests.bundles import LOOK, pipeline, with_template, write_model

CLOCK = Clock()
WHO = "tanaka"


@pytest.fixture(scope="module")
def masters(database: Database) -> Masters:
    return Masters(database, CLOCK)


@pytest.fixture(scope="module")
def packages(database: Database, module_objects: Objects) -> Packages:
    return Packages(database, module_objects, CLOCK)


@pytest.fixture(scope="module")
def model(masters: Masters, packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier that is there and active."""
    return "/".join(packages.upload(write_model(tmp_path_factory.mktemp("model")), WHO))


@pytest.fixture
def code() -> str:
    return f"P-{CLOCK.new_id()}"


def product(code: str, **changes: Any) -> dict[str, Any]:
    return {"product_code": code, "product_name": "金属板", "version": "1"} | changes


def item(code: str, **changes: Any) -> dict[str, Any]:
    return {
        "product_code": code,
        "item_code": "look",
        "item_name": "外観",
        "inspection_type": "VISUAL",
        "ai_enabled": False,
        "criteria": LOOK,
        "order_sequence": 1,
        "required": True,
    } | changes


def user(name: str, **changes: Any) -> dict[str, Any]:
    return {"username": name, "full_name": "佐藤", "role": "inspector"} | changes


def component(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1",
        "docker_image": "registry/blur:1",
        "input_schema": {"type": "object"},
    } | changes


def put(masters: Masters, kind: KindName, key: str, document: dict[str, Any], **more: Any) -> dict[str, Any]:
    return masters.put(kind, tuple(key.split("/")), document, WHO, **more)[0]


def problems(
    masters: Masters, kind: KindName, key: str, document: dict[str, Any], **more: Any
) -> set[tuple[str, str]]:
    with pytest.raises(BadDefinition) as caught:
        put(masters, kind, key, document, **more)
    assert all(problem.file == "" for problem in caught.value.problems)
    return {(problem.pointer, problem.code) for problem in caught.value.problems}


@pytest.fixture
def line(masters: Masters, model: str, code: str) -> dict[str, Any]:
    """A product whose one item the AI judges: the item as stored."""
    put(masters, "pipeline", code, {"definition": pipeline(code)})
    put(masters, "product", code, product(code))
    return put(masters, "item", f"{code}/look", item(code, ai_enabled=True, pipeline=code))


# ── put, show, list ─────────────────────────────────────────────────────────────────────────────────────


def test_what_was_put_is_shown_and_may_be_sent_back_without_a_change(
    masters: Masters, line: dict[str, Any], code: str
) -> None:
    person, part = f"u-{code}", f"c-{code}"
    put(masters, "user", person, user(person, password="long enough", email=f"{code}@x.jp"))
    put(masters, "component", f"{part}/1", component(part))
    keys: dict[KindName, tuple[str, ...]] = {
        "product": (code,),
        "item": (code, "look"),
        "pipeline": (code,),
        "user": (person,),
        "component": (part, "1"),
    }
    for kind, key in keys.items():
        shown = masters.get(kind, key)
        assert shown in masters.list(kind)
        again, warnings = masters.put(kind, key, shown, WHO)
        ignoring = {"row_version", "updated_at"}
        assert {k: v for k, v in again.items() if k not in ignoring} == {
            k: v for k, v in shown.items() if k not in ignoring
        }
        assert warnings == ()
    assert line["criteria"] == LOOK
    assert line["pipeline"] == code


def test_a_password_hash_is_never_shown(masters: Masters, code: str) -> None:
    shown = put(masters, "user", code, user(code, password="long enough"))
    assert "argon2" not in json.dumps(shown)
    assert shown["can_log_in"] is True
    assert put(masters, "user", f"{code}-2", user(f"{code}-2"))["can_log_in"] is False


def test_devices_get_what_was_put(database: Database, masters: Masters, line: dict[str, Any]) -> None:
    page = pull(database, "masters", line["row_version"] - 1, _epoch(database))
    row = json.loads(page.changes[0].data)
    assert (row["item_code"], json.loads(row["criteria"])) == ("look", LOOK)


def test_an_unknown_one_is_said(masters: Masters) -> None:
    for kind in ("product", "item", "pipeline", "user", "component", "model"):
        with pytest.raises(NotFound) as caught:
            masters.get(kind, ("no", "1"))
        assert caught.value.code_ == f"unknown-{kind}"


# ── faults, all at once ─────────────────────────────────────────────────────────────────────────────────


def test_every_fault_of_a_document_is_told_with_its_place(masters: Masters, code: str) -> None:
    assert problems(masters, "product", code, {"product_code": code, "version": 1, "colour": "red"}) == {
        ("/product_name", "missing-key"),
        ("/version", "bad-value"),
        ("/colour", "unknown-key"),
    }
    assert problems(masters, "product", code, product("other")) == {("/product_code", "name-mismatch")}


def test_every_fault_of_a_pipeline_is_told_before_it_is_accepted(
    masters: Masters, model: str, code: str
) -> None:
    definition = with_template(pipeline(code, version="9.9.9"), "0" * 64)
    definition["steps"].append({"id": "judge", "type": "nothing"})
    found = problems(masters, "pipeline", code, {"definition": definition})
    assert ("/definition/steps/0/with/template", "missing-asset") in found
    assert ("/definition/steps/1/with/model", "missing-model") in found
    assert {pointer for pointer, _ in found} >= {"/definition/steps/3/id", "/definition/steps/3/in"}
    with pytest.raises(NotFound):
        masters.get("pipeline", (code,))
    assert problems(masters, "pipeline", code, {"definition": pipeline("other")}) == {
        ("/definition/code", "name-mismatch")
    }


def test_criteria_are_parsed_and_held_against_the_pipeline(
    masters: Masters, line: dict[str, Any], code: str
) -> None:
    wrong = {**line, "criteria": {"type": "VISUAL", "rule": "class", "accept": ["green"], "conf_min": 7}}
    assert problems(masters, "item", f"{code}/look", wrong) == {("/criteria/conf_min", "bad-value")}
    strange = {**line, "criteria": {**LOOK, "accept": ["green"]}}
    assert problems(masters, "item", f"{code}/look", strange) == {("/criteria", "unknown-label")}
    lost = {**line, "pipeline": "none", "inspection_type": "FUNCTION"}
    assert problems(masters, "item", f"{code}/look", lost) >= {("/pipeline", "unknown-pipeline")}


def test_two_items_cannot_have_one_place(masters: Masters, line: dict[str, Any], code: str) -> None:
    second = item(code, item_code="side")
    assert problems(masters, "item", f"{code}/side", second) == {("/order_sequence", "duplicate")}


def test_a_change_of_a_pipeline_is_held_against_the_items_that_use_it(
    masters: Masters, line: dict[str, Any], code: str
) -> None:
    shown = masters.get("pipeline", (code,))
    blind = copy.deepcopy(shown["definition"])
    blind["steps"][1]["in"] = {"scores": "$cls.classes"}
    found = problems(masters, "pipeline", code, {**shown, "definition": blind})
    assert found
    assert masters.get("pipeline", (code,)) == shown


def test_a_value_the_database_cannot_hold_is_refused_as_input(masters: Masters, code: str) -> None:
    with pytest.raises(BadInput, match="Unicode") as caught:
        put(masters, "component", f"{code}/1", component(code, input_schema={"a": "\0"}))
    assert caught.value.code_ == "value-unfit"


def test_a_password_too_short_is_refused(masters: Masters, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        put(masters, "user", code, user(code, password="short"))
    assert caught.value.code_ == "password-unfit"


def test_what_must_be_one_of_a_kind_stays_so(masters: Masters, code: str) -> None:
    put(masters, "user", code, user(code, email=f"{code}@x.jp"))
    found = problems(masters, "user", f"{code}-2", user(f"{code}-2", email=f"{code}@x.jp"))
    assert found == {("/email", "duplicate")}
    put(masters, "product", code, product(code))
    first = masters.get("product", (code,))
    put(masters, "product", f"{code}-2", product(f"{code}-2"))
    with pytest.raises((BadDefinition, Conflict)):
        put(masters, "product", f"{code}-2", product(code), version="any")
    assert masters.get("product", (code,)) == first


# ── versions ────────────────────────────────────────────────────────────────────────────────────────────


def test_who_comes_second_sees_both_documents(url: str, masters: Masters, code: str) -> None:
    first = put(masters, "product", code, product(code))
    with psycopg.connect(url) as by_hand:
        by_hand.execute(
            "UPDATE inspection_targets_master SET product_name = 'hand' WHERE product_code = %s", (code,)
        )
    mine = {**first, "product_name": "mine"}
    with pytest.raises(Conflict) as caught:
        put(masters, "product", code, mine)
    context = caught.value.context
    assert caught.value.code_ == "version-differs"
    assert (context["present"]["product_name"], context["sent"]["product_name"]) == ("hand", "mine")
    assert put(masters, "product", code, mine, version=context["row_version"])["product_name"] == "mine"
    assert put(masters, "product", code, first, version="any")["product_name"] == first["product_name"]


def test_what_exists_is_not_overwritten_without_a_version(masters: Masters, code: str) -> None:
    put(masters, "product", code, product(code))
    with pytest.raises(Conflict):
        put(masters, "product", code, product(code, product_name="again"))
    with pytest.raises(Conflict):
        put(masters, "product", f"{code}-new", product(f"{code}-new"), version=7)


def test_of_many_writers_on_one_version_one_wins(masters: Masters, code: str) -> None:
    first = put(masters, "product", code, product(code))
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            put(masters, "product", code, {**first, "product_name": f"name {number}"})
            outcomes.append("stored")
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 5 + ["stored"]


# ── off and on ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_switched_off_is_kept_and_can_be_switched_on(
    masters: Masters, line: dict[str, Any], code: str
) -> None:
    keys: list[tuple[KindName, Key]] = [("item", (code, "look")), ("pipeline", (code,)), ("product", (code,))]
    for kind, key in keys:
        off = masters.set_active(kind, key, WHO, None, is_active=False)
        assert off["is_active"] is False
        assert off not in masters.list(kind)
        assert off in masters.list(kind, with_inactive=True)
    for kind, key in [keys[2], keys[1], keys[0]]:
        assert masters.set_active(kind, key, WHO, None, is_active=True)["is_active"] is True


def test_a_pipeline_that_items_use_stays(masters: Masters, line: dict[str, Any], code: str) -> None:
    with pytest.raises(BadDefinition) as caught:
        masters.set_active("pipeline", (code,), WHO, None, is_active=False)
    assert [(p.code, p.message) for p in caught.value.problems] == [
        ("in-use", f"active items use it: {code}/look")
    ]


def test_an_item_comes_back_only_if_it_can_be_used(masters: Masters, line: dict[str, Any], code: str) -> None:
    masters.set_active("item", (code, "look"), WHO, None, is_active=False)
    masters.set_active("pipeline", (code,), WHO, None, is_active=False)
    with pytest.raises(BadDefinition):
        masters.set_active("item", (code, "look"), WHO, None, is_active=True)


def test_the_last_admin_stays(database: Database, masters: Masters, code: str) -> None:
    put(masters, "user", code, user(code, role="admin", password="long enough"))
    with pytest.raises(Conflict) as caught:
        masters.set_active("user", (code,), WHO, None, is_active=False)
    assert caught.value.code_ == "last-admin"
    put(masters, "user", f"{code}-2", user(f"{code}-2", role="admin", password="long enough"))
    assert masters.set_active("user", (code,), WHO, None, is_active=False)["can_log_in"] is False


# ── versions of the space ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def connections(url: str) -> Iterator[list[psycopg.Connection[Any]]]:
    opened = [psycopg.connect(url) for _ in range(8)]
    yield opened
    for one in opened:
        one.close()


def test_a_reader_misses_nothing_of_eight_writers_of_the_new_tables(
    database: Database, connections: list[psycopg.Connection[Any]]
) -> None:
    """Every table of the space at once, by hand, with rollbacks and deletions between."""
    epoch = _epoch(database)
    cursor = start = _head(database)
    kept: set[str] = set()
    gone: set[str] = set()
    seen: dict[str, str] = {}

    def write(number: int, connection: psycopg.Connection[Any]) -> None:
        for step in range(20):
            row_id = CLOCK.new_id()
            if (number + step) % 2:
                sql = "INSERT INTO assets (id, sha256, size) VALUES (%s, %s, 1)"
                connection.execute(sql, (row_id, row_id))
            else:
                sql = """INSERT INTO model_packages (id, name, version, task, archive_sha256, archive_size,
                                                     model_sha256, manifest)
                         VALUES (%s, %s, '1', 'classify', '', 1, '', '{}')"""
                connection.execute(sql, (row_id, row_id))
            if step % 5 == 4:
                connection.rollback()
                continue
            connection.commit()
            if step % 4 == 3:
                table = "assets" if (number + step) % 2 else "model_packages"
                connection.execute(f"DELETE FROM {table} WHERE id = %s".encode(), (row_id,))
                connection.commit()
                gone.add(row_id)
            else:
                kept.add(row_id)

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(connections)]
    for thread in threads:
        thread.start()
    alive = True
    while alive or cursor < _head(database):
        alive = any(thread.is_alive() for thread in threads)
        page = pull(database, "masters", cursor, epoch)
        assert [change.version for change in page.changes] == sorted({c.version for c in page.changes})
        seen |= {change.id: change.operation for change in page.changes}
        cursor = page.to_cursor
    assert cursor > start
    assert {row_id for row_id, operation in seen.items() if operation == "put"} == kept
    assert {row_id for row_id, operation in seen.items() if operation == "tombstone"} >= gone


def _epoch(database: Database) -> str:
    with database.snapshot() as tx:
        (row,) = tx.execute("SELECT server_epoch::text FROM server_state").fetchall()
    return str(row[0])


def _head(database: Database) -> int:
    with database.snapshot() as tx:
        (row,) = tx.execute("SELECT version FROM sync_spaces WHERE space = 'masters'").fetchall()
    return int(str(row[0]))
