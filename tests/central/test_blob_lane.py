"""The blob lane from a real edge store through the real application into a real object store, faults included."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from central_server.objects import Objects
from central_server.store.database import Database
from edge_agent.clock import Clock
from edge_agent.store import uploads
from edge_agent.sync.lane import Kind, SyncFailed
from sync_protocol.canonical import sha256_hex
from tests.central.blob_site import LARGE, Site, _id_of, failure, some, standing
from tests.central.reach import (
    Fault,
    Killed,
    Through,
    answered,
    flipped,
    killed_after,
    killed_before,
    refused,
    reply_lost,
    truncated,
)
from tests.servers import StoreServer
from tests.waiting import wait_for


@pytest.fixture
def site(database: Database, objects: Objects, tmp_path: Path) -> Iterator[Site]:
    with standing(database, objects, tmp_path) as made:
        yield made


# ── what it is for ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("parallel", [1, 4])
def test_pictures_arrive_and_are_believed_only_then(site: Site, parallel: int) -> None:
    site.parallel = parallel
    site.restarted()
    pictures = some(40)
    ids = {site.picture(data) for data in pictures}
    site.drain()
    assert site.uploaded() == ids
    assert all(site.is_at_the_centre(data) for data in pictures)
    assert (site.troubles(), site.reach.count("store")) == ([], 40)
    assert sum(facts["blobs"] for facts in site.told if isinstance(facts, dict)) == 40
    assert site.lane.step() is False
    assert site.reach.count("store") == 40


def test_the_same_bytes_travel_once(site: Site) -> None:
    [data] = some(1)
    ids = {site.picture(data) for _ in range(30)}
    site.drain()
    ids.add(site.picture(data))
    site.drain()
    assert (site.uploaded(), site.reach.count("store")) == (ids, 1)


def test_pictures_of_what_is_ng_go_first_and_old_ones_are_not_forgotten(site: Site) -> None:
    old = site.picture(b"old and fine")
    site.store.time.now += 7200
    fine = site.picture(b"fine")
    bad = site.picture(b"bad", ng=True)
    with site.store.database.read() as reader:
        due = uploads.due(reader, "", "", 10)
    assert [one.image_id for one in due] == [bad, old, fine]
    site.reach.disturb("store", refused, times=9)
    site.parallel = 1
    site.restarted()
    failure(site)
    order = [one.image_id for one in site.lane._claim().blobs]
    assert order == [old, bad, fine], "an hour's head start, no more"


def test_a_persons_ng_counts_as_well(site: Site) -> None:
    session_id = site.store.add_session()
    image_id = site.store.add_image(session_id)
    site.store.add_verification(session_id, "plate-face", "NG")
    with site.store.database.read() as reader:
        assert [(one.image_id, one.upload_lane) for one in uploads.due(reader, "", "", 9)] == [(image_id, 2)]


def test_a_large_picture_goes_in_parts(site: Site) -> None:
    [data] = some(1, LARGE)
    image_id = site.picture(data)
    site.drain()
    assert site.uploaded() == {image_id}
    assert (site.reach.count("store"), site.is_at_the_centre(data)) == (3, True)


def test_a_step_sends_no_more_parts_than_may_be_in_flight(site: Site) -> None:
    site.parallel = 2
    site.restarted()
    [data] = some(1, LARGE)
    site.picture(data)
    assert site.lane.step() is True
    assert (site.reach.count("store"), site.uploaded()) == (2, set())
    site.drain()
    assert (site.reach.count("store"), site.is_at_the_centre(data)) == (3, True)


# ── cut off ─────────────────────────────────────────────────────────────────────────────────────────────


PLACES = ["/blobs/have", "store", "/blobs/verify"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", [killed_before, killed_after])
def test_killed_at_any_request_the_next_life_finishes(site: Site, place: str, fault: Fault) -> None:
    site.parallel = 1
    site.restarted()
    pictures = some(20)
    ids = {site.picture(data) for data in pictures}
    site.reach.disturb(place, fault)
    with pytest.raises(Killed):
        site.drain()
    assert all(site.is_at_the_centre(data) for data in pictures if _id_of(site, data) in site.uploaded())
    site.restarted()
    site.drain()
    assert site.uploaded() == ids
    assert all(site.is_at_the_centre(data) for data in pictures)


@pytest.mark.parametrize("place", ["/upload", "store", "/complete"])
@pytest.mark.parametrize("fault", [killed_before, killed_after, reply_lost])
def test_a_large_picture_goes_on_where_it_was_cut_off(site: Site, place: str, fault: Fault) -> None:
    site.parallel = 1
    site.restarted()
    [data] = some(1, LARGE)
    image_id = site.picture(data)
    while site.reach.count("store") < 2 and place != "/upload":
        assert site.lane.step()
    site.reach.disturb(place, fault)
    with pytest.raises((Killed, SyncFailed)):
        site.drain()
    site.time.now += 4
    site.restarted()
    site.drain()
    assert (site.uploaded(), site.is_at_the_centre(data)) == ({image_id}, True)
    assert site.reach.sent_bytes == LARGE


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", [reply_lost, truncated])
def test_what_is_lost_on_the_way_costs_a_question_not_the_bytes(site: Site, place: str, fault: Fault) -> None:
    site.parallel = 1
    site.restarted()
    pictures = some(5)
    ids = {site.picture(data) for data in pictures}
    site.reach.disturb(place, fault)
    with suppress(SyncFailed):
        site.drain()
    site.time.now += 4
    site.drain()
    assert site.uploaded() == ids
    assert site.reach.count("store") == 5 + (place == "store" and fault is reply_lost)


# ── refused ─────────────────────────────────────────────────────────────────────────────────────────────


def test_bytes_damaged_on_the_way_are_refused_by_the_store_and_sent_again(site: Site) -> None:
    pictures = some(5)
    ids = {site.picture(data) for data in pictures}
    site.reach.disturb("store", flipped)
    site.drain()
    assert (len(site.uploaded()), site.troubles()) == (4, [("blob-differs", False)])
    site.drain()
    assert len(site.uploaded()) == 4, "not before its time"
    site.time.now += 4
    site.drain()
    assert (site.uploaded(), site.troubles()) == (ids, [])


def test_what_the_store_lost_before_the_proof_is_not_believed(site: Site) -> None:
    pictures = some(5)
    ids = {site.picture(data) for data in pictures}

    def losing(request: httpx.Request, through: Through) -> httpx.Response:
        site.objects.delete(sha256_hex(pictures[2]))
        return through(request)

    site.reach.disturb("/blobs/verify", losing)
    site.drain()
    assert (len(site.uploaded()), site.troubles()) == (4, [("blob-missing", False)])
    site.time.now += 4
    site.drain()
    assert (site.uploaded(), site.is_at_the_centre(pictures[2])) == (ids, True)


def test_a_damaged_part_is_found_in_the_end_and_all_begins_anew(site: Site) -> None:
    [data] = some(1, LARGE)
    image_id = site.picture(data)
    site.reach.disturb("store", flipped)
    site.drain()
    assert (site.uploaded(), site.troubles()) == (set(), [("blob-differs", False)])
    site.time.now += 4
    site.drain()
    assert (site.uploaded(), site.is_at_the_centre(data)) == ({image_id}, True)


def test_an_expired_ticket_is_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {site.picture(data) for data in some(5)}
    with monkeypatch.context() as patched:
        patched.setattr(site.objects, "_clock", Clock(time=lambda: time.time() - 86_400))
        assert site.lane.step() is False
    assert (site.uploaded(), set(site.troubles())) == (set(), {("store-403", False)})
    site.time.now += 4
    site.drain()
    assert (site.uploaded(), site.troubles()) == (ids, [])


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_picture_that_never_gets_through_does_not_hold_up_the_others(site: Site, parallel: int) -> None:
    site.parallel = parallel
    site.restarted()
    poisoned, *others = some(12)
    first = site.picture(poisoned)
    ids = {site.picture(data) for data in others}
    sick = poisoned[:50]

    def poison(request: httpx.Request, through: Through) -> httpx.Response:
        return truncated(request, through) if request.content.startswith(sick) else through(request)

    site.reach.disturb("store", poison, times=500)
    site.drain()
    assert site.uploaded() == ids
    site.reach.mend()
    site.time.now += 600
    site.drain()
    assert first in site.uploaded()


@pytest.mark.parametrize(("code", "status"), [("Slow", 503), ("Broken", 500), ("", 502)])
def test_a_store_in_trouble_is_the_lanes_trouble(site: Site, code: str, status: int) -> None:
    ids = {site.picture(data) for data in some(5)}
    site.reach.disturb("store", answered(status, f"<Code>{code}</Code>"), times=50)
    error = failure(site)
    assert (error.kind, error.code_) == (Kind.TRANSIENT, f"store-{status}")
    assert site.reach.count("store") == 0
    site.reach.mend()
    site.time.now += 600
    site.drain()
    assert site.uploaded() == ids


def test_the_store_goes_down_and_comes_back(site: Site, store_server: StoreServer) -> None:
    first = {site.picture(data) for data in some(3)}
    site.drain()
    pictures = some(3)
    second = {site.picture(data) for data in pictures}
    store_server.stop()
    try:
        error = failure(site)
        assert error.kind is Kind.TRANSIENT, "not offline: the server was there, and rows go on"
        assert site.uploaded() == first
    finally:
        store_server.start()

    def is_through() -> bool:
        site.time.now += 600
        try:
            site.drain()
        except SyncFailed:
            return False
        return site.uploaded() == first | second

    wait_for(is_through)
    assert all(site.is_at_the_centre(data) for data in pictures)


def test_a_token_that_is_refused_is_told_as_such(site: Site) -> None:
    site.picture(b"one")
    site.token = "revoked"
    site.restarted()
    assert failure(site).kind is Kind.AUTH
    assert site.troubles() == []


# ── what is wrong here ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [3000, LARGE])
def test_a_file_that_was_changed_never_leaves(site: Site, size: int) -> None:
    good, bad = some(2, size)
    kept, changed = site.picture(good), site.picture(bad)
    file = site.file_of(changed)
    file.write_bytes(bad[:-1] + b"?" if bad[-1:] != b"?" else bad[:-1] + b"!")
    site.drain()
    assert (site.uploaded(), site.troubles()) == ({kept}, [("image-changed", True)])
    with site.store.database.write() as tx:
        assert uploads.count_dead(tx) == 1
        [dead] = uploads.list_dead(tx, 9)
        assert (dead.sha256, uploads.revive(tx, sha256=dead.sha256)) == (sha256_hex(bad), 1)
    file.write_bytes(bad)
    site.drain()
    assert (site.uploaded(), site.troubles()) == ({kept, changed}, [])


def test_a_file_that_is_gone_is_told_and_the_rest_goes_on(site: Site) -> None:
    ids = [site.picture(data) for data in some(3)]
    site.file_of(ids[1]).unlink()
    site.drain()
    assert (site.uploaded(), site.troubles()) == ({ids[0], ids[2]}, [("image-missing", True)])


# ── the centre forgets ──────────────────────────────────────────────────────────────────────────────────


def test_after_a_restore_of_the_centre_only_what_it_lost_is_sent_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "WINDOW", 4)
    pictures = some(6)
    ids = {site.picture(data) for data in pictures}
    site.drain()
    site.objects.delete(sha256_hex(pictures[2]))
    with site.store.database.write() as tx:
        assert [uploads.doubt(tx) for _ in range(3)] == [4, 2, 0]
    site.drain()
    assert (site.uploaded(), site.reach.count("store")) == (ids, 7)
    assert site.is_at_the_centre(pictures[2])


# ── size ────────────────────────────────────────────────────────────────────────────────────────────────


def test_memory_does_not_grow_with_the_backlog(site: Site) -> None:
    """Measured at the store's border: no more than what is in flight is ever held."""
    size, count = 1 << 20, 96
    for _ in range(count):
        site.picture(os.urandom(size))
    tracemalloc.start()
    try:
        site.drain()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(site.uploaded()) == count
    assert peak < 40 * size
