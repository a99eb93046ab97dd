"""Rounds of the blob lane that overlap: what is where when, and what is lost when something breaks meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import httpx
import pytest

from central_server.objects import Objects
from central_server.store.database import Database
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.uploads import STEP_S
from tests.central.blob_site import Site, failure, some, standing
from tests.central.reach import Fault, Killed, Through, answered, killed_after, refused, reply_lost


@pytest.fixture
def site(database: Database, objects: Objects, tmp_path: Path) -> Iterator[Site]:
    with standing(database, objects, tmp_path) as made:
        yield made


def in_order(site: Site, count: int) -> set[str]:
    """So many pictures, to be sent by a lane whose rounds of 8 follow each other on one thread; their ids."""
    site.parallel, site.first = 1, 8
    site.restarted()
    return {site.picture(data) for data in some(count)}


def test_the_next_round_is_on_its_way_before_the_last_one_is_verified(site: Site) -> None:
    ids = in_order(site, 20)
    assert site.lane.step() is False
    rounds = [place for place, _ in groupby(site.reach.log)]
    have, sent, verify = "POST /blobs/have", "PUT store", "POST /blobs/verify"
    assert rounds == [have, sent, have, sent, verify, have, sent, verify]
    assert site.uploaded() == ids


@pytest.mark.parametrize("fault", [reply_lost, refused, killed_after])
def test_two_rounds_without_an_answer_are_the_most(site: Site, fault: Fault) -> None:
    ids = in_order(site, 40)
    site.reach.disturb("/blobs/verify", fault)
    with pytest.raises((Killed, SyncFailed)):
        site.drain()
    assert (site.reach.count("store"), site.uploaded()) == (16, set())
    if fault is killed_after:
        site.restarted()
    site.drain()
    assert site.uploaded() == ids
    sent_twice = 8 if fault is killed_after else 0  # the round behind, of which a new life knows nothing
    assert site.reach.count("store") == 40 + sent_twice


def test_a_server_that_goes_while_a_round_is_on_its_way_costs_no_bytes(site: Site) -> None:
    ids = in_order(site, 20)

    def second(request: httpx.Request, through: Through) -> httpx.Response:
        site.reach.disturb("/blobs/have", refused)
        return through(request)

    site.reach.disturb("/blobs/have", second)
    assert failure(site).kind is Kind.OFFLINE
    site.drain()
    assert (site.uploaded(), site.reach.count("store")) == (ids, 20)


def test_a_store_that_fails_twice_in_the_second_round_gets_no_more_of_it(site: Site) -> None:
    ids = in_order(site, 40)

    def later(request: httpx.Request, through: Through) -> httpx.Response:
        if site.reach.count("store") < 9:
            site.reach.disturb("store", later)
        else:
            site.reach.disturb("store", answered(503), times=40)
        return through(request)

    site.reach.disturb("store", later)
    assert site.lane.step() is True, "others got through"
    assert (len(site.uploaded()), site.reach.count("store")) == (10, 10)
    assert site.troubles() == [("store-503", False)] * 2
    site.reach.mend()
    site.time.now += 600
    site.drain()
    assert site.uploaded() == ids


def test_what_a_failing_store_was_spared_is_due_at_once(site: Site) -> None:
    in_order(site, 8)

    def first(request: httpx.Request, through: Through) -> httpx.Response:
        site.reach.disturb("store", answered(503), times=2)
        return through(request)

    site.reach.disturb("store", first)
    assert site.lane.step() is True
    assert (len(site.uploaded()), site.reach.count("store")) == (1, 1)


@pytest.mark.parametrize("asking_s", [0.0, 60.0])
def test_a_slow_link_ends_a_step_in_the_middle_of_a_round(site: Site, asking_s: float) -> None:
    ids = in_order(site, 20)

    def slow(seconds: float) -> Fault:
        def after(request: httpx.Request, through: Through) -> httpx.Response:
            site.time.now += seconds
            return through(request)

        return after

    site.reach.disturb("/blobs/have", slow(asking_s), times=10)
    site.reach.disturb("store", slow(STEP_S / 3 + 0.1), times=20)
    assert site.lane.step() is True
    assert (len(site.uploaded()), site.reach.count("store")) == (3, 3)
    site.drain()
    assert (site.uploaded(), site.reach.count("store")) == (ids, 20)
