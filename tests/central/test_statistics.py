"""The counts are what counting the facts gives: random histories, whatever comes late, twice or superseded."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from central_server.store import recounts
from central_server.store.database import Database
from central_server.store.ingest import push
from central_server.store.statistics import (
    NOBODY,
    GroupBy,
    Span,
    StatisticsFilter,
    reason_counts,
    session_counts,
    spans,
    verdict_counts,
)
from sync_protocol.canonical import canonical_row, sha256_hex
from sync_protocol.messages import PushOp, PushRequest
from tests.central.devices import CLOCK

DAYS = [date(2026, 1, 25) + timedelta(days) for days in range(70)]  # two whole months and a bit at each end
PRODUCTS = [CLOCK.new_id() for _ in range(2)]
ITEMS = {product: [CLOCK.new_id() for _ in range(2)] for product in PRODUCTS}
PEOPLE = [CLOCK.new_id() for _ in range(2)]
NOON = "T03:00:00.000Z"


@dataclass
class Plant:
    """Devices' histories as operations in the order they were made; what a device sent stands in `rows` too."""

    random: random.Random
    database: Database
    devices: list[str]
    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    seqs: Counter[str] = field(default_factory=Counter)

    def op(self, device: str, table: str, row: dict[str, Any], base: int | None = None) -> PushOp:
        self.seqs[device] += 1
        known = self.rows.setdefault(table, {}).setdefault(row["id"], {})
        known.update(row)
        self.owner.setdefault(row["id"], device)
        data = canonical_row(row).decode()
        return PushOp(
            seq=self.seqs[device],
            op_id=CLOCK.new_id(),
            tx_id=CLOCK.new_id(),
            entity_type=table,
            entity_id=row["id"],
            operation="INSERT" if base is None else "UPDATE",
            base_version=base,
            data=data,
            sha256=sha256_hex(data.encode()),
        )

    def inspection(self, device: str) -> list[PushOp]:
        """One session from its target to (perhaps) its end, with pictures again and verdicts corrected."""
        pick, day = self.random, self.random.choice(DAYS).isoformat()
        product, person = pick.choice(PRODUCTS), pick.choice([*PEOPLE, None])
        target, session, now = CLOCK.new_id(), CLOCK.new_id(), f"{day}{NOON}"
        ops = [self.op(device, "inspection_targets", _target(target, product, now))]
        ops.append(self.op(device, "inspection_sessions", _session(session, target, product, person, day)))
        for item in ITEMS[product]:
            for _ in range(pick.choice((0, 1, 1, 2))):
                image = CLOCK.new_id()
                ops.append(self.op(device, "inspection_images", _image(image, session, item, now)))
                for _ in range(pick.choice((1, 1, 2))):
                    result = pick.choice(("OK", "OK", "NG", "REVIEW", "ERROR"))
                    weight = pick.choice((None, None, 12.5)) if result == "OK" else None
                    row = _ai_result(session, item, image, result, weight, now)
                    ops.append(self.op(device, "ai_inspection_results", row))
            for _ in range(pick.choice((0, 1, 1, 2))):
                row = _verification(
                    session, item, pick.choice(PEOPLE), pick.choice(("OK", "NG", "HOLD")), pick, now
                )
                ops.append(self.op(device, "human_verification_results", row))
        if pick.random() < 0.2:
            row = _verification(session, None, pick.choice(PEOPLE), "OK", pick, now)
            ops.append(self.op(device, "human_verification_results", row))
        for version in range(1, pick.choice((1, 2, 3, 4))):
            ops.append(
                self.op(device, "inspection_sessions", _change(session, person, version, pick, day), version)
            )
        return ops

    def send(self, device: str, ops: list[PushOp]) -> None:
        """In any order and in batches of any size, some twice, some undone first; what is deferred comes again."""
        left = self.random.sample(ops, len(ops))
        while left:
            size = self.random.choice((1, 7, 40, 200))
            batch, left = left[:size], left[size:]
            deferred = self._push(device, batch)
            left += [op for op in batch if op.op_id in deferred]

    def _push(self, device: str, batch: list[PushOp]) -> set[str]:
        request = PushRequest(batch_id=CLOCK.new_id(), incarnation=device, ops=tuple(batch))
        if self.random.random() < 0.1:
            with pytest.raises(ZeroDivisionError), self.database.write() as tx:  # noqa: PT012
                push(tx, device, request)
                raise ZeroDivisionError
        for _ in range(self.random.choice((1, 1, 2))):
            with self.database.write() as tx:
                results = push(tx, device, request).results
            assert {result.outcome for result in results} <= {"applied", "duplicate", "deferred"}, results
        return {result.op_id for result in results if result.outcome == "deferred"}


