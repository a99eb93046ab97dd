"""Writes what comes back from the inference processes, all that is ready in one transaction.

Rules of this file:
- One thread; it exists so that a verdict's transaction never runs on the thread that reads the next verdict.
- Batching is by what has arrived while the last commit was on its way to the disk: no timer, no delay.
- A batch that the disk refuses is kept and tried again, ever more rarely, until it is written or the agent stops.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from edge_agent.errors import Unavailable

T = TypeVar("T")
MAX_BATCH = 64
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0

log = logging.getLogger(__name__)


class Recorder(Generic[T]):
    """Calls `write(batch)` on its own thread for everything `put`; `write` raises nothing but Unavailable."""

    def __init__(self, write: Callable[[list[T]], None]) -> None:
        self._write = write
        self._closing = threading.Event()
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, entry: T) -> None:
        self._queue.put(entry)

    def close(self) -> None:
        """Writes what has been put (what is refused even now is given up), then ends."""
        self._closing.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            batch = [self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            open_ = None not in batch
            if entries := [entry for entry in batch if entry is not None]:
                self._write_at_last(entries)

    def _write_at_last(self, entries: list[T]) -> None:
        pause_s = FIRST_PAUSE_S
        while refusal := self._refused(entries):
            if pause_s == FIRST_PAUSE_S:
                log.error("verdicts wait to be written: %s", refusal.detail)
            if self._closing.wait(pause_s):
                return
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if pause_s != FIRST_PAUSE_S:
            log.info("the verdicts that waited are written")

    def _refused(self, entries: list[T]) -> Unavailable | None:
        try:
            self._write(entries)
        except Unavailable as error:
            return error
        return None
