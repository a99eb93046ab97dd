"""The page asked for ahead: used where it fits, let go wherever anything changed; never a row that was not accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.inference.worker import InferencePool
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.pages import Pages
from edge_agent.sync.pull import Place
from edge_agent.sync.rounds import begin_again
from sync_protocol import wire
from sync_protocol.messages import Page
from tests.at_once import AtOnce
from tests.sync.conftest import Agent, opened
from tests.sync.fake_central import FakeCentral, new_id, product

ROWS = 30


@pytest.fixture
def agent(tmp_path: Path, pool: InferencePool, central: FakeCentral) -> Iterator[Agent]:
    """An empty agent that looks ahead; the centre has three pages for it."""
    central.rows_per_page = 10
    for number in range(ROWS):
        central.put("inspection_targets_master", product(number))
    (tmp_path / "data").mkdir()
    with opened(tmp_path / "data", pool, central, AtOnce()) as made:
        yield made
        assert made.check() == []


def asked(central: FakeCentral) -> list[int]:
    """The cursors of the masters asked for, in order."""
    return [int(one.split()[2]) for one in central.asked if one.startswith("pull masters")]


def test_the_next_page_is_asked_for_before_the_last_is_staged(agent: Agent) -> None:
    agent.greet()
    assert agent.lane.step()
    assert asked(agent.central) == [0, 10]
    assert agent.rows("pull_pages", "from_cursor") == [(0,)]
    agent.pass_once()
    assert len(agent.rows("inspection_targets_master")) == ROWS


def test_each_page_is_asked_for_once(agent: Agent) -> None:
    agent.greet()
    while agent.lane.step():
        pass
    assert asked(agent.central) == [0, 10, 20]
    assert agent.cursor() == ROWS


def test_a_greeting_lets_go_of_it(agent: Agent) -> None:
    agent.greet()
    agent.lane.step()
    agent.central.change("inspection_targets_master", new_id(15), product_name="新")
    agent.pass_once()
    assert asked(agent.central) == [0, 10, 10, 21]
    assert agent.cursor() == ROWS + 1


def test_what_changes_after_it_was_asked_for_comes_with_the_next_greeting(agent: Agent) -> None:
    agent.greet()
    agent.lane.step()
    agent.central.change("inspection_targets_master", new_id(15), product_name="新")
    while agent.lane.step():
        pass
    agent.pass_once()
    rows = agent.rows("inspection_targets_master", "id, product_name")
    assert (len(rows), rows[15][1]) == (ROWS, "新")


def test_a_resync_lets_go_of_it(agent: Agent) -> None:
    agent.greet()
    agent.lane.step()
    with agent.database.write(local=False) as tx:
        begin_again(tx, "masters", "asked for")
    while agent.lane.step():
        pass
    assert asked(agent.central) == [0, 10, 0, 10, 20]
    assert len(agent.rows("inspection_targets_master")) == ROWS


def test_another_history_in_it_begins_again(agent: Agent) -> None:
    agent.greet()
    agent.central.damage = lambda page: (
        page.model_copy(update={"server_epoch": new_id(99)}) if page.from_cursor else page
    )
    assert agent.lane.step()
    agent.central.damage = None
    assert agent.lane.step()
    assert agent.rows("pull_pages", "from_cursor") == []
    agent.pass_once()
    assert len(agent.rows("inspection_targets_master")) == ROWS


def starts_elsewhere(page: Page) -> Page:
    return page.model_copy(update={"from_cursor": 11}) if page.from_cursor else page


def is_cut(page: Page) -> Page:
    if page.from_cursor:
        raise SyncFailed(Kind.DAMAGED, "reply-damaged", "cut")
    return page


@pytest.mark.parametrize(("damage", "code"), [(starts_elsewhere, "page-damaged"), (is_cut, "reply-damaged")])
def test_a_bad_one_fails_the_step_that_wants_it_and_is_asked_for_again(
    agent: Agent, damage: Callable[[Page], Page], code: str
) -> None:
    agent.greet()
    agent.central.damage = damage
    assert agent.lane.step()
    agent.central.damage = None
    with pytest.raises(SyncFailed) as raised:
        agent.lane.step()
    assert raised.value.code_ == code
    assert agent.rows("pull_pages", "from_cursor") == [(0,)]
    while agent.lane.step():
        pass
    assert asked(agent.central) == [0, 10, 10, 20]
    assert len(agent.rows("inspection_targets_master")) == ROWS


@pytest.mark.parametrize(
    "other",
    [
        Place("masters", 9, new_id(1)),
        Place("decisions", 10, new_id(1)),
        Place("masters", 10, new_id(2)),
        Place("masters", 10),
    ],
)
def test_only_the_very_place_is_answered_by_it(other: Place) -> None:
    central, place = Counting(), Place("masters", 10, new_id(1))
    pages = Pages(central, AtOnce())
    pages.next(replace(place, cursor=9))
    pages.next(other)
    assert central.asked[:3] == [replace(place, cursor=9), place, other]
    central.asked.clear()
    pages.next(replace(place, cursor=9))
    pages.next(place)
    assert central.asked == [replace(place, cursor=9), place, replace(place, cursor=11)]


def test_what_a_page_says_of_another_place_is_not_followed() -> None:
    central = Counting()
    pages = Pages(central, AtOnce())
    for changed in (
        {"space": "decisions"},
        {"from_cursor": 8},
        {"server_epoch": new_id(2)},
        {"to_cursor": 9},
    ):
        central.changed = changed
        pages.next(Place("masters", 9, new_id(1)))
    assert central.asked == [Place("masters", 9, new_id(1))] * 4


def test_rows_that_are_not_those_written_fail_the_step_that_wants_them() -> None:
    central = Counting()
    central.changed = {"rows_sha256": "0" * 64}
    with pytest.raises(SyncFailed) as raised:
        Pages(central, AtOnce()).next(Place("masters", 9, new_id(1)))
    assert (raised.value.code_, raised.value.kind) == ("reply-damaged", Kind.DAMAGED)


class Counting:
    """Answers anything with an empty page that has one after it."""

    def __init__(self) -> None:
        self.asked: list[Place] = []
        self.changed: dict[str, Any] = {}

    def pull(self, space: str, cursor: int, epoch: str, max_bytes: int) -> tuple[wire.PageColumns, bytes]:
        self.asked.append(Place(space, cursor, epoch or None))
        page = Page(
            space=space,
            server_epoch=epoch or new_id(1),
            from_cursor=cursor,
            to_cursor=cursor + 1,
            has_more=True,
            changes=(),
        )
        return wire.page_columns(wire.write_page(page)).model_copy(update=self.changed), b""
