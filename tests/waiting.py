"""Waiting in tests for what other threads bring about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WAIT_S = 120.0


def wait_for(condition: Callable[[], object], what: Callable[[], object] = lambda: "it never came") -> None:
    """Returns once the condition holds; fails after two minutes and says `what` there is instead."""
    deadline, pause = time.monotonic() + WAIT_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, what()
        pause.wait(0.02)
