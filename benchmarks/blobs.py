"""Images to the object store; numbers: images (1000), bytes each (200000).

Measured: MB/s from a backlog of photographs until the centre has proof of every one, against plain parallel PUT with
the same HTTP client and four in flight in both; and how much more memory this process takes meanwhile, at that backlog
and at four times as many.
Goal: at least 0.8 of plain PUT; memory does not grow with the backlog (`backlog` measures a whole daemon: 150 MB).
Limit: plain PUT itself. It reads each file and sends it by a ticket asked for outside the clock: no hash, no question,
no proof, nothing remembered.

Rules of this file:
- The product's own lane on a real edge store with real files; fresh bytes every time. The two ways take turns.
- What was written before is on the disk before a clock starts: the system would write it during some turns, not others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.centre import CLOCK, centre
from benchmarks.common import begin_peak, peak_megabytes, report, spread
from edge_agent.store.database import insert
from edge_agent.sync.blobs import BlobLane
from edge_agent.sync.central import Central
from edge_agent.sync.client import open_client
from sync_protocol.canonical import sha256_hex
from sync_protocol.messages import Blob, UploadTicket
from tests.store_factory import DAY, Store, Ticking

ROUNDS = 5
IN_FLIGHT = 4
ASKED_AT_ONCE = 500
MORE = 4


@dataclass(frozen=True, slots=True)
class Bench:
    central: Central
    store: Store

    def pictures(self, count: int, size: int) -> list[tuple[Path, Blob]]:
        """So many durable pictures with their rows, of one session."""
        session_id, made, rows = self.store.add_session(), [], []
        for _ in range(count):
            data, image_id = os.urandom(size), CLOCK.new_id()
            staged = self.store.blobs.stage(data, image_id, "image/png", DAY)
            os.replace(staged.path, staged.final)
            made.append((staged.final, Blob(sha256=sha256_hex(data), size=size)))
            rows.append(row(image_id, session_id, staged.file_path, made[-1][1]))
        with self.store.database.write() as tx:
            for one in rows:
                insert(tx, "inspection_images", one)
        os.sync()
        return made

    def plain_put(self, pictures: list[tuple[Path, Blob]]) -> float:
        """Seconds; the rows are taken out of the lane's sight first."""
        with self.store.database.write(local=False) as tx:
            tx.execute("UPDATE inspection_images SET uploaded_at = '' WHERE uploaded_at IS NULL")
        tickets = {ticket.sha256: ticket for ticket in self._tickets([blob for _, blob in pictures])}

        def put(picture: tuple[Path, Blob]) -> None:
            [part] = tickets[picture[1].sha256].parts
            self.central.put_part(part.url, part.headers, picture[0].read_bytes())

        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            start = perf_counter()
            list(pool.map(put, pictures))
            return perf_counter() - start

    def lane(self) -> float:
        """Seconds until the centre has proof of everything that waits here."""
        store = self.store
        lane = BlobLane(store.database, store.blobs, self.central, CLOCK, lambda *_: None, parallel=IN_FLIGHT)
        start = perf_counter()
        while lane.step():
            pass
        took = perf_counter() - start
        with store.database.read() as reader:
            sql = "SELECT count(*) FROM inspection_images WHERE uploaded_at IS NULL"
            [left] = reader.execute(sql).fetchone()
        assert left == 0, f"{left} pictures were not proven"
        return took

    def _tickets(self, blobs: list[Blob]) -> Iterator[UploadTicket]:
        for first in range(0, len(blobs), ASKED_AT_ONCE):
            yield from self.central.have(blobs[first : first + ASKED_AT_ONCE], wants_tickets=True).tickets


def row(image_id: str, session_id: str, file_path: str, blob: Blob) -> dict[str, object]:
    now = CLOCK.now()
    instants = {"created_at": now, "captured_at": now}
    fixed = {"item_id": "plate-face", "mime_type": "image/png", "width_px": 1, "height_px": 1}
    file = {"file_path": file_path, "file_size": blob.size, "sha256": blob.sha256, "state": "inspected"}
    return {"id": image_id, "session_id": session_id, "source": "camera", **instants, **fixed, **file}


@contextmanager
def bench(work: Path) -> Iterator[Bench]:
    (work / "edge").mkdir()
    with centre(work) as server, open_client(server.url) as client:
        _, central = server.enrol(client)
        store = Store(work / "edge", Ticking(CLOCK.time()))
        store.add_masters()
        try:
            yield Bench(central, store)
        finally:
            store.close()


def run(work: Path, count: int = 1000, size: int = 200_000) -> None:
    plain, ours = [], []
    megabytes = count * size / 1e6
    with bench(work) as made:
        made.pictures(64, size)
        made.lane()  # warm
        for _ in range(ROUNDS):
            plain.append(megabytes / made.plain_put(made.pictures(count, size)))
            made.pictures(count, size)
            ours.append(megabytes / made.lane())
        taken = [taken_by_lane(made, count, size), taken_by_lane(made, MORE * count, size)]
    report(
        f"{count} images of {size} bytes, {IN_FLIGHT} in flight, {ROUNDS} rounds",
        [
            ("plain PUT, MB/s", spread(plain, 1), ""),
            ("sent and proven, MB/s", spread(ours, 1), ""),
            ("of plain PUT", spread([b / a for a, b in zip(plain, ours, strict=True)]), ">= 0.8"),
            (f"memory taken for {count}, MB", f"{taken[0]:.0f}", ""),
            (f"memory taken for {MORE * count}, MB", f"{taken[1]:.0f}", "the same"),
        ],
    )


def taken_by_lane(made: Bench, count: int, size: int) -> float:
    made.pictures(count, size)
    before = begin_peak()
    made.lane()
    return peak_megabytes() - before
