"""All hot folders of this installation: one thread each, following the settings.

Rules of this file:
- The settings (`folder.NAME` in system_config) are the truth; `reload` makes the threads agree with them.
- What a folder hands over goes to `DroppedFiles`; its answer decides what becomes of the file.
- A file that waits for what a person does (a session) stays in its folder; any other refusal is quarantine.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from edge_agent.capture.binding import FolderConfig
from edge_agent.capture.candidate import Candidate, Finish, Outcome
from edge_agent.capture.folder import FolderStatus, HotFolder
from edge_agent.capture.quarantine import Quarantine, QuarantineEntry
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.errors import AgentError, NotFound
from edge_agent.events import Notify
from edge_agent.inspection.dropped import DroppedFile, DroppedFiles, Duplicate, Taken
from edge_agent.models import Finding, Severity
from edge_agent.store import settings
from edge_agent.store.database import Database

WAITS = frozenset({"no-open-session"})

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Watched:
    folder: HotFolder
    stop: threading.Event
    thread: threading.Thread

    def end(self) -> None:
        self.stop.set()
        self.folder.wake()
        self.thread.join()


class Folders:
    """Starts, stops and reports on the hot folders; `reload` after every change of their settings."""

    def __init__(
        self,
        database: Database,
        dropped: DroppedFiles,
        quarantine: Quarantine,
        clock: Clock,
        config: Config,
        notify: Notify,
    ) -> None:
        self._db, self._dropped, self._quarantine = database, dropped, quarantine
        self._clock, self._config, self._notify = clock, config, notify
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._broken: tuple[Finding, ...] = ()

    def reload(self) -> None:
        """Ends folders that were removed or changed, starts new ones, has the others look again now."""
        wanted, self._broken = self._read_settings()
        with self._lock:
            for name in [n for n, w in self._watched.items() if wanted.get(n) != w.folder.config]:
                self._watched.pop(name).end()
                self._tell(name)
            for name, config in wanted.items():
                if name in self._watched:
                    self._watched[name].folder.wake()
                else:
                    self._watched[name] = self._watch(config)

    def close(self) -> None:
        """Lets every folder finish the batch it is at, then ends its thread."""
        with self._lock:
            for watched in self._watched.values():
                watched.stop.set()
            for watched in self._watched.values():
                watched.end()
            self._watched.clear()

    def status(self) -> list[FolderStatus]:
        with self._lock:
            return [watched.folder.status() for watched in self._watched.values()]

    def findings(self) -> list[Finding]:
        with self._lock:
            found = [one for watched in self._watched.values() for one in watched.folder.findings()]
        return [*self._broken, *found]

    def quarantined(self, folder: str | None = None, limit: int = 1000) -> Sequence[QuarantineEntry]:
        return self._quarantine.list(folder=folder, limit=limit)

    def quarantine_count(self) -> int:
        return self._quarantine.count()

    def retry(self, entry_id: str) -> QuarantineEntry:
        """Puts the file back into the folder it came from. Raises NotFound, Conflict, Unavailable."""
        name = self._quarantine.get(entry_id).folder
        with self._lock:
            watched = self._watched.get(name)
        if watched is None:
            raise NotFound(
                f"The hot folder {name!r} no longer exists.",
                code="unknown-folder",
                hint="Add the folder again, or copy the file from the quarantine by hand.",
            )
        entry = self._quarantine.retry(entry_id, watched.folder.config.path)
        watched.folder.wake()
        self._tell(name)
        return entry

    def discard(self, entry_id: str) -> QuarantineEntry:
        """Deletes a quarantined file for good. Raises NotFound."""
        entry = self._quarantine.discard(entry_id)
        self._tell(entry.folder)
        return entry

    def _tell(self, name: str) -> None:
        self._notify("folder", {"name": name})

    def _watch(self, config: FolderConfig) -> _Watched:
        folder = HotFolder(
            config,
            lambda candidates: self._ingest(config, candidates),
            self._quarantine,
            self._clock,
            lambda: self._tell(config.name),
            max_bytes=self._config.max_image_bytes,
            max_pixels=self._config.max_image_pixels,
        )
        stop = threading.Event()
        thread = threading.Thread(target=folder.run, args=(stop,), name=f"folder-{config.name}", daemon=True)
        thread.start()
        return _Watched(folder, stop, thread)

    def _ingest(self, config: FolderConfig, candidates: Sequence[Candidate]) -> Finish:
        begun = self._dropped.begin([dropped_file(config, candidate) for candidate in candidates])
        return lambda: [outcome_of(taken) for taken in self._dropped.finish(begun)]

    def _read_settings(self) -> tuple[dict[str, FolderConfig], tuple[Finding, ...]]:
        with self._db.read() as reader:
            stored = settings.under(reader, "folder")
        wanted: dict[str, FolderConfig] = {}
        broken: list[Finding] = []
        for name, value in stored.items():
            try:
                wanted[name] = FolderConfig.model_validate({**value, "name": name})
            except ValidationError as error:
                text = f"its settings cannot be used: {error.errors()[0]['msg']}"
                hint = "Remove the folder and add it again."
                broken.append(Finding("folder-misconfigured", Severity.ERROR, f"folder {name}", text, hint))
        return wanted, tuple(broken)


def dropped_file(config: FolderConfig, candidate: Candidate) -> DroppedFile:
    binding = candidate.binding
    return DroppedFile(
        name=candidate.name,
        data=candidate.data,
        sha256=candidate.sha256,
        info=candidate.info,
        product_code=binding.product_code,
        item_code=binding.item_code,
        serial=binding.serial or "",
        lot=binding.lot or "",
        automatic=config.session == "auto",
        accept_ai_ok=config.accept_ai_ok,
    )


def outcome_of(taken: Taken) -> Outcome:
    """What the folder does with the file."""
    if isinstance(taken, Duplicate):
        return Outcome("duplicate")
    if not isinstance(taken, AgentError):
        return Outcome("taken")
    waits = taken.code_ in WAITS
    return Outcome("later" if waits else "rejected", taken.code_, taken.detail, taken.hint_)
