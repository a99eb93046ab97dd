"""The thread that does one thing again and again."""

from __future__ import annotations

import logging
import queue
import threading

import pytest

from edge_agent.sync import loop
from edge_agent.sync.loop import Loop

LONG_S = 60.0


def test_it_works_when_started_when_woken_and_when_the_wait_is_over() -> None:
    calls: queue.Queue[int] = queue.Queue()
    waits = [0.0, 0.001, None, None]

    def work() -> float | None:
        calls.put(len(waits))
        return waits.pop(0) if waits else None

    made = Loop("test", work)
    made.start()
    assert [calls.get(timeout=LONG_S) for _ in range(3)] == [4, 3, 2]
    made.wake()
    assert calls.get(timeout=LONG_S) == 1
    made.close(LONG_S)
    assert calls.empty()


def test_it_ends_when_it_is_closed_just_as_it_begins_another_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Loop("test", lambda: None)
    forget = made._woken.clear

    def closed_meanwhile() -> None:
        closing = threading.Thread(target=made.close, args=(0.0,))
        closing.start()
        closing.join()
        forget()

    monkeypatch.setattr(made._woken, "clear", closed_meanwhile)
    made.start()
    made._thread.join(LONG_S)
    assert not made._thread.is_alive()


def test_a_fault_nobody_foresaw_is_told_and_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "AFTER_A_FAULT_S", 0.001)
    calls: queue.Queue[None] = queue.Queue()
    faults = [ZeroDivisionError()]

    def work() -> float | None:
        calls.put(None)
        if faults:
            raise faults.pop()
        return None

    made = Loop("test", work)
    with caplog.at_level(logging.ERROR):
        made.start()
        for _ in range(2):
            calls.get(timeout=LONG_S)
        made.close(LONG_S)
    assert "nobody foresaw" in caplog.text
