"""Writes what comes back from the inference processes, all that is ready in one transaction.

Rules of this file:
- One thread; it exists so that a verdict's transaction never runs on the thread that reads the next verdict.
- Batching is by what has arrived while the last commit was on its way to the disk: no timer, no delay.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
MAX_BATCH = 64


class Recorder(Generic[T]):
    """Calls `write(batch)` on its own thread for everything `put`; `write` must not raise."""

    def __init__(self, write: Callable[[list[T]], None]) -> None:
        self._write = write
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, entry: T) -> None:
        self._queue.put(entry)

    def close(self) -> None:
        """Writes what has been put, then ends."""
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
                self._write(entries)
