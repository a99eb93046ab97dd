"""Long work on the synchronisation that people start, watch and stop: one at a time, on a thread of its own.

Rules of this file:
- Work is a function of `report`; it calls it between two bounded steps, each of which is a transaction of its
  own. A stop is an exception that `report` raises, so nothing is ever left half-done.
- The tables say what was achieved; a job is only its telling. It ends with the process, and the newest few are
  kept for whoever asks late.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from edge_agent.clock import Clock
from edge_agent.errors import AgentError, Conflict, NotFound

KEPT = 20
LONGEST_WAIT_S = 20.0

log = logging.getLogger(__name__)


class JobKind(StrEnum):
    RUN = "run"
    VERIFY = "verify"
    REPAIR = "repair"
    RESYNC = "resync"
    EXPORT = "export"


class JobPhase(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobError:
    """As in a problem document; the CLI ends with `exit_code`."""

    code: str
    detail: str
    hint: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is. `of`: how much there is to do (None: not known); `rows_per_s`, `bytes_per_s`, `eta_s`: as
    it goes at present (None: not known yet); `oldest_at`: the oldest entry that still waits."""

    step: str = ""
    done: int = 0
    of: int | None = None
    bytes_done: int = 0
    bytes_of: int | None = None
    rows_per_s: float | None = None
    bytes_per_s: float | None = None
    eta_s: float | None = None
    oldest_at: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """`revision` grows with every change, so a watcher can wait for the next one."""

    id: str
    kind: JobKind
    phase: JobPhase
    revision: int
    started_at: str
    finished_at: str | None
    progress: Progress
    result: Mapping[str, Any] | None = None
    error: JobError | None = None


Report = Callable[[Progress], None]
"""Tells how far the work is; raises Cancelled when it shall stop."""
Work = Callable[[Report], Mapping[str, Any]]


class Cancelled(Exception):
    """Somebody asked for the job to stop; what it did so far is done."""


class Jobs:
    """The newest jobs, the last of which may be running."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._stopping: set[str] = set()
        self._thread: threading.Thread | None = None

    def start(self, kind: JobKind, work: Work) -> Job:
        """Begins it. Raises Conflict (`sync-job-running`)."""
        with self._changed:
            if (running := self._running()) is not None:
                raise Conflict(
                    f"`{running.kind}` is still running.",
                    code="sync-job-running",
                    hint="Wait until it has ended, or stop it.",
                    job_id=running.id,
                )
            job = Job(self._clock.new_id(), kind, JobPhase.RUNNING, 1, self._clock.now(), None, Progress())
            self._jobs[job.id] = job
            for old in list(self._jobs)[:-KEPT]:
                del self._jobs[old]
            self._thread = threading.Thread(
                target=self._run, args=(job.id, work), name=f"sync-{kind}", daemon=True
            )
            self._thread.start()
        return job

    def get(self, job_id: str) -> Job:
        """Raises NotFound (`unknown-job`)."""
        with self._changed:
            return self._get(job_id)

    def newest(self) -> Job | None:
        with self._changed:
            return next(reversed(self._jobs.values()), None)

    def wait(self, job_id: str, after_revision: int, timeout_s: float) -> Job:
        """The job once it is past that revision, or as it is when the time is up. Raises as `get`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._get(job_id).revision > after_revision, min(timeout_s, LONGEST_WAIT_S)
            )
            return self._get(job_id)

    def cancel(self, job_id: str) -> Job:
        """Asks it to stop at its next step; one that has ended stays as it is. Raises as `get`."""
        with self._changed:
            job = self._get(job_id)
            if job.phase is JobPhase.RUNNING:
                self._stopping.add(job_id)
            return job

    def close(self) -> None:
        """Stops what runs and waits for its step to end."""
        with self._changed:
            running, thread = self._running(), self._thread
            if running is not None:
                self._stopping.add(running.id)
        if running is not None and thread is not None:
            thread.join()

    def _run(self, job_id: str, work: Work) -> None:
        def report(progress: Progress) -> None:
            with self._changed:
                if job_id in self._stopping:
                    raise Cancelled
                self._change(job_id, progress=progress)

        try:
            self._end(job_id, JobPhase.DONE, result=work(report))
        except Cancelled:
            self._end(job_id, JobPhase.CANCELLED)
        except AgentError as error:
            told = JobError(error.code_, error.detail, error.hint_, error.exit_code)
            self._end(job_id, JobPhase.FAILED, error=told)
        except Exception as error:  # the outermost boundary of its thread: whoever waits must see it end
            log.exception("unforeseen in a sync job")
            told = JobError("internal", f"An error nobody foresaw ({error!r}).", AgentError.hint, 1)
            self._end(job_id, JobPhase.FAILED, error=told)

    def _end(self, job_id: str, phase: JobPhase, **facts: Any) -> None:
        with self._changed:
            self._stopping.discard(job_id)
            self._change(job_id, phase=phase, finished_at=self._clock.now(), **facts)

    def _change(self, job_id: str, **facts: Any) -> None:
        job = self._jobs[job_id]
        self._jobs[job_id] = replace(job, revision=job.revision + 1, **facts)
        self._changed.notify_all()

    def _get(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}.", code="unknown-job", hint="Jobs end with the agent.")
        return job

    def _running(self) -> Job | None:
        return next((job for job in self._jobs.values() if job.phase is JobPhase.RUNNING), None)
