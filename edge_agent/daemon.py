"""The running agent: builds every part, starts them in order, stops them in reverse; nothing else constructs.

Rules of this file:
- The data directory is locked first and unlocked last: one agent per directory.
- What is started is stopped by the same `ExitStack`, whatever fails in between.
- The inference process is started first, because it needs a second to load its libraries; images that come
  before it is warm wait for it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent import __version__
from edge_agent.api.services import Services
from edge_agent.backup.restore import finish_restore
from edge_agent.blobs import Blobs
from edge_agent.capture.cameras import Cameras
from edge_agent.capture.folders import Folders
from edge_agent.capture.quarantine import Quarantine
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.disk import disk_errors
from edge_agent.events import Events
from edge_agent.health.gather import percent_used
from edge_agent.inference.worker import InferencePool
from edge_agent.inspection.dropped import DroppedFiles
from edge_agent.inspection.intake import Intake
from edge_agent.inspection.sessions import Sessions
from edge_agent.lock import data_dir_lock
from edge_agent.masters.importer import Masters
from edge_agent.store.schema import open_database
from edge_agent.sync.jobs import Jobs
from edge_agent.sync.pace import Meter
from edge_agent.sync.parts import Parts
from edge_agent.sync.retention import Retention
from edge_agent.sync.sync import Sync
from edge_agent.sync.work import Bench
from edge_agent.upkeep import Upkeep

if TYPE_CHECKING:
    import httpx


@contextmanager
def running_services(
    config: Config, clock: Clock, *, open_central: Callable[[str], httpx.Client] | None = None
) -> Iterator[Services]:
    """Every part of the agent at work on `config.data_dir`, but no port open.

    `open_central(url)`: another way to the central server than the network.
    Raises Busy (`already-running`), Damaged, Unavailable.
    """
    with ExitStack() as stack:
        with disk_errors():
            config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        stack.enter_context(data_dir_lock(config.data_dir, os.getpid()))
        finish_restore(config.data_dir)
        blobs = Blobs(config.data_dir, clock)
        with disk_errors():
            blobs.prepare()
            token = install_token(config.data_dir)
        pool = InferencePool(workers=worker_count(config), cache_dir=config.data_dir / "cache", clock=clock)
        pool.start()  # first: it needs a second to load its libraries
        stack.callback(pool.close)
        database = open_database(config.database_path, clock, config.device_type, __version__)
        stack.callback(database.close)
        events = Events()
        masters = Masters(database, blobs, pool, clock, config, events.publish)
        masters.prepare()
        masters.reload()
        sessions = Sessions(database, clock, config, events.publish)
        intake = Intake(
            database, blobs, pool, sessions, lambda: masters.running, clock, config, events.publish
        )
        intake.start()
        stack.callback(intake.close)
        stack.callback(pool.close)  # before the intake: what it finishes is still written
        intake.late.resume()
        quarantine = Quarantine(config.data_dir / "quarantine", clock)
        quarantine.sweep()
        dropped = DroppedFiles(database, intake, sessions, lambda: masters.running)
        folders = Folders(database, dropped, quarantine, clock, config, events.publish)
        stack.callback(folders.close)
        cameras = Cameras(database, clock, config)
        stack.callback(cameras.close)
        parts = Parts(
            config=config,
            clock=clock,
            database=database,
            blobs=blobs,
            arrivals=masters.arrivals,
            events=events,
            open_client=open_central or partial(_open_central, config),
            sleep=time.sleep,
        )
        sync = Sync(parts)
        stack.callback(sync.close)
        meter, jobs = Meter(clock), Jobs(clock)
        events.subscribe(meter.heard)
        stack.callback(jobs.close)
        retention = Retention(
            database,
            blobs,
            clock,
            retention_days=config.retention_days,
            used_percent=lambda: percent_used(config.data_dir),
        )
        upkeep = Upkeep(
            config, clock, database, masters, folders, cameras, pool, sync, retention, events.publish
        )
        cameras.reload()
        folders.reload()
        yield Services(
            config=config,
            clock=clock,
            database=database,
            blobs=blobs,
            events=events,
            pool=pool,
            sessions=sessions,
            intake=intake,
            masters=masters,
            cameras=cameras,
            folders=folders,
            sync=sync,
            bench=Bench(parts, sync, meter),
            jobs=jobs,
            findings=upkeep.findings,
            check=upkeep.check,
            make_backup=upkeep.make_backup,
            scheduled=upkeep.scheduled,
            install_token=token,
        )


def _open_central(config: Config, url: str) -> httpx.Client:
    from edge_agent.sync.client import open_client  # with the HTTP client, a quarter of a second

    return open_client(url, config.central_ca_file)


def install_token(data_dir: Path) -> str:
    """The secret by which the CLI of this machine's owner is known; made once, readable by its owner only."""
    path = data_dir / "run" / "install-token"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text("ascii").strip()


def worker_count(config: Config) -> int:
    """Inference processes at most: as set, else one per core up to two."""
    return config.workers or max(1, min(2, os.cpu_count() or 1))
