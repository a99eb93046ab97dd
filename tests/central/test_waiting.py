"""Devices that wait for changes: who is woken, and how many at a time."""

from __future__ import annotations

import asyncio
import resource

import pytest

from central_server.api.waiting import SPACING_S, Waiting
from central_server.daemon.serving import KEEP_ALIVE_S, allow_files
from central_server.errors import Unavailable
from central_server.store.listening import Heads
from edge_agent.sync.client import KEPT_IDLE_S

MANY = 20
SOON_S = 60.0


def heads(version: int, epoch: str = "e") -> Heads:
    return Heads(epoch, {"masters": version, "decisions": 1})


async def never() -> None:
    """The departure of a device that stays."""
    await asyncio.Event().wait()


def test_those_who_wait_are_let_go_one_after_the_other() -> None:
    async def play() -> list[float]:
        waiting, loop = Waiting(MANY), asyncio.get_running_loop()
        waiting.publish(heads(1))

        async def wait() -> float:
            assert (await waiting.until("masters", 1, SOON_S, never)).by_space["masters"] == 2
            return loop.time()

        tasks = [asyncio.create_task(wait()) for _ in range(MANY)]
        while len(waiting) < MANY:
            await asyncio.sleep(0)
        began = loop.time()
        waiting.publish(heads(2))
        return sorted(at - began for at in await asyncio.gather(*tasks))

    for place, after in enumerate(asyncio.run(play())):
        assert after >= place * SPACING_S * 0.99, "a device went before its turn"


def test_only_those_with_news_are_woken() -> None:
    async def play() -> None:
        waiting = Waiting(MANY)
        waiting.publish(heads(1))
        asked = {("masters", 1): 2, ("masters", 2): 1, ("decisions", 1): 1}
        tasks = {one: asyncio.create_task(waiting.until(*one, SOON_S, never)) for one in asked}
        while len(waiting) < len(tasks):
            await asyncio.sleep(0)
        waiting.publish(heads(2))
        assert await tasks["masters", 1] == heads(2)
        assert len(waiting) == 2
        waiting.publish(heads(2, "another"))
        assert [await task for task in tasks.values()] == [heads(2), heads(2, "another"), heads(2, "another")]
        assert len(waiting) == 0

    asyncio.run(play())


def test_who_has_gone_is_waited_for_no_longer() -> None:
    async def play() -> None:
        waiting, gone = Waiting(MANY), asyncio.Event()
        waiting.publish(heads(1))

        async def departure() -> None:
            await gone.wait()

        stays = asyncio.create_task(waiting.until("masters", 1, SOON_S, never))
        leaves = asyncio.create_task(waiting.until("masters", 1, SOON_S, departure))
        while len(waiting) < 2:
            await asyncio.sleep(0)
        gone.set()
        await leaves
        assert (len(waiting), stays.done()) == (1, False)
        waiting.publish(heads(2))
        assert await stays == heads(2)

    asyncio.run(play())


def test_everybody_is_let_go_when_the_server_stops() -> None:
    async def play() -> None:
        waiting = Waiting(MANY)
        waiting.publish(heads(1))
        tasks = [asyncio.create_task(waiting.until("masters", 1, SOON_S, never)) for _ in range(MANY)]
        while len(waiting) < MANY:
            await asyncio.sleep(0)
        waiting.close()
        assert await asyncio.gather(*tasks) == [heads(1)] * MANY

    asyncio.run(play())


def test_nothing_is_said_of_a_database_that_was_never_reached() -> None:
    with pytest.raises(Unavailable, match="not been reached"):
        asyncio.run(Waiting(1).until("masters", 0, 0, never))


def test_the_server_keeps_an_idle_connection_longer_than_a_device() -> None:
    """Else a device would write to a connection that the server closes at that moment."""
    assert KEEP_ALIVE_S > KEPT_IDLE_S


def test_the_server_lets_itself_have_as_many_connections_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = before[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 2, hard))
        allow_files(hard - 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard - 1, hard)
        allow_files(hard + 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        allow_files(1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