def _target(target: str, product: str, now: str) -> dict[str, Any]:
    row = {"id": target, "product_id": product, "product_code": "P", "batch_id": "L", "serial_no": ""}
    return row | {"qr_code": target, "created_at": now, "updated_at": now}


def _session(session: str, target: str, product: str, person: str | None, day: str) -> dict[str, Any]:
    now = f"{day}{NOON}"
    row: dict[str, Any] = dict.fromkeys(("completed_at", "final_result", "reason"))
    row |= {"id": session, "target_id": target, "product_id": product, "user_server_id": person}
    row |= {"status": "PENDING", "started_at": now, "updated_at": now, "work_day": day, "source": "inspector"}
    return row | {"accept_ai_ok": 0, "master_version": "", "criteria_snapshot": "[]", "version": 1}


def _change(session: str, person: str | None, version: int, pick: random.Random, day: str) -> dict[str, Any]:
    status = pick.choice(("IN_PROGRESS", "COMPLETED", "COMPLETED", "CANCELLED", "FAILED"))
    final = pick.choice(("OK", "OK", "NG", "REVIEW")) if status == "COMPLETED" else None
    ended = f"{day}T03:{pick.randrange(60):02}:00.000Z" if status != "IN_PROGRESS" else None
    row = {"id": session, "status": status, "final_result": final, "completed_at": ended, "reason": None}
    changed = f"{day}T04:{version:02}:00.000Z"
    return row | {"user_server_id": person, "version": version + 1, "updated_at": changed}


def _image(image: str, session: str, item: str, now: str) -> dict[str, Any]:
    row = {"id": image, "session_id": session, "item_id": item, "image_type": "capture", "file_size": 1}
    row |= {"sha256": "0" * 64, "mime_type": "image/png", "width_px": 1, "height_px": 1, "captured_at": now}
    return row | {"captured_by_server_id": None, "source": "camera", "origin": "", "created_at": now}


def _ai_result(
    session: str, item: str, image: str, result: str, weight: float | None, now: str
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("pipeline_id", "pipeline_version", "pipeline_sha256", "provider"))
    row |= {"id": CLOCK.new_id(), "session_id": session, "item_id": item, "image_id": image}
    row |= {"criteria_sha256": "", "model_sha256s": "[]", "overall_result": result, "confidence": 0.5}
    return row | {
        "processing_time": 0.1,
        "detailed_results": None,
        "sample_weight": weight,
        "created_at": now,
    }


def _verification(
    session: str, item: str | None, person: str, result: str, pick: random.Random, now: str
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("notes", "checks", "region", "supersedes", "image_id"))
    row |= {"id": CLOCK.new_id(), "session_id": session, "item_id": item, "user_server_id": person}
    row |= {
        "final_result": result,
        "reason_code": pick.choice(("scratch", "dent", None)) if result == "NG" else None,
    }
    return row | {"saw_ai": 1, "verification_time": pick.choice((1.5, 4.0)), "created_at": now}


# ── counted by hand ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Verdict:
    device: str
    product: str
    item: str
    day: date
    ai: str
    human: str
    person: str
    weight: float
    seconds: float
    reason: str


def verdicts(plant: Plant) -> Iterator[Verdict]:
    """The present verdict of every item, from all that the devices made."""
    rows = plant.rows
    keys = {
        (row["session_id"], row["item_id"])
        for table in ("ai_inspection_results", "human_verification_results")
        for row in rows.get(table, {}).values()
        if row["item_id"] is not None
    }
    for session_id, item in sorted(keys):
        session = rows["inspection_sessions"][session_id]
        ai = [
            row
            for row in rows["ai_inspection_results"].values()
            if (row["session_id"], row["item_id"]) == (session_id, item)
        ]
        human = [
            row
            for row in rows["human_verification_results"].values()
            if (row["session_id"], row["item_id"]) == (session_id, item)
        ]
        last = max(ai, key=lambda row: (row["image_id"], row["id"])) if ai else None
        said = max(human, key=lambda row: str(row["id"])) if human else None
        yield Verdict(
            plant.owner[session_id],
            session["product_id"],
            item,
            date.fromisoformat(session["work_day"]),
            last["overall_result"] if last else "",
            said["final_result"] if said else "",
            said["user_server_id"] if said else NOBODY,
            (last["sample_weight"] or 1.0) if last else 1.0,
            said["verification_time"] if said else 0.0,
            (said["reason_code"] or "") if said else "",
        )


def is_wanted(wanted: StatisticsFilter, day: date, **values: str) -> bool:
    in_time = (wanted.since_day or date.min) <= day <= (wanted.until_day or date.max)
    return in_time and all(getattr(wanted, name) in (None, value) for name, value in values.items())


