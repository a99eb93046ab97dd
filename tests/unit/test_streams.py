"""Following what happens, from several windows, across lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from edge_agent.api.streams import MAX_BEHIND, Streams, seq_of
from edge_agent.events import KEPT, Events
from tests.waiting import WAIT_S


async def read(stream: AsyncIterator[bytes], count: int) -> list[str]:
    return [(await asyncio.wait_for(anext(stream), WAIT_S)).decode() for _ in range(count)]


def test_every_window_gets_every_event() -> None:
    async def scenario() -> None:
        events = Events()
        streams = Streams(events, "run1")
        windows = [streams.follow(None), streams.follow(None)]
        for window in windows:
            assert (await read(window, 1))[0].startswith(": stream")
        await asyncio.to_thread(events.publish, "session", {"session_id": "s1"})
        for window in windows:
            assert await read(window, 1) == ['id: run1-1\nevent: session\ndata: {"session_id": "s1"}\n\n']
        assert len(streams) == 2

    asyncio.run(scenario())


def test_a_window_that_comes_back_gets_what_it_missed() -> None:
    async def scenario() -> None:
        events = Events()
        for number in range(3):
            events.publish("image", {"n": number})
        stream = Streams(events, "run1").follow("run1-1")
        _, second, third = await read(stream, 3)
        assert 'data: {"n": 1}' in second
        assert 'data: {"n": 2}' in third

    asyncio.run(scenario())


@pytest.mark.parametrize("last_id", ["run0-2", "run1-1", "nonsense", "", "run1-99999999999999999999"])
def test_a_window_that_missed_too_much_is_told_to_read_afresh(last_id: str) -> None:
    async def scenario() -> None:
        events = Events()
        for number in range(KEPT + 5):
            events.publish("image", {"n": number})
        _, first = await read(Streams(events, "run1").follow(last_id), 2)
        assert first == "event: reset\ndata: {}\n\n"

    asyncio.run(scenario())


def test_silence_is_filled_with_heartbeats() -> None:
    async def scenario() -> None:
        _, beat = await read(Streams(Events(), "run1").follow(None, heartbeat_s=0.001), 2)
        assert beat == ": alive\n\n"

    asyncio.run(scenario())


def test_a_window_that_does_not_keep_up_is_cut_off_and_the_others_are_not() -> None:
    async def scenario() -> None:
        events = Events()
        slow = Streams(events, "run1").follow(None)
        await read(slow, 1)
        for number in range(MAX_BEHIND + 1):
            events.publish("image", {"n": number})
        await asyncio.sleep(0)
        assert [frame async for frame in slow] == []

    asyncio.run(scenario())


def test_closing_ends_every_stream() -> None:
    async def scenario() -> None:
        events = Events()
        streams = Streams(events, "run1")
        window = streams.follow(None)
        await read(window, 1)
        await asyncio.to_thread(streams.close)
        assert [frame async for frame in window] == []
        assert len(streams) == 0

    asyncio.run(scenario())


def test_what_was_published_before_the_end_is_still_told() -> None:
    async def scenario() -> None:
        events = Events()
        streams = Streams(events, "run1")
        window = streams.follow(None)
        await read(window, 1)
        events.publish("image", {"n": 1})
        events.publish("image", {"n": 2})
        streams.close()
        assert [frame.partition(b"data: ")[2] async for frame in window] == [b'{"n": 1}\n\n', b'{"n": 2}\n\n']

    asyncio.run(scenario())


def test_a_window_that_opens_after_the_end_is_closed_at_once() -> None:
    async def scenario() -> None:
        streams = Streams(Events(), "run1")
        streams.close()
        assert [frame async for frame in streams.follow(None)] == [b": stream\nretry: 2000\n\n"]

    asyncio.run(scenario())


def test_a_blind_window_is_not_told_what_the_ai_found() -> None:
    async def scenario() -> None:
        events = Events()
        stream = Streams(events, "run1").follow(None, is_blind=True)
        await read(stream, 1)
        events.publish("verdict", {"image_id": "i", "overall_result": "NG"})
        assert "NG" not in (await read(stream, 1))[0]

    asyncio.run(scenario())


def test_ids_of_another_run_are_not_ours() -> None:
    assert seq_of("run1-7", "run1") == 7
    assert seq_of("run2-7", "run1") is None
    assert seq_of(None, "run1") is None
