"""What people look for at the centre, over HTTP: every filter against the rows the devices made, page by page."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from central_server.store import history
from central_server.store.database import Database
from central_server.store.history import PAGE, SessionFilter
from edge_agent.inspection.statistics import wilson
from tests.central.caller import ADMIN_TOKEN, serving
from tests.central.devices import CLOCK
from tests.central.plant import DAYS, ITEMS, PEOPLE, PRODUCTS, Plant


class Desk:
    """Requests of somebody at the centre."""

    def __init__(self, client: Any, plant: Plant) -> None:
        self.client, self.plant = client, plant

    def ask(self, path: str, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        return self.client.get(f"/api/v1{path}", params=query, headers=headers)

    def every(self, limit: int = 7, **query: Any) -> list[Any]:
        """All pages."""
        found: list[Any] = []
        before: dict[str, str] = {}
        while True:
            page = self.ask("/history/sessions", limit=limit, **query, **before).json()
            found += page["sessions"]
            if page["next"] is None:
                return found
            before = {"before": page["next"]}


@pytest.fixture(scope="module")
def desk(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    plant = Plant(random.Random(3), database, [CLOCK.new_id() for _ in range(2)])
    for device in plant.devices:
        with database.write() as tx:
            sql = """INSERT INTO devices (device_id, device_type, app_version, token_sha256)
                     VALUES (%s, 'tablet', '', %s)"""
            tx.execute(sql, (device, device))
        plant.send(device, [op for _ in range(20) for op in plant.inspection(device)])
    with serving(database, tmp_path_factory.mktemp("centre")) as client:
        yield Desk(client, plant)


def expected(plant: Plant, **wanted: Any) -> list[str]:
    """Ids of the sessions with these columns, newest first."""
    rows = [
        row
        for row in plant.rows["inspection_sessions"].values()
        if all((row[name] or None) == value for name, value in wanted.items())
    ]
    return [row["id"] for row in sorted(rows, key=lambda row: (row["work_day"], row["id"]), reverse=True)]


@pytest.mark.parametrize("limit", [1, 7, 200])
def test_pages_of_any_size_hold_every_session_once(desk: Desk, limit: int) -> None:
    assert [one["id"] for one in desk.every(limit)] == expected(desk.plant)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"product_id": PRODUCTS[0]}, {"product_id": PRODUCTS[0]}),
        ({"user_id": PEOPLE[1]}, {"user_server_id": PEOPLE[1]}),
        ({"status": "COMPLETED"}, {"status": "COMPLETED"}),
        ({"status": "CANCELLED"}, {"status": "CANCELLED"}),
        ({"verdict": "NG"}, {"final_result": "NG"}),
        ({"verdict": "OK", "product_id": PRODUCTS[1]}, {"final_result": "OK", "product_id": PRODUCTS[1]}),
    ],
)
def test_a_filter_finds_what_it_names(desk: Desk, query: dict[str, Any], wanted: dict[str, str]) -> None:
    assert [one["id"] for one in desk.every(**query)] == expected(desk.plant, **wanted)


def test_a_period_and_a_device_are_filters_too(desk: Desk) -> None:
    low, high = DAYS[20].isoformat(), DAYS[40].isoformat()
    rows = desk.plant.rows["inspection_sessions"]
    mine = [i for i in expected(desk.plant) if desk.plant.owner[i] == desk.plant.devices[0]]
    assert [one["id"] for one in desk.every(device_id=desk.plant.devices[0])] == mine
    within = [i for i in expected(desk.plant) if low <= rows[i]["work_day"] <= high]
    assert [one["id"] for one in desk.every(since_day=low, until_day=high)] == within


def test_an_item_is_found_by_its_present_verdict(desk: Desk) -> None:
    item = ITEMS[PRODUCTS[0]][0]
    found = {one["id"] for one in desk.every(item_id=item, verdict="NG")}
    for session_id in expected(desk.plant, product_id=PRODUCTS[0]):
        detail = desk.ask(f"/history/sessions/{session_id}").json()
        present = {one["item_id"]: one["human_result"] or one["ai_result"] for one in detail["items"]}
        assert (session_id in found) == (present.get(item) == "NG")
    assert found


def test_one_session_is_shown_with_everything_about_it(desk: Desk) -> None:
    rows = desk.plant.rows
    session_id = next(row["session_id"] for row in rows["ai_inspection_results"].values())
    detail = desk.ask(f"/history/sessions/{session_id}").json()
    for part, table in (
        ("images", "inspection_images"),
        ("ai_results", "ai_inspection_results"),
        ("verifications", "human_verification_results"),
    ):
        mine = {row["id"] for row in rows[table].values() if row["session_id"] == session_id}
        assert {one["id"] for one in detail[part]} == mine
    assert detail["started_at"] == rows["inspection_sessions"][session_id]["started_at"]
    assert detail["work_day"] == rows["inspection_sessions"][session_id]["work_day"]
    assert detail["decisions"] == detail["conflicts"] == []


def test_a_scanned_code_finds_its_sessions(desk: Desk) -> None:
    session = next(iter(desk.plant.rows["inspection_sessions"].values()))
    code = desk.plant.rows["inspection_targets"][session["target_id"]]["qr_code"]
    assert [one["id"] for one in desk.ask("/history/lookup", code=code).json()["sessions"]] == [session["id"]]
    assert desk.ask("/history/lookup", code="none").json()["sessions"] == []


def test_what_is_not_there_or_no_question_is_said(desk: Desk) -> None:
    assert desk.ask(f"/history/sessions/{CLOCK.new_id()}").json()["code"] == "unknown-session"
    assert desk.ask(f"/history/executions/{CLOCK.new_id()}").json()["code"] == "unknown-execution"
    assert desk.ask("/history/sessions", before="nonsense").json()["code"] == "bad-cursor"
    for query in (
        {"status": "DONE"},
        {"product_id": "1"},
        {"since_day": "yesterday"},
        {"limit": 0},
        {"limit": 999},
    ):
        answer = desk.ask("/history/sessions", **query)
        assert answer.status_code == 422, query
    assert desk.client.get("/api/v1/history/sessions").status_code == 401


def test_executions_and_components_are_found(desk: Desk, database: Database) -> None:
    names = [f"blur-{CLOCK.new_id()}" for _ in range(3)]
    component, runs = CLOCK.new_id(), [CLOCK.new_id() for _ in range(3)]
    with database.write() as tx:
        sql = "INSERT INTO components (id, name, docker_image, version) VALUES (%s, %s, 'registry/blur', '1')"
        for row_id, name in zip((component, CLOCK.new_id(), CLOCK.new_id()), names, strict=True):
            tx.execute(sql, (row_id, name))
        for number, run in enumerate(runs):
            status = ("pending", "failed", "failed")[number]
            tx.execute("INSERT INTO pipeline_executions (id, status) VALUES (%s, %s)", (run, status))
        part = "INSERT INTO component_executions (id, execution_id, component_id, status) VALUES (%s, %s, %s, 'failed')"
        tx.execute(part, (CLOCK.new_id(), runs[1], component))
    page = desk.ask("/history/executions", status="failed", limit=1).json()
    assert (page["executions"][0]["id"], page["next"]) == (runs[2], runs[2])
    after = desk.ask("/history/executions", status="failed", limit=1, before=page["next"]).json()
    assert [one["id"] for one in after["executions"]] == [runs[1]]
    detail = desk.ask(f"/history/executions/{runs[1]}").json()
    assert [one["component"] for one in detail["components"]] == [names[0]]
    first = desk.ask("/history/components", text="BLUR", limit=2).json()
    rest = desk.ask("/history/components", text="blur", limit=2, after=first["next"]).json()
    assert [one["name"] for one in first["components"] + rest["components"]] == sorted(names)
    assert desk.ask("/history/components", text="100%_").json()["components"] == []


# ── statistics ──────────────────────────────────────────────────────────────────────────────────────────


def test_yield_is_the_devices_results_with_its_interval(desk: Desk) -> None:
    answer = desk.ask("/statistics/yield", group_by="product").json()
    done = expected(desk.plant, status="COMPLETED")
    ok = expected(desk.plant, status="COMPLETED", final_result="OK")
    rate = wilson(len(ok), len(done), len(done))
    assert answer["total"]["completed"] == len(done)
    assert answer["total"]["yield_rate"]["low"] == pytest.approx(rate.low)
    assert answer["total"]["yield_rate"]["high"] == pytest.approx(rate.high)
    assert {group["key"] for group in answer["groups"]} <= set(PRODUCTS)
    assert sum(group["figures"]["completed"] for group in answer["groups"]) == len(done)


@pytest.mark.parametrize("group_by", ["day", "week", "month", "product", "item", "inspector", "device"])
def test_every_grouping_adds_up_to_the_total(desk: Desk, group_by: str) -> None:
    answer = desk.ask("/statistics/agreement", group_by=group_by).json()
    total = answer["total"]
    for name in ("judged", "compared"):
        assert sum(group["figures"][name] for group in answer["groups"]) == total[name]
    assert total["overkill"]["cases"] > 0
    assert [group["key"] for group in answer["groups"]] == sorted(group["key"] for group in answer["groups"])
    if group_by == "week":
        year, week, _ = date.fromisoformat(min(row["work_day"] for row in _judged(desk))).isocalendar()
        assert answer["groups"][0]["key"] == f"{year}-W{week:02d}"


def _judged(desk: Desk) -> list[dict[str, Any]]:
    rows = desk.plant.rows
    ids = {row["session_id"] for row in rows["ai_inspection_results"].values()}
    ids |= {row["session_id"] for row in rows["human_verification_results"].values() if row["item_id"]}
    return [rows["inspection_sessions"][session_id] for session_id in ids]


def test_reasons_come_most_frequent_first(desk: Desk) -> None:
    answer = desk.ask("/statistics/reasons").json()
    counts = [one["ng_count"] for one in answer["reasons"]]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == answer["ng_count"] > 0
    assert answer["reasons"][-1]["cumulative_share"] == pytest.approx(1)


def test_a_statistic_of_nothing_is_empty(desk: Desk) -> None:
    answer = desk.ask("/statistics/yield", product_id=CLOCK.new_id(), group_by="day").json()
    assert (answer["total"]["completed"], answer["total"]["yield_rate"]["value"], answer["groups"]) == (
        0,
        None,
        [],
    )
    assert desk.ask("/statistics/reasons", product_id=CLOCK.new_id()).json() == {"ng_count": 0, "reasons": []}
    assert desk.ask("/statistics/yield", group_by="colour").status_code == 422


def test_a_page_reads_an_index_from_its_end(database: Database, desk: Desk) -> None:
    """However much history there is, a page of a product costs what the page holds."""
    sql = f"EXPLAIN (FORMAT JSON) {PAGE.format(where='WHERE s.product_id = %s')}"
    with database.write() as tx:
        tx.execute("SET LOCAL enable_seqscan = off")
        tx.execute("SET LOCAL enable_sort = off")
        ((plan,),) = tx.execute(sql.encode(), (PRODUCTS[0], 50)).fetchall()
    text = json.dumps(plan)
    assert "product_id_work_day_id_idx" in text
    assert '"Merge Append"' in text


def test_what_is_not_ok_of_an_item_is_found_by_its_index(database: Database, desk: Desk) -> None:
    """Without it, the NGs of an item cost a walk through every verdict there is."""
    conditions, values = history._conditions(SessionFilter(item_id=ITEMS[PRODUCTS[0]][0], verdict="NG"))
    sql = f"EXPLAIN (FORMAT JSON) {PAGE.format(where=f'WHERE {conditions[0]}')}"
    with database.write() as tx:
        tx.execute("SET LOCAL enable_seqscan = off")
        tx.execute("SET LOCAL enable_nestloop = off")
        ((plan,),) = tx.execute(sql.encode(), [*values, 50]).fetchall()
    assert "item_id_session_id_idx" in json.dumps(plan)
