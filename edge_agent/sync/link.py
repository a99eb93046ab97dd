"""The way to one server: its lanes, their order, and what they share.

Rules of this file:
- Imported only once a device is enrolled: the HTTP client alone costs a quarter of a second.
- The lanes of rows and those of images have an engine each, so a large picture never holds up a verdict.
"""

from __future__ import annotations

import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_agent.store import uploads
from edge_agent.sync.blobs import BlobLane
from edge_agent.sync.central import Central
from edge_agent.sync.downloads import Downloads
from edge_agent.sync.engine import Engine, Memory
from edge_agent.sync.hello import Hello
from edge_agent.sync.parts import Parts
from edge_agent.sync.push_lane import PushLane
from edge_agent.sync.rounds import PullLane, begin_all_again

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class Link:
    """`rows`: greeting, push, pull. `images`: the photographs. `memory` tells how each fares; `is_closing` ends
    passes early."""

    client: httpx.Client
    central: Central
    hello: Hello
    memory: Memory
    rows: Engine
    images: Engine
    beside: Executor
    is_closing: threading.Event = field(default_factory=threading.Event)

    def forget(self) -> None:
        """Everything may be tried at once."""
        self.hello.want()
        self.memory.forget([*self.rows.names, *self.images.names])

    def close(self) -> None:
        """Breaks off the requests under way; returns once the steps that made them have ended."""
        self.is_closing.set()
        self.client.close()
        with self.rows.at_rest(), self.images.at_rest():
            self.beside.shutdown(cancel_futures=True)


def make_link(parts: Parts, client: httpx.Client, server: str, token: str, device_id: str) -> Link:
    """All lanes to `server`, at rest."""
    clock, database = parts.clock, parts.database
    central = Central(server, token, client, clock)
    beside = parts.beside or ThreadPoolExecutor(3, "sync-beside")  # one batch, its answer, one page
    push = PushLane(database, central, clock, parts.events.publish, beside, parts.first_rows)
    downloads = Downloads(parts.config.data_dir, central)
    pull = PullLane(database, clock, central, parts.arrivals, downloads, beside)
    recheck = (uploads.doubt, begin_all_again)
    hello = Hello(database, central, clock, device_id, told=pull.told, recheck=recheck)
    images = BlobLane(
        database,
        parts.blobs,
        central,
        clock,
        parts.events.publish,
        parallel=parts.images_in_flight,
        uploaders=parts.uploaders,
    )
    memory = Memory(database, clock)
    return Link(
        client=client,
        central=central,
        hello=hello,
        memory=memory,
        rows=Engine(hello, [push, pull], memory, clock, parts.sleep, push.rest),
        images=Engine(None, [images], memory, clock, parts.sleep),
        beside=beside,
    )
