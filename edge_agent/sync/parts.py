"""What of the agent the lanes work on, as one value that the daemon builds.

Rules of this file:
- Only names; whatever imports this imports no HTTP client.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.events import Events
from edge_agent.store.database import Database

if TYPE_CHECKING:
    import httpx

    from edge_agent.masters.arrivals import Arrivals


@dataclass(frozen=True, slots=True)
class Parts:
    """`open_client(url)`: a client for the server at that address; `sleep(seconds)`: within a pass; `first_rows`: how
    many the first batch may have; `images_in_flight`: requests of the blob lane at once, on threads of
    `uploaders(images_in_flight)`; `beside`: settles the last batch and makes the next one while one is with the server,
    and fetches the next page while one is staged (None: threads of the link's own)."""

    config: Config
    clock: Clock
    database: Database
    blobs: Blobs
    arrivals: Arrivals
    events: Events
    open_client: Callable[[str], httpx.Client]
    sleep: Callable[[float], None]
    first_rows: int = 100
    images_in_flight: int = 4
    uploaders: Callable[[int], Executor] = ThreadPoolExecutor
    beside: Executor | None = None
