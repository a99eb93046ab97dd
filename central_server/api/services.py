"""Everything the routers call, as one value that the daemon builds.

Rules of this file:
- Only names: nothing is constructed or decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

from central_server.api.waiting import Waiting
from central_server.blobs import Blobs
from central_server.config import Config
from central_server.masters.office import Office
from central_server.pages import Pages
from central_server.store.database import Database
from central_server.watch import StoreWatch
from edge_agent.clock import Clock


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """`waiting` is told of commits by a `Listener`, and `store_watch` is stepped by a scheduler, that whoever built
    this has started."""

    config: Config
    clock: Clock
    database: Database
    pages: Pages
    blobs: Blobs
    office: Office
    waiting: Waiting
    store_watch: StoreWatch
