"""Retention on a real store: what goes, in which order, and above all what never goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.check import run_check
from edge_agent.clock import Clock
from edge_agent.store import evictions
from edge_agent.sync import retention
from edge_agent.sync.retention import DAY_S, Keep, Retention, plan_keep
from tests.store_factory import Store

DAYS = 30
CLOSED = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass
class Disk:
    percent: float = 50.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    made.add_masters()
    yield made
    made.close()


def keeper(store: Store, disk: Disk | None = None) -> Retention:
    used = disk or Disk()
    clock = Clock(time=lambda: store.time.now)
    return Retention(
        store.database, store.blobs, clock, retention_days=DAYS, used_percent=lambda: used.percent
    )


def picture(store: Store, *, ai: str = "OK", status: str = "COMPLETED", state: str = "inspected") -> str:
    """A picture whose row is acknowledged and whose bytes are at the centre."""
    session_id = store.add_session()
    image_id = store.add_image(session_id, state=state)
    if state == "inspected":
        store.add_ai_result(session_id, image_id, ai)
    store.move(session_id, status, "OK" if status == "COMPLETED" else None)
    with store.database.write(local=False) as tx:
        tx.execute("UPDATE sync_queue SET processed_at = 'then' WHERE processed_at IS NULL")
        tx.execute("UPDATE inspection_images SET uploaded_at = 'then' WHERE id = ?", (image_id,))
    return image_id


def change(store: Store, sql: str, *values: object) -> None:
    with store.database.write(local=False) as tx:
        tx.execute(sql, values)


def here(store: Store) -> set[str]:
    return {path.stem for path in (store.data_dir / "images").rglob("*.png")}


def evicted(store: Store) -> set[str]:
    with store.database.read() as reader:
        return {
            row[0] for row in reader.execute("SELECT id FROM inspection_images WHERE evicted_at IS NOT NULL")
        }


def later(store: Store, days: float) -> None:
    store.time.now += days * DAY_S


def findings(store: Store) -> list[str]:
    with store.database.read() as reader:
        return [one.code for one in run_check(store.config, reader, now_s=store.time.now)]


# ── what goes ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_safe_at_the_centre_goes_when_its_time_is_over(store: Store) -> None:
    old, young = picture(store), None
    later(store, DAYS - 1)
    young = picture(store)
    assert keeper(store).run().files == 0
    later(store, 2)
    done = keeper(store).run()
    assert (done.files, done.size_bytes > 0) == (1, True)
    assert (here(store), evicted(store), findings(store)) == ({young}, {old}, [])


@pytest.mark.parametrize("status", CLOSED)
def test_every_way_to_close_a_session_counts(store: Store, status: str) -> None:
    picture(store, status=status)
    later(store, DAYS + 1)
    assert keeper(store).run().files == 1


def test_ok_goes_before_ng(store: Store) -> None:
    bad, good = picture(store, ai="NG"), picture(store)
    later(store, DAYS + 1)
    worker = keeper(store)
    worker.step()
    assert (here(store), evicted(store)) == ({bad}, {good})
    worker.step()
    assert here(store) == set()


def test_many_go_in_small_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_FILES", 2)
    for _ in range(5):
        picture(store)
    later(store, DAYS + 1)
    worker = keeper(store)
    assert [worker.step().files for _ in range(4)] == [2, 2, 1, 0]
    assert (here(store), findings(store)) == (set(), [])


# ── what never goes ─────────────────────────────────────────────────────────────────────────────────────

HINDRANCES = {
    "not uploaded": "UPDATE inspection_images SET uploaded_at = NULL WHERE id = ?",
    "row not acknowledged": "UPDATE sync_queue SET processed_at = NULL WHERE entity_id = ?",
    "row given up": "UPDATE sync_queue SET processed_at = NULL, dead_at = 'then' WHERE entity_id = ?",
    "inspection pending": "UPDATE inspection_images SET state = 'inspecting' WHERE id = ?",
}


@pytest.mark.parametrize("hindrance", HINDRANCES)
@pytest.mark.parametrize("percent", [50.0, 85.0, 92.0, 99.0])
def test_nothing_unsent_goes_however_full_the_disk(store: Store, hindrance: str, percent: float) -> None:
    kept, other = picture(store), picture(store)
    change(store, HINDRANCES[hindrance], kept)
    later(store, 400)
    assert keeper(store, Disk(percent)).run().files == 1
    assert (here(store), evicted(store)) == ({kept}, {other})


@pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS", "AI_COMPLETED", "HUMAN_REVIEW"])
def test_an_open_session_keeps_its_pictures(store: Store, status: str) -> None:
    kept = picture(store, status=status)
    later(store, 400)
    assert keeper(store, Disk(99.0)).run().files == 0
    assert here(store) == {kept}


def test_a_purged_outbox_counts_as_acknowledged(store: Store) -> None:
    picture(store)
    change(store, "DELETE FROM sync_queue")
    later(store, DAYS + 1)
    assert keeper(store).run().files == 1


AGES = (0.0, 2.0, 20.0, 40.0)
STATE = st.fixed_dictionaries(
    {
        "is_uploaded": st.booleans(),
        "is_acknowledged": st.booleans(),
        "is_dead": st.booleans(),
        "status": st.sampled_from(("PENDING", "IN_PROGRESS", "HUMAN_REVIEW", *CLOSED)),
        "ai": st.sampled_from(("OK", "NG")),
        "age_days": st.sampled_from(AGES),
    }
)


@settings(max_examples=60)
@given(states=st.lists(STATE, min_size=1, max_size=8), percent=st.floats(0, 100))
def test_only_what_is_proven_closed_and_old_enough_ever_goes(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, object]], percent: float
) -> None:
    store = Store(tmp_path_factory.mktemp("edge"))
    store.add_masters()
    began = store.time.now
    may_go, hindered = set(), list[tuple[str, str]]()
    keep = plan_keep(DAYS, percent)
    for state in sorted(states, key=lambda one: -float(str(one["age_days"]))):
        store.time.now = began + (max(AGES) - float(str(state["age_days"]))) * DAY_S
        image_id = picture(store, ai=str(state["ai"]), status=str(state["status"]))
        if not state["is_uploaded"]:
            hindered.append(("not uploaded", image_id))
        if not state["is_acknowledged"]:
            hindered.append(("row given up" if state["is_dead"] else "row not acknowledged", image_id))
        kept_s = keep.ng_s if state["ai"] == "NG" else keep.ok_s
        is_safe = state["is_uploaded"] and state["is_acknowledged"] and state["status"] in CLOSED
        if is_safe and (kept_s == 0 or float(str(state["age_days"])) * DAY_S > kept_s):
            may_go.add(image_id)
    for hindrance, image_id in hindered:
        change(store, HINDRANCES[hindrance], image_id)
    store.time.now = began + max(AGES) * DAY_S + 600
    everything = here(store)
    keeper(store, Disk(percent)).run()
    gone = everything - here(store)
    assert gone == evicted(store) == may_go
    store.close()


# ── how long ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_fuller_the_disk_the_shorter_and_ok_never_outlives_ng() -> None:
    levels = [plan_keep(DAYS, percent) for percent in (0, 79.9, 80, 90, 95, 100)]
    assert levels[0] == levels[1] == Keep(DAYS * DAY_S, DAYS * DAY_S)
    assert levels[2] == Keep(DAYS * DAY_S / 2, DAYS * DAY_S)
    assert levels[3] == Keep(DAY_S, DAYS * DAY_S / 2)
    assert levels[4] == levels[5] == Keep(0, 0)
    for one, fuller in pairwise(levels):
        assert fuller.ok_s <= one.ok_s
        assert fuller.ng_s <= one.ng_s
    for days, percent in product((0, 1, 30, 400), range(0, 101, 5)):
        keep = plan_keep(days, percent)
        assert keep.ok_s <= keep.ng_s <= days * DAY_S


def test_pictures_from_a_clock_that_ran_ahead_make_room_too(store: Store) -> None:
    store.time.now += 5 * 365 * DAY_S
    picture(store)
    store.time.now -= 5 * 365 * DAY_S
    disk = Disk()
    assert keeper(store, disk).run().files == 0
    disk.percent = 96.0
    assert keeper(store, disk).run().files == 1


# ── cut off ─────────────────────────────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    pass


def test_a_crash_between_row_and_file_leaves_a_file_that_the_next_life_removes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {picture(store) for _ in range(3)}
    later(store, DAYS + 1)
    real, removed = Path.unlink, list[Path]()

    def unlink_one_and_die(path: Path, missing_ok: bool = False) -> None:
        if removed:
            raise Killed
        removed.append(path)
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink_one_and_die)
        with pytest.raises(Killed):
            keeper(store).run()
    assert (evicted(store), len(here(store))) == (ids, 2)
    assert findings(store) == []
    assert keeper(store).step().files == 0
    assert here(store) == set()


def test_a_crash_before_the_decision_is_durable_removes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = picture(store)
    later(store, DAYS + 1)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(evictions, "evict", die)
        with pytest.raises(Killed):
            keeper(store).run()
    assert (here(store), evicted(store), findings(store)) == ({kept}, set(), [])
