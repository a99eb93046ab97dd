"""The counts are right at every instant: before what was pushed is folded into them, meanwhile and afterwards."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from central_server.daemon.building import scheduled
from central_server.store import recounts
from central_server.store.database import Database
from central_server.store.folding import fold_counts
from central_server.store.statistics import (
    StatisticsFilter,
    reason_counts,
    session_counts,
    verdict_counts,
)
from tests.central.caller import ADMIN_TOKEN, Caller, services_on
from tests.central.devices import Device, undone
from tests.central.plant import Plant
from tests.waiting import wait_for


@pytest.fixture
def plant(database: Database, device: Device) -> Plant:
    """A device that has sent thirty inspections, in a database where nothing else waits."""
    fold_counts(database)
    made = Plant(random.Random(7), database, [device.device_id])
    send(made, 30)
    assert waiting(database) > 100
    return made


def send(plant: Plant, inspections: int) -> None:
    (device,) = plant.devices
    plant.send(device, [op for _ in range(inspections) for op in plant.inspection(device)])


def waiting(database: Database) -> int:
    """How many changes are not folded in yet."""
    with database.read() as connection:
        sql = "SELECT (SELECT count(*) FROM verdict_changes) + (SELECT count(*) FROM session_changes)"
        ((found,),) = connection.execute(sql).fetchall()
    return int(str(found))


def figures(database: Database, plant: Plant) -> tuple[Any, ...]:
    """Everything that statistics say of the plant's device by day; its numbers are such that no sum is rounded."""
    with database.snapshot() as tx:
        return figures_in(tx, plant)


def figures_in(tx: Any, plant: Plant) -> tuple[Any, ...]:
    wanted = StatisticsFilter(device_id=plant.devices[0])
    return (
        verdict_counts(tx, wanted, ("day",)),
        session_counts(tx, wanted, ("day",)),
        reason_counts(tx, wanted),
    )


def require_sound(database: Database) -> None:
    with database.snapshot() as tx:
        assert recounts.count_faults(tx) == []


def test_a_push_is_in_the_statistics_once_it_is_answered(
    client: TestClient, caller: Caller, device: Device
) -> None:
    """Over HTTP: nothing has been folded in, then everything, then there is more."""

    def asked() -> tuple[int, int]:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        query = {"device_id": device.device_id}
        answers = [
            client.get(f"/api/v1/statistics/{name}", params=query, headers=headers).json()["total"]
            for name in ("yield", "agreement")
        ]
        return answers[0]["completed"], answers[1]["judged"]

    assert asked() == (0, 0)
    for number in (1, 2, 3):
        device.store.inspect()
        caller.pushed(device.outbox())
        assert asked() == (number, 2 * number)
        if number == 2:
            assert fold_counts(device.database) > 0
            assert asked() == (number, 2 * number)
    assert waiting(device.database) > 0


def test_folding_changes_no_figure(database: Database, plant: Plant) -> None:
    before = figures(database, plant)
    assert all(before)
    require_sound(database)
    assert fold_counts(database) > 100
    assert waiting(database) == 0
    assert figures(database, plant) == before
    require_sound(database)
    assert fold_counts(database) == 0


def test_what_is_folded_and_what_waits_add_up(database: Database, plant: Plant) -> None:
    """Corrections of what is folded in already are changes like others."""
    fold_counts(database)
    send(plant, 20)
    with database.write() as tx:
        tx.execute("UPDATE item_verdicts SET reason_code = 'dent' WHERE reason_code = 'scratch'")
        tx.execute("UPDATE human_verification_results SET reason_code = 'dent' WHERE reason_code = 'scratch'")
    before = figures(database, plant)
    assert {one.reason_code for one in before[2]} == {"", "dent"}
    require_sound(database)
    fold_counts(database)
    assert figures(database, plant) == before
    require_sound(database)


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_a_bounded_number_of_changes_is_taken_at_once(database: Database, plant: Plant, at_once: int) -> None:
    before, there = figures(database, plant), waiting(database)
    with undone(database) as tx:
        ((taken,),) = tx.execute("SELECT fold_counts(%s)", (at_once,)).fetchall()
        assert 0 < int(str(taken)) <= min(2 * at_once, there)
        assert figures_in(tx, plant) == before
    assert waiting(database) == there
    assert fold_counts(database, at_once) == there
    assert figures(database, plant) == before


@pytest.fixture
def folding(url: str, database: Database, plant: Plant) -> Iterator[psycopg.Connection[Any]]:
    """Another server, in the middle of folding everything."""
    with psycopg.connect(url) as other:
        other.execute("SELECT fold_counts(NULL)")
        yield other
        if not other.closed:
            other.rollback()


def test_a_fold_that_is_killed_has_not_been(
    database: Database, plant: Plant, folding: psycopg.Connection[Any]
) -> None:
    before, there = figures(database, plant), waiting(database)
    with database.write() as tx:
        tx.execute("SELECT pg_terminate_backend(%s, 10000)", (folding.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        folding.execute("SELECT 1")
    assert waiting(database) == there
    assert figures(database, plant) == before
    assert fold_counts(database) == there
    assert figures(database, plant) == before
    require_sound(database)


def test_nobody_waits_for_a_fold(database: Database, plant: Plant, folding: psycopg.Connection[Any]) -> None:
    """Devices push and people read beside it; another server that would fold finds nothing to do."""
    send(plant, 5)
    pushed = figures(database, plant)
    require_sound(database)
    assert fold_counts(database) == 0
    folding.commit()
    assert waiting(database) > 0
    assert figures(database, plant) == pushed
    require_sound(database)
    fold_counts(database)
    assert figures(database, plant) == pushed


def test_who_began_to_read_before_a_fold_sees_the_same_after_it(database: Database, plant: Plant) -> None:
    with database.snapshot() as tx:
        before = figures_in(tx, plant)
        assert fold_counts(database) > 0
        assert figures_in(tx, plant) == before
        assert recounts.count_faults(tx) == []


def test_a_batch_that_is_not_committed_is_folded_the_next_time(database: Database, plant: Plant) -> None:
    with undone(database) as tx:
        tx.execute("UPDATE item_verdicts SET human_result = 'OK'")
        within = figures_in(tx, plant)
        fold_counts(database)
        assert figures_in(tx, plant) == within
    assert waiting(database) == 0
    require_sound(database)


def test_servers_that_fold_at_the_same_time_count_everything_once(database: Database, plant: Plant) -> None:
    done = threading.Event()
    failures: list[Exception] = []

    def fold() -> None:
        try:
            while not done.wait(0.001):
                fold_counts(database, 20)
        except Exception as error:
            failures.append(error)

    servers = [threading.Thread(target=fold) for _ in range(3)]
    for server in servers:
        server.start()
    send(plant, 30)
    done.set()
    for server in servers:
        server.join()
    assert failures == []
    before = figures(database, plant)
    require_sound(database)
    fold_counts(database)
    assert waiting(database) == 0
    assert figures(database, plant) == before
    require_sound(database)


def test_counting_again_forgets_what_waits(database: Database, plant: Plant) -> None:
    before = figures(database, plant)
    with database.write() as tx:
        recounts.rebuild(tx)
    assert waiting(database) == 0
    assert figures(database, plant) == before
    require_sound(database)


def test_a_server_folds_by_itself(database: Database, plant: Plant, tmp_path: Path) -> None:
    with services_on(database, tmp_path) as services, scheduled(services, fold_s=0.05):
        wait_for(lambda: waiting(database) == 0)
    require_sound(database)
