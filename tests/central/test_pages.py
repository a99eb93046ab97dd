"""A page is read and packed once for all who ask from the same place, and never for anybody who asks from another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from central_server.errors import Refused, Unavailable
from central_server.pages import KEPT_S, Pages
from central_server.store.database import Database
from edge_agent.clock import Clock
from sync_protocol.messages import Page
from sync_protocol.wire import read_page, unpack
from tests.central.devices import CLOCK
from tests.central.test_changes import add_user, start

MAX_BYTES = 1 << 20
MANY = 8
Asked = Callable[..., bytes]


class Site:
    """Two users were added since `cursor`; time passes when the test says so."""

    def __init__(self, database: Database) -> None:
        self.database, self.now_s = database, 0.0
        self.cursor, self.epoch = start(database)
        self.add()
        self.add()
        self.pages = self.opened()

    def opened(self, kept_bytes: int = MAX_BYTES) -> Pages:
        return Pages(self.database, Clock(monotonic=lambda: self.now_s), kept_bytes)

    def add(self) -> None:
        with self.database.write() as tx:
            add_user(tx)

    def ask(self, after: int = 0, max_bytes: int = MAX_BYTES, encoding: str = "zstd") -> bytes:
        return self.pages.packed("masters", self.cursor + after, self.epoch, max_bytes, encoding)


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


def page_in(body: bytes, encoding: str = "zstd") -> Page:
    return read_page(unpack(body, encoding))


def test_all_who_ask_at_once_get_the_same_bytes(site: Site) -> None:
    with ThreadPoolExecutor(MANY) as pool:
        bodies = list(pool.map(lambda _: site.ask(), range(MANY)))
    assert len({id(body) for body in bodies}) == 1
    assert [change.version - site.cursor for change in page_in(bodies[0]).changes] == [1, 2]


def test_who_asks_from_another_place_gets_another_page(site: Site) -> None:
    bodies = [site.ask(), site.ask(after=1), site.ask(max_bytes=1)]
    told = [(page.from_cursor - site.cursor, page.to_cursor - site.cursor) for page in map(page_in, bodies)]
    assert told == [(0, 2), (1, 2), (0, 1)]
    assert page_in(site.ask(encoding=""), "") == page_in(bodies[0])


def test_what_was_kept_is_no_answer_once_the_space_went_on(site: Site) -> None:
    assert len(page_in(site.ask()).changes) == 2
    site.add()
    assert len(page_in(site.ask()).changes) == 3


def test_a_page_is_kept_for_a_few_seconds(site: Site) -> None:
    body = site.ask()
    site.now_s = KEPT_S / 2
    assert site.ask() is body
    site.now_s = KEPT_S
    assert site.ask() is not body


def test_only_so_many_bytes_are_kept(site: Site) -> None:
    size = len(site.ask())
    site.pages = site.opened(size)
    first = site.ask()
    assert site.ask() is first
    other = site.ask(after=1)
    assert site.ask(after=1) is other
    assert site.ask() is not first


@pytest.mark.parametrize("of_another", ["epoch", "cursor"])
def test_who_cannot_go_on_is_told_so_whatever_was_kept(site: Site, of_another: str) -> None:
    site.ask()
    if of_another == "epoch":
        site.epoch = CLOCK.new_id()
    with pytest.raises(Refused, match="cannot be continued"):
        site.ask(after=0 if of_another == "epoch" else 99)


def test_a_page_that_could_not_be_made_is_made_for_the_next_who_asks(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Page:
        raise Unavailable("database-unavailable", "It is away.")

    with monkeypatch.context() as patched:
        patched.setattr("central_server.store.changes.pull", away)
        with pytest.raises(Unavailable):
            site.ask()
    assert len(page_in(site.ask()).changes) == 2
