"""Takes pictures out of a hot folder, each exactly once, whatever happens in between.

Rules of this file:
- The directory is the truth: a step that dies anywhere leaves the file in the folder or in quarantine,
  and `ingest` recognises what it already has.
- A file is taken when it is due (see listing.py) and a candidate (see candidate.py).
- A source is deleted only after `ingest` called it taken or duplicate.
- One listing serves many batches; a batch is at most 32 files and about 64 MB. While one batch is made
  durable the next one is begun.
- Links, directories and devices are never followed, moved or deleted; they are named in a finding.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.capture.binding import SIDECAR_SUFFIX, FolderConfig
from edge_agent.capture.candidate import Candidate, Finish, Ingest, Outcome, read_candidate
from edge_agent.capture.listing import MAX_WAIT_S, Contents, Listing, read_directory
from edge_agent.capture.quarantine import Quarantine, shown
from edge_agent.capture.removal import Identity, identity_of, recover, remove
from edge_agent.capture.troubles import Troubles
from edge_agent.capture.watching import Watch
from edge_agent.clock import Clock
from edge_agent.disk import NO_SPACE, disk_error
from edge_agent.errors import AgentError, BadInput
from edge_agent.images import MAX_BYTES, MAX_PIXELS
from edge_agent.models import Finding, Severity

BATCH_FILES = 32
BATCH_BYTES = 64 * 1024 * 1024

_HOPELESS = frozenset({"too-large", "too-many-pixels", "animated"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """`waiting` files are in the folder and not taken yet; the counts are since the agent's start."""

    name: str
    path: Path
    waiting: int
    taken: int
    duplicates: int
    quarantined: int
    last_taken_at: str | None
    problem: str | None


