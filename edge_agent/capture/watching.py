"""Hears that something happened in a folder, so that its next listing need not wait for the rescan.

Rules of this file:
- A hint only: every promise holds without it, so anything that goes wrong here just turns hints off.
- A file closed after writing, or renamed into its final name, is reported as closed. A file moved in from
  elsewhere shows as created, exactly like one being written, so created only wakes.
- A network share sends no events for what other machines write; the rescan is what serves it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

OnEvent = Callable[[str | None], None]
"""Called in a foreign thread: the name of a file known to be closed, or None for "something happened"."""


class Watch:
    """Watches one directory, and follows it when it is replaced (a share mounted again)."""

    def __init__(self, directory: Path, on_event: OnEvent) -> None:
        self._directory = directory
        self._handler = _Hints(on_event)
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None

    @property
    def is_on(self) -> bool:
        return self._observer is not None

    def follow(self) -> None:
        """Starts watching, or starts again if the path is another directory by now; never raises OSError."""
        try:
            status = self._directory.stat()
        except OSError:
            self.stop()
            return
        place = (status.st_dev, status.st_ino)
        if place == self._watched:
            return
        self.stop()
        self._watched = place
        observer = Observer()
        try:
            observer.schedule(
                self._handler,
                str(self._directory),
                event_filter=[FileCreatedEvent, FileClosedEvent, FileMovedEvent],
            )
            observer.start()
        except OSError:  # out of inotify watches, or a file system without events
            return
        self._observer = observer

    def stop(self) -> None:
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            observer.join()


class _Hints(FileSystemEventHandler):
    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event

    def on_created(self, event: FileSystemEvent) -> None:
        self._on_event(None)

    def on_closed(self, event: FileSystemEvent) -> None:
        self._on_event(Path(os.fsdecode(event.src_path)).name)

    def on_moved(self, event: FileSystemEvent) -> None:
        self._on_event(Path(os.fsdecode(event.dest_path)).name)
