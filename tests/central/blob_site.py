"""A device with photographs, a blob lane, the application and an object store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from central_server.objects import PLAIN_PUT_BYTES, Found, Objects
from central_server.store.database import Database
from edge_agent.clock import Clock
from edge_agent.store.database import insert
from edge_agent.sync.blobs import BlobLane
from edge_agent.sync.lane import SyncFailed
from edge_agent.sync.uploads import FIRST
from sync_protocol.canonical import sha256_hex
from tests.at_once import AtOnce
from tests.central.caller import enrolled, serving
from tests.central.reach import Reach
from tests.store_factory import DAY, NOON, Store

LARGE = PLAIN_PUT_BYTES * 2 + 1000


@dataclass
class Still:
    """A clock that moves only when told."""

    now: float = NOON
    chance: bytes = b"\x80" * 16

    def clock(self) -> Clock:
        return Clock(time=lambda: self.now, monotonic=lambda: self.now, random=lambda n: self.chance[:n])


@dataclass
class Site:
    store: Store
    reach: Reach
    token: str
    objects: Objects
    time: Still = field(default_factory=Still)
    told: list[object] = field(default_factory=list)
    parallel: int = 4
    """1: on the caller's thread, in the order of the rounds."""
    first: int = FIRST

    def __post_init__(self) -> None:
        self.lane = self.restarted()

    def restarted(self) -> BlobLane:
        clock = self.time.clock()
        central = self.reach.central(self.token, clock)
        lane = BlobLane(
            self.store.database,
            self.store.blobs,
            central,
            clock,
            lambda kind, facts: self.told.append(facts),
            parallel=self.parallel,
            first=self.first,
            uploaders=ThreadPoolExecutor if self.parallel > 1 else lambda _: AtOnce(),
        )
        self.lane = lane
        return lane

    def drain(self) -> int:
        steps = 1
        while self.lane.step():
            steps += 1
            assert steps < 100, "the lane never comes to rest"
        return steps

    def picture(self, data: bytes, *, ng: bool = False) -> str:
        """A durable picture of these bytes; its image id."""
        session_id = self.store.add_session()
        image_id = self.store.clock.new_id()
        staged = self.store.blobs.stage(data, image_id, "image/png", DAY)
        self.store.blobs.commit([staged])
        row = {
            "id": image_id,
            "session_id": session_id,
            "file_path": staged.file_path,
            "file_size": len(data),
            "created_at": self.store.clock.now(),
            "item_id": "plate-face",
            "sha256": sha256_hex(data),
            "mime_type": "image/png",
            "width_px": 1,
            "height_px": 1,
            "captured_at": self.store.clock.now(),
            "source": "upload",
            "state": "inspected",
        }
        with self.store.database.write() as tx:
            insert(tx, "inspection_images", row)
        if ng:
            self.store.add_ai_result(session_id, image_id, "NG")
        return image_id

    def file_of(self, image_id: str) -> Path:
        return next((self.store.data_dir / "images").rglob(f"{image_id}.*"))

    def uploaded(self) -> set[str]:
        with self.store.database.read() as reader:
            return {
                row[0]
                for row in reader.execute("SELECT id FROM inspection_images WHERE uploaded_at IS NOT NULL")
            }

    def troubles(self) -> list[tuple[str | None, bool]]:
        """(error code, given up) of every blob with a story."""
        with self.store.database.read() as reader:
            rows = reader.execute("SELECT error_code, dead_at IS NOT NULL FROM blob_uploads ORDER BY sha256")
            return [(row[0], bool(row[1])) for row in rows]

    def is_at_the_centre(self, data: bytes) -> bool:
        return self.objects.look(sha256_hex(data))[0] is Found.VERIFIED


@contextmanager
def standing(database: Database, objects: Objects, work: Path) -> Iterator[Site]:
    """A new device, enrolled at a new centre on this database and store."""
    (work / "edge").mkdir()
    store = Store(work / "edge")
    store.add_masters()
    with serving(database, work, objects) as app:
        caller = enrolled(app, database, store.clock.new_id(), store.clock.new_id())
        made = Site(store, Reach(app), caller.token, objects)
        yield made
        made.reach.close()
    store.close()


def some(count: int = 3, size: int = 3000) -> list[bytes]:
    return [os.urandom(size) for _ in range(count)]


def failure(site: Site) -> SyncFailed:
    with pytest.raises(SyncFailed) as caught:
        site.drain()
    return caught.value


def _id_of(site: Site, data: bytes) -> str:
    with site.store.database.read() as reader:
        sql = "SELECT id FROM inspection_images WHERE sha256 = ?"
        return str(reader.execute(sql, (sha256_hex(data),)).fetchone()[0])