class HotFolder:
    """One hot folder. `step` does one bounded unit; `run` is the loop around it, in a thread of its own.

    `changed` is called in that thread, once after each unit that changed `status` or `findings`: be quick.
    """

    def __init__(
        self,
        config: FolderConfig,
        ingest: Ingest,
        quarantine: Quarantine,
        clock: Clock,
        changed: Callable[[], None],
        *,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.config = config
        self._ingest = ingest
        self._quarantine = quarantine
        self._clock = clock
        self._changed = changed
        self._limits = {"max_bytes": max_bytes, "max_pixels": max_pixels}
        self._listing = Listing(config.settle_s, sidecars=config.sidecar)
        self._contents = Contents()
        self._look_s = 0.0
        self._ready: deque[str] = deque()
        self._lock = threading.Lock()
        self._closed: set[str] = set()
        self._wake = threading.Event()
        self._undeleted: dict[str, Identity] = {}
        self._waiting_for: dict[str, str] = {}
        self._troubles = Troubles(config.name)
        self._pause_s = self._paused_until = 0.0
        self._begun: tuple[Sequence[tuple[Candidate, Identity]], Finish] | None = None
        self._taken = self._duplicates = self._quarantined = 0
        self._last_taken_at: str | None = None
        self._told: tuple[FolderStatus, tuple[Finding, ...]] | None = None

    # -- the loop ---------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Steps until `stop` is set (call `wake` after setting it); sleeps while there is nothing to do."""
        watch = Watch(self.config.path, self.hint)
        try:
            while not stop.is_set():
                self._wake.clear()
                watch.follow()
                self._run_until_idle(stop)
                self._wake.wait(0 if stop.is_set() else self.wait_s())
                stop.wait(min(3 * self._look_s, 1.0))  # a folder full of waiting files costs a quarter core
        finally:
            watch.stop()

    def _run_until_idle(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set() and self.step():
                self._tell()
            if stop.is_set():
                self._settle_begun()
            self._troubles.ends("step")
        except Exception as error:  # the loop must outlive any one step
            _log.exception("hot folder %s: step failed", self.config.name)
            self._pause("step", "folder-failed", f"The last pass failed: {error}.", AgentError.hint)
        self._tell()

    def _tell(self) -> None:
        state = (self.status(), self.findings())
        if state != self._told:
            self._told = state
            self._changed()

    def hint(self, closed_name: str | None = None) -> None:
        """Something happened in the folder; `closed_name` was just closed by its writer. Any thread."""
        if closed_name is not None:
            with self._lock:
                self._closed.add(closed_name)
        self._wake.set()

    def wake(self) -> None:
        """Looks again now, also at what was told to wait (a session was opened, say). Any thread."""
        with self._lock:
            self._closed.update(tuple(self._waiting_for))
            self._paused_until = 0.0
        self._wake.set()

    def wait_s(self) -> float:
        """Seconds until the next look is due without any event."""
        now = self._clock.monotonic()
        due = self._listing.next_due()
        until_due = self.config.rescan_s if due is None else max(due - now, 0.02)
        return max(min(self.config.rescan_s, until_due), self._paused_until - now)

    def step(self) -> bool:
        """One listing (if the last one is used up) and one batch; True if there was work.

        What `ingest` raises beyond AgentError comes out of here; the files are still in the folder then.
        """
        if self._clock.monotonic() < self._paused_until:
            return False
        try:
            return self._step()
        except AgentError as error:
            self._pause("ingest", error.code_, error.detail, error.hint_)
            return False

    def _step(self) -> bool:
        """Begins the next batch before it finishes the one before: the processes have work meanwhile."""
        if not self._ready:
            self._settle_begun()
            self._look()
        batch = self._next_batch()
        begun = (batch, self._ingest([candidate for candidate, _ in batch])) if batch else None
        before, self._begun = self._begun, begun
        if before is not None:
            self._finish(*before)
        return bool(before or batch or self._ready)

    def _settle_begun(self) -> None:
        if self._begun is not None:
            before, self._begun = self._begun, None
            self._finish(*before)

    def _finish(self, batch: Sequence[tuple[Candidate, Identity]], finish: Finish) -> None:
        outcomes = finish()
        self._pause_s = 0.0
        self._troubles.ends("ingest")
        for (candidate, identity), outcome in zip(batch, outcomes, strict=True):
            self._settle(candidate, identity, outcome)

    # -- what there is ----------------------------------------------------------------------------

    def _look(self) -> None:
        """Lists the directory once and queues what is due, oldest first."""
        now = self._clock.monotonic()
        with self._lock:
            closed, self._closed = self._closed, set()
        try:
            self._contents = read_directory(self.config.path)
        except OSError as error:
            self._listing.forget_all()
            self._trouble(
                "listing",
                "folder-unavailable",
                f"The folder cannot be read: {error.strerror or error}.",
                "Check that the folder exists, the network share is connected and the agent may read it.",
            )
            return
        self._troubles.ends("listing")
        self._delete_again()
        files = {name: at for name, at in self._contents.files.items() if not self._is_undeleted(name, at)}
        self._waiting_for = {name: why for name, why in self._waiting_for.items() if name in files}
        self._ready.extend(self._listing.look(files, closed, now))
        self._look_s = self._clock.monotonic() - now

    def _delete_again(self) -> None:
        """Recovers half-removed files, and tries again to delete what could not be deleted."""
        try:
            recover(self.config.path, self._contents.removals, sidecars=self.config.sidecar)
            for name, identity in tuple(self._undeleted.items()):
                remove(self.config.path, name, identity, sidecar=self.config.sidecar)
                del self._undeleted[name]
        except OSError as error:
            self._cannot_delete(error)
        else:
            self._troubles.ends("deleting")

    def _is_undeleted(self, name: str, status: os.stat_result) -> bool:
        """Taken already and only waiting to be deleted (a listing on Windows knows no inode)."""
        return name in self._undeleted and self._undeleted[name][1:] == identity_of(status)[1:]

    # -- from file to candidate -------------------------------------------------------------------

    def _next_batch(self) -> list[tuple[Candidate, Identity]]:
        batch: list[tuple[Candidate, Identity]] = []
        size = 0
        for _ in range(min(BATCH_FILES, len(self._ready))):
            if size >= BATCH_BYTES:
                break
            name = self._ready.popleft()
            try:
                found = read_candidate(name, self._listing[name], self.config, **self._limits)
            except BadInput as error:
                self._refuse(name, error)
                continue
            if found is None:
                self._listing.forget(name)
            else:
                batch.append(found)
                size += len(found[0].data)
        return batch

    # -- what becomes of it -----------------------------------------------------------------------

    def _settle(self, candidate: Candidate, identity: Identity, outcome: Outcome) -> None:
        name = candidate.path.name
        if outcome.kind == "later":
            self._waiting_for[name] = outcome.detail or outcome.code
            self._listing.postpone(name, self._clock.monotonic())
            return
        self._waiting_for.pop(name, None)
        if outcome.kind == "rejected":
            self._set_aside(name, outcome.code, outcome.detail, outcome.hint)
            return
        self._taken += outcome.kind == "taken"
        self._duplicates += outcome.kind == "duplicate"
        self._last_taken_at = self._clock.now()
        self._listing.forget(name)
        try:
            remove(self.config.path, name, identity, sidecar=self.config.sidecar)
        except OSError as error:
            self._undeleted[name] = identity
            self._cannot_delete(error)

    def _refuse(self, name: str, error: BadInput) -> None:
        """Waits while the file may still become usable, then sets it aside."""
        now = self._clock.monotonic()
        stood_s = now - self._listing[name].since
        if error.code_ in _HOPELESS or stood_s >= self.config.give_up_s:
            self._set_aside(name, error.code_, error.detail, error.hint_)
        else:
            self._listing.postpone(name, now, at_most_s=self.config.give_up_s - stood_s)

    def _set_aside(self, name: str, code: str, detail: str, hint: str) -> None:
        files = [self.config.path / name]
        sidecar = name + SIDECAR_SUFFIX
        if self.config.sidecar and sidecar in self._contents.files:
            files.append(self.config.path / sidecar)
        try:
            self._quarantine.put(self.config.name, files, code=code, detail=detail, hint=hint)
        except FileNotFoundError:
            self._listing.forget(name)
        except OSError as error:
            self._listing.postpone(name, self._clock.monotonic())
            self._cannot_delete(error)
        else:
            self._listing.forget(name)
            self._quarantined += 1

    def _pause(self, lane: str, code: str, message: str, hint: str) -> None:
        """Nothing can be taken at present: all files stay, and the folder waits ever longer, up to 30 s."""
        self._trouble(lane, code, message, hint)
        self._ready.clear()
        self._pause_s = min(max(2 * self._pause_s, 0.5), MAX_WAIT_S)
        self._paused_until = self._clock.monotonic() + self._pause_s

    # -- how it is doing --------------------------------------------------------------------------

    def status(self) -> FolderStatus:
        return FolderStatus(
            name=self.config.name,
            path=self.config.path,
            waiting=len(self._listing),
            taken=self._taken,
            duplicates=self._duplicates,
            quarantined=self._quarantined,
            last_taken_at=self._last_taken_at,
            problem=next((trouble.message for trouble in self._troubles), None),
        )

    def findings(self) -> tuple[Finding, ...]:
        """What a technician should know: trouble, files waiting for something, things we do not touch."""
        found = [*self._troubles]
        waiting = tuple(self._waiting_for.values())
        if waiting:
            message = f"{len(waiting)} files wait: {waiting[0]}"
            hint = "Do what the message says (usually: open a session); they are taken by themselves then."
            found.append(self._finding("folder-waiting", Severity.WARNING, message, hint))
        ignored = self._contents.ignored
        if ignored:
            message = f"{len(ignored)} links, directories or devices are left alone: {', '.join(ignored[:5])}"
            hint = "Put the picture files themselves into the folder."
            found.append(self._finding("folder-ignored", Severity.INFO, message, hint))
        return tuple(found)

    def _cannot_delete(self, error: OSError) -> None:
        if error.errno in NO_SPACE:
            full = disk_error(error)
            self._trouble("deleting", full.code_, full.detail, full.hint_)
            return
        self._trouble(
            "deleting",
            "folder-not-writable",
            f"Files cannot be moved out of the folder: {error.strerror or error}.",
            "Give the agent permission to delete in this folder; nothing is inspected twice meanwhile.",
        )

    def _trouble(self, lane: str, code: str, message: str, hint: str) -> None:
        self._troubles.begins(lane, self._finding(code, Severity.ERROR, message, hint))

    def _finding(self, code: str, severity: Severity, message: str, hint: str) -> Finding:
        return Finding(code, severity, f"folder {self.config.name}", shown(message), hint)