def group_of(
    group_by: GroupBy | None, day: date, product: str, item: str, person: str, device: str
) -> tuple[str, ...]:
    names = {
        "day": day.isoformat(),
        "month": day.isoformat()[:7],
        "product": product,
        "item": item,
        "inspector": person,
        "device": device,
    }
    return (names[group_by],) if group_by else ()


def counted_verdicts(plant: Plant, wanted: StatisticsFilter, group_by: GroupBy | None) -> dict[Any, Any]:
    found: dict[Any, list[float]] = {}
    for one in verdicts(plant):
        ids = {"product_id": one.product, "item_id": one.item, "user_id": one.person, "device_id": one.device}
        if is_wanted(wanted, one.day, **ids):
            group = group_of(group_by, one.day, one.product, one.item, one.person, one.device)
            sums = found.setdefault((group, one.ai, one.human), [0, 0.0, 0.0])
            sums[0] += 1
            sums[1] += one.weight
            sums[2] += one.seconds
    return {key: pytest.approx(tuple(sums)) for key, sums in found.items()}


def counted_sessions(plant: Plant, wanted: StatisticsFilter, group_by: GroupBy | None) -> dict[Any, Any]:
    found: dict[Any, list[float]] = {}
    for session_id, row in plant.rows["inspection_sessions"].items():
        day, device = date.fromisoformat(row["work_day"]), plant.owner[session_id]
        person = row["user_server_id"] or NOBODY
        ids = {"product_id": row["product_id"], "user_id": person, "device_id": device}
        if row["status"] not in ("COMPLETED", "CANCELLED", "FAILED") or not is_wanted(wanted, day, **ids):
            continue
        group = group_of(group_by, day, row["product_id"], "", person, device)
        sums = found.setdefault((group, row["status"], row["final_result"] or ""), [0, 0.0])
        sums[0] += 1
        sums[1] += float(row["completed_at"][14:16]) * 60
    return {key: pytest.approx(tuple(sums)) for key, sums in found.items()}


# ── the history ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=[1, 2])
def plant(request: pytest.FixtureRequest, database: Database) -> Plant:
    """Three devices that push at the same time, in a database that holds nothing else."""
    seed = request.param
    with database.write() as tx:
        for table in ("inspection_sessions", "ai_inspection_results", "human_verification_results"):
            tx.execute(f"DELETE FROM {table}".encode())
        recounts.rebuild(tx)
    made = Plant(random.Random(seed), database, [CLOCK.new_id() for _ in range(3)])
    for device in made.devices:
        with database.write() as tx:
            sql = """INSERT INTO devices (device_id, device_type, app_version, token_sha256)
                     VALUES (%s, 'tablet', '', %s)"""
            tx.execute(sql, (device, device))
    histories = {device: [op for _ in range(25) for op in made.inspection(device)] for device in made.devices}
    senders = [
        threading.Thread(
            target=replace(made, random=random.Random(f"{seed}{device}")).send, args=(device, ops)
        )
        for device, ops in histories.items()
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return made


FILTERS = [
    StatisticsFilter(),
    StatisticsFilter(since_day=DAYS[3], until_day=DAYS[-4]),
    StatisticsFilter(since_day=date(2026, 2, 1), until_day=date(2026, 2, 28)),
    StatisticsFilter(since_day=date(2026, 2, 10), until_day=date(2026, 2, 20)),
    StatisticsFilter(since_day=date(2026, 3, 1)),
    StatisticsFilter(product_id=PRODUCTS[0]),
    StatisticsFilter(item_id=ITEMS[PRODUCTS[1]][0], until_day=date(2026, 3, 2)),
    StatisticsFilter(user_id=PEOPLE[0]),
    StatisticsFilter(user_id=NOBODY, product_id=PRODUCTS[1]),
]
GROUPS: list[GroupBy | None] = [None, "day", "month", "product", "item", "inspector", "device"]


@pytest.mark.parametrize("group_by", GROUPS)
def test_verdicts_are_counted_as_by_hand(database: Database, plant: Plant, group_by: GroupBy | None) -> None:
    assert len(plant.rows["ai_inspection_results"]) > 100
    for wanted in (*FILTERS, StatisticsFilter(device_id=plant.devices[0])):
        with database.snapshot() as tx:
            rows = verdict_counts(tx, wanted, (group_by,) if group_by else ())
        found = {
            (row.group, row.ai_result, row.human_result): (
                row.verdict_count,
                row.weight_sum,
                row.verification_time_s,
            )
            for row in rows
        }
        assert found == counted_verdicts(plant, wanted, group_by)


@pytest.mark.parametrize("group_by", [group for group in GROUPS if group != "item"])
def test_sessions_are_counted_as_by_hand(database: Database, plant: Plant, group_by: GroupBy | None) -> None:
    for wanted in (*FILTERS, StatisticsFilter(device_id=plant.devices[1])):
        if wanted.item_id is None:
            with database.snapshot() as tx:
                rows = session_counts(tx, wanted, (group_by,) if group_by else ())
            found = {
                (row.group, row.status, row.final_result): (row.session_count, row.cycle_time_s)
                for row in rows
            }
            assert found == counted_sessions(plant, wanted, group_by)


def test_reasons_are_counted_as_by_hand(database: Database, plant: Plant) -> None:
    for wanted in FILTERS:
        with database.snapshot() as tx:
            found = [tuple(one) for one in reason_counts(tx, wanted)]
        counted: Counter[str] = Counter()
        for one in verdicts(plant):
            ids = {
                "product_id": one.product,
                "item_id": one.item,
                "user_id": one.person,
                "device_id": one.device,
            }
            if one.human == "NG" and is_wanted(wanted, one.day, **ids):
                counted[one.reason] += 1
        assert found == sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))


