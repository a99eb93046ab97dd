"""Every part of the server, built on its backends.

Rules of this file:
- What is started is stopped by the same `ExitStack`, whatever fails in between.
- The database is migrated before anything uses it; several instances may do so at once.
- APScheduler only says when; a job that fails is logged and tried again at its next time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from central_server.api.services import Services
from central_server.api.waiting import Waiting
from central_server.blobs import Blobs
from central_server.config import Config
from central_server.daemon.backends import Backends
from central_server.masters.office import open_office
from central_server.masters.operators import admin_token
from central_server.objects import Objects
from central_server.pages import Pages
from central_server.store.changes import VIEWS, forget_tombstones
from central_server.store.database import Database
from central_server.store.folding import fold_counts
from central_server.store.listening import Listener
from central_server.store.migrations import make_partitions, migrate
from central_server.store.retention import forget_operations
from central_server.watch import StoreWatch
from edge_agent.clock import Clock

log = logging.getLogger(__name__)
FOLD_S = 10
"""Seconds: the longer, the more changes meet in one sum, and the more a statistic has to add (some 1 ms a second)."""


@contextmanager
def built(config: Config, clock: Clock, backends: Backends) -> Iterator[Services]:
    """The services at work. Raises Unavailable."""
    with ExitStack() as stack:
        for name in migrate(backends.database_url):
            log.info("migrated the database: %s", name)
        database = Database(backends.database_url, max_connections=config.workers + 1)
        database.open()
        stack.callback(database.close)
        objects = Objects(backends.store, clock)
        stack.callback(objects.close)
        if config.s3_endpoint is None:  # ours, and started: it must do
            objects.prepare()
        store_watch = StoreWatch(objects)
        store_watch.step()
        waiting = Waiting(config.max_listeners)
        listener = Listener(backends.database_url, waiting.publish)
        listener.start()
        stack.callback(listener.close)
        stack.callback(waiting.close)
        token = admin_token(config.data_dir, clock)
        yield Services(
            config=config,
            clock=clock,
            database=database,
            pages=Pages(database, clock),
            blobs=Blobs(database, objects),
            office=open_office(database, objects, clock, config.data_dir, token),
            waiting=waiting,
            store_watch=store_watch,
        )


@contextmanager
def scheduled(services: Services, *, fold_s: float = FOLD_S) -> Iterator[None]:
    """While the block runs: every night the months ahead are made, old deletions and operations forgotten; every minute
    the object store is looked at; every `fold_s` seconds what was pushed is folded into the counts."""
    from apscheduler.schedulers.background import BackgroundScheduler

    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler = BackgroundScheduler(job_defaults=defaults)
    config = services.config
    nightly = partial(tidy, services.database, config.tombstone_days, config.operation_days)
    scheduler.add_job(nightly, "cron", hour=2, jitter=3600)
    scheduler.add_job(services.store_watch.step, "interval", minutes=1)
    scheduler.add_job(partial(fold_counts, services.database), "interval", seconds=fold_s)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


def tidy(database: Database, tombstone_days: int, operation_days: int) -> None:
    with database.write() as tx:
        made = make_partitions(tx)
    for space in VIEWS:
        with database.write() as tx:
            forget_tombstones(tx, space, tombstone_days)
    forgotten = forget_operations(database, operation_days)
    log.info("made %d partitions, forgot %s", made, forgotten)
