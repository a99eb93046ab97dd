"""Images to the object store, against plain parallel PUT: `python -m benchmarks.blobs [IMAGES] [BYTES EACH]`.

Rules of this file:
- A real `central-server run` with its embedded PostgreSQL (fsync on) and object store, a real edge store with real
  files. Both ways use the same HTTP client, four requests in flight, and fresh bytes every time.
- Plain PUT reads each file and sends it by a ticket asked for outside the clock: no hash, no question, no proof.
- The two ways take turns; each figure is a median of three runs. Memory is the peak of this process.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from edge_agent.clock import Clock
from edge_agent.store.database import insert
from edge_agent.sync.blobs import BlobLane
from edge_agent.sync.central import Central, open_client
from sync_protocol.canonical import sha256_hex
from sync_protocol.messages import Blob, EnrollRequest, UploadTicket
from tests.acceptance.program import PROGRAM, command, daemon
from tests.store_factory import DAY, Store, Ticking

RUNS = 3
IN_FLIGHT = 4
ASKED_AT_ONCE = 500
SERVER = PROGRAM.with_name("central-server")
CLOCK = Clock()


@dataclass
class Bench:
    central: Central
    store: Store

    def pictures(self, count: int, size: int) -> list[tuple[Path, Blob]]:
        """So many durable pictures with their rows, of one session."""
        session_id, made = self.store.add_session(), []
        for _ in range(count):
            data, image_id = os.urandom(size), CLOCK.new_id()
            staged = self.store.blobs.stage(data, image_id, "image/png", DAY)
            os.replace(staged.path, staged.final)
            blob = Blob(sha256=sha256_hex(data), size=size)
            with self.store.database.write() as tx:
                insert(tx, "inspection_images", row(image_id, session_id, staged.file_path, blob))
            made.append((staged.final, blob))
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
        lane = BlobLane(
            self.store.database, self.store.blobs, self.central, CLOCK, lambda *_: None, parallel=IN_FLIGHT
        )
        start = perf_counter()
        while lane.step():
            pass
        took = perf_counter() - start
        with self.store.database.read() as reader:
            left = reader.execute(
                "SELECT count(*) FROM inspection_images WHERE uploaded_at IS NULL"
            ).fetchone()
        assert left[0] == 0, f"{left[0]} pictures were not proven"
        return took

    def _tickets(self, blobs: list[Blob]) -> Iterator[UploadTicket]:
        for first in range(0, len(blobs), ASKED_AT_ONCE):
            yield from self.central.have(blobs[first : first + ASKED_AT_ONCE], wants_tickets=True).tickets


def row(image_id: str, session_id: str, file_path: str, blob: Blob) -> dict[str, object]:
    now = CLOCK.now()
    instants = {"created_at": now, "captured_at": now}
    fixed = {
        "item_id": "plate-face",
        "mime_type": "image/png",
        "width_px": 1,
        "height_px": 1,
        "source": "camera",
    }
    file = {"file_path": file_path, "file_size": blob.size, "sha256": blob.sha256, "state": "inspected"}
    return {"id": image_id, "session_id": session_id, **instants, **fixed, **file}


@contextmanager
def bench(work: Path) -> Iterator[Bench]:
    (work / "edge").mkdir()
    with daemon(work / "centre", program=SERVER) as server:
        issued = command(work / "centre", "device", "code", "--json", program=SERVER).stdout
        code = issued.split('"code": "')[1].split('"')[0]
        with open_client(server.url) as client:
            request = EnrollRequest(
                code=code, device_id=CLOCK.new_id(), device_type="tablet", app_version="1"
            )
            token = Central(server.url, "", client, CLOCK).enroll(request).token
            store = Store(work / "edge", Ticking(CLOCK.time()))
            store.add_masters()
            yield Bench(Central(server.url, token, client, CLOCK), store)
            store.close()
        server.terminate()


def run(work: Path, count: int = 1000, size: int = 200_000) -> None:
    plain, ours = [], []
    megabytes = count * size / 1e6
    with bench(work) as made:
        made.pictures(40, size)
        made.lane()  # warm
        for _ in range(RUNS):
            plain.append(megabytes / made.plain_put(made.pictures(count, size)))
            made.pictures(count, size)
            ours.append(megabytes / made.lane())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} images of {size} bytes, {IN_FLIGHT} in flight, median of {RUNS}")
    print(f"  plain PUT          {median(plain):8.1f} MB/s")
    print(f"  sent and proven    {median(ours):8.1f} MB/s   {median(ours) / median(plain):.2f} of plain PUT")
    print(f"  memory, peak       {peak:8.1f} MB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-blobs-") as directory:
        Path(directory).chmod(0o755)  # embedded servers do not run as root
        run(Path(directory), *map(int, sys.argv[1:]))