# ── counting again ──────────────────────────────────────────────────────────────────────────────────────


def test_counting_again_finds_nothing_wrong(database: Database, plant: Plant) -> None:
    with database.snapshot() as tx:
        assert recounts.count_faults(tx) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE verdict_counts SET verdict_count = verdict_count + 1 WHERE grain = 'M' AND level = 0",
        "DELETE FROM session_counts WHERE ctid = (SELECT min(ctid) FROM session_counts WHERE session_count > 0)",
        "UPDATE reason_counts SET reason_code = 'other' WHERE reason_code = 'dent'",
        """INSERT INTO session_counts
           SELECT 'D', 0, false, '2031-01-01', 'd', gen_random_uuid(), gen_random_uuid(), '', '', 1, 0""",
        "UPDATE item_verdicts SET human_result = 'OK' WHERE human_result = 'NG'",
    ],
)
def test_a_wrong_count_is_found_and_mended(database: Database, plant: Plant, damage: str) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as tx:  # noqa: PT012
        tx.execute(damage.encode())
        assert recounts.count_faults(tx)
        recounts.rebuild(tx)
        assert recounts.count_faults(tx) == []
        raise ZeroDivisionError  # the other tests see it as it was


def test_two_people_at_two_devices_judge_one_session(url: str, database: Database, plant: Plant) -> None:
    """The counts stay the session's device's, and the newest judgement holds whoever sends first."""
    session_id = next(iter(plant.rows["inspection_sessions"]))
    home = plant.owner[session_id]
    other = next(device for device in plant.devices if device != home)
    item = ITEMS[plant.rows["inspection_sessions"][session_id]["product_id"]][0]
    pick = random.Random(5)
    rows = [
        _verification(session_id, item, PEOPLE[0], result, pick, f"2026-02-01{NOON}")
        for result in ("NG", "OK")
    ]
    for device, row in ((home, rows[1]), (other, rows[0])):
        plant.send(device, [plant.op(device, "human_verification_results", row)])
    with psycopg.connect(url) as connection:
        sql = "SELECT human_result, device_id FROM item_verdicts WHERE session_id = %s AND item_id = %s"
        assert connection.execute(sql, (session_id, item)).fetchall() == [("OK", home)]
    with database.snapshot() as tx:
        assert recounts.count_faults(tx) == []


# ── periods ─────────────────────────────────────────────────────────────────────────────────────────────

SOME_DAY = st.dates(date(2023, 12, 1), date(2026, 2, 28))


@given(since=SOME_DAY, until=SOME_DAY, by_day=st.booleans())
def test_spans_cover_each_day_once(since: date, until: date, by_day: bool) -> None:
    covered: list[date] = []
    for span in spans(since, until, by_day=by_day):
        assert span.grain == "D" or not by_day
        day = span.low
        while day <= span.high:
            length = 1
            if span.grain == "M":
                assert day.day == 1
                length = ((day + timedelta(31)).replace(day=1) - day).days
            covered += [day + timedelta(number) for number in range(length)]
            day += timedelta(length)
    assert sorted(covered) == [since + timedelta(n) for n in range(max(0, (until - since).days + 1))]


def test_spans_without_an_end_are_months() -> None:
    assert spans(None, None, by_day=False) == [Span("M", date.min, date(9999, 12, 1))]
    assert spans(date(2026, 2, 3), None, by_day=False) == [
        Span("M", date(2026, 3, 1), date(9999, 12, 1)),
        Span("D", date(2026, 2, 3), date(2026, 2, 28)),
    ]
    assert spans(None, date(2026, 2, 3), by_day=False) == [
        Span("M", date.min, date(2026, 1, 1)),
        Span("D", date(2026, 2, 1), date(2026, 2, 3)),
    ]
