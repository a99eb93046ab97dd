"""What the agent does about itself: findings, the full check, backups, tidying, by hand and by schedule.

Rules of this file:
- APScheduler only says when; every job is a method that can be called by hand, and runs one at a time.
- A job that fails is logged and tried again at its next time; it never stops the others.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_agent import __version__, health
from edge_agent.backup.make import backup
from edge_agent.backup.rotation import backup_name, plan_prune
from edge_agent.capture.cameras import Cameras
from edge_agent.capture.folders import Folders
from edge_agent.check import run_check
from edge_agent.clock import Clock, to_rfc3339
from edge_agent.config import Config
from edge_agent.events import Notify
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.importer import Masters
from edge_agent.models import Finding
from edge_agent.store import outbox, users
from edge_agent.store.database import Database
from edge_agent.sync.lane import SyncFailed
from edge_agent.sync.repair import alarms
from edge_agent.sync.retention import Retention
from edge_agent.sync.rounds import refusals
from edge_agent.sync.sync import Sync

DAY_S = 86_400
LOOK_EVERY_S = 5
SYNC_EVERY_S, SYNC_JITTER_S = 60, 20
KEYS_KEPT_S = DAY_S

log = logging.getLogger(__name__)


class Upkeep:
    """The agent's care for its own installation."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        database: Database,
        masters: Masters,
        folders: Folders,
        cameras: Cameras,
        pool: InferencePool,
        sync: Sync,
        retention: Retention,
        notify: Notify,
    ) -> None:
        self._config, self._clock, self._db = config, clock, database
        self._masters, self._folders, self._cameras = masters, folders, cameras
        self._pool, self._sync, self._retention = pool, sync, retention
        self._notify = notify
        self._seen: frozenset[tuple[str, str, str]] = frozenset()
        self._backing_up = threading.Lock()

    def findings(self) -> list[Finding]:
        """What is wrong right now; cheap enough to ask every few seconds."""
        pool, backups = self._pool.state, self._config.data_dir / "backups"
        with self._db.read() as reader:
            facts = health.gather(
                self._config,
                reader,
                self._clock.time(),
                backup_names=_names_in(backups),
                server_configured=self._sync.enrolment() is not None,
                worker_state=pool.state,
                worker_restarts=pool.restarts,
                worker_failure=pool.last_failure,
            )
            differing = [*refusals(reader), *alarms(reader)]
        return [
            *health.findings(facts),
            *differing,
            *self._sync.findings(),
            *self._masters.running.findings,
            *self._folders.findings(),
            *self._cameras.findings(),
        ]

    def look(self) -> None:
        """Tells (`health`) when other findings are there than at the last look."""
        found = self.findings()
        seen = frozenset((one.code, one.severity, one.subject) for one in found)
        if seen != self._seen:
            self._seen = seen
            self._notify("health", {"codes": sorted({one.code for one in found})})

    def check(self) -> list[Finding]:
        """Everything compared with what it must be; takes as long as the data are large."""
        problems = self._masters.running.problems
        with self._db.read() as reader:
            return list(
                run_check(
                    self._config, reader, now_s=self._clock.time(), daemon_running=True, problems=problems
                )
            )

    def make_backup(self, elsewhere: Path | None = None) -> Mapping[str, Any]:
        """A verified backup in the folder `elsewhere`, else in `backups/`; there the oldest beyond
        `backup_keep` go. Raises as `backup` does."""
        with self._backing_up:
            folder = elsewhere or self._config.data_dir / "backups"
            name = backup_name(_names_in(folder), self._clock.time())
            report = backup(
                self._db,
                self._config.data_dir,
                folder / name,
                app_version=__version__,
            )
            if elsewhere is None and self._config.backup_keep:
                for name in plan_prune(_names_in(folder), self._config.backup_keep):
                    shutil.rmtree(folder / name)
        return {
            "folder": str(report.path),
            "files": len(report.manifest.files),
            "size_bytes": report.size_bytes,
            "findings": [finding.code for finding in report.findings],
        }

    def tidy(self) -> None:
        """Forgets idempotency keys, logins and acknowledged queue entries that have had their time."""
        old = to_rfc3339(self._clock.time() - KEYS_KEPT_S)
        with self._db.write() as tx:
            users.forget_expired(tx, self._clock.now(), keys_before=old)
        acknowledged = to_rfc3339(self._clock.time() - self._config.queue_keep_days * DAY_S)
        while self._purgeable(acknowledged):
            with self._db.write() as tx:
                outbox.purge(tx, acknowledged)

    def _purgeable(self, before: str) -> bool:
        with self._db.read() as reader:
            return outbox.has_purgeable(reader, before)

    def compare(self) -> None:
        """Compares with the central server and mends what differs, each part at most once an hour; what stays
        is a finding. Nothing to do while nobody is enrolled, or a person has paused it."""
        if self._sync.enrolment() is None or self._sync.paused_at() is not None:
            return
        try:
            self._sync.repair(automatic=True)
        except SyncFailed as error:
            log.info("not compared with the server: %s", error.detail)

    @contextmanager
    def scheduled(self) -> Iterator[None]:
        """While the block runs: a look at the findings every few seconds, synchronising, tidying every hour, every
        night a backup and a comparison."""
        from apscheduler.schedulers.background import BackgroundScheduler

        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler = BackgroundScheduler(job_defaults=defaults)
        scheduler.add_job(self.look, "interval", seconds=LOOK_EVERY_S)
        scheduler.add_job(self.tidy, "interval", hours=1)
        scheduler.add_job(self._retention.run, "interval", minutes=10, jitter=60)
        if self._config.backup_keep:
            scheduler.add_job(self.make_backup, "cron", hour=3, jitter=1800)
        scheduler.add_job(self.compare, "cron", hour=5, jitter=3600)
        scheduler.add_job(self._sync.tick, "interval", seconds=SYNC_EVERY_S, jitter=SYNC_JITTER_S)
        scheduler.start()
        try:
            with self._sync.running():
                yield
        finally:
            scheduler.shutdown(wait=False)


def _names_in(folder: Path) -> list[str]:
    """Nothing if it is not there."""
    return [path.name for path in folder.glob("*")]
