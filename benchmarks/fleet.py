"""Many devices on one server process; numbers: how many devices, in turn (50 100 200).

Measured: a drain (all devices begin to send a backlog at the same instant, as after an outage), a shift (each sends
one inspection every few seconds), and a change of a master that all of them are told of at once. A batch's time is
from the first attempt to send it until it is acknowledged, refusals and their waits included.
Goal: from the fewest devices to the most, rows/s does not fall and the drain's p99 grows no faster than their number.
Limit: what the server alone takes in on this machine (`central`), less what the devices take of the same cores.

Rules of this file:
- A device is enrolled, greets, sends batches as `Pace` lets them grow, pulls, holds a long poll for each space open all
  the time, and waits as `backoff` says: the product's own code, but for its disk, because 200 would share one.
- Devices are threads of this process. What has arrived is counted in the database.
"""

from __future__ import annotations

import gc
import random
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import TypeVar

from benchmarks.centre import CLOCK, Centre, centre, many, one_inspection
from benchmarks.common import p99, report, spread
from edge_agent.sync import backoff
from edge_agent.sync.central import packed
from edge_agent.sync.client import open_client
from edge_agent.sync.engine import TRIED_AT_ONCE
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.push import Pace, plan_batch
from edge_agent.sync.sync import GATHER_S, WAIT_S
from sync_protocol.messages import HelloReply, HelloRequest, PushOp, PushRequest
from sync_protocol.tables import SPACES
from sync_protocol.version import ACCEPTED_VERSIONS, SCHEMA_VERSION

SIZES = (50, 100, 200)
ROUNDS = 3
BACKLOG = 50  # inspections of each device
PERIOD_S, SHIFT = 5.0, 3  # between two inspections of a device, and how many
MAX_BYTES = 1 << 20
MASTER = """INSERT INTO inspection_targets_master (id, product_code, product_name, version)
            VALUES (gen_random_uuid(), 'BENCH', 'Bench', '1')"""
TOUCH = "UPDATE inspection_targets_master SET product_name = product_name || '+'"
Answer = TypeVar("Answer")


class Device:
    """One device, connected until `close`. `batches_s`: seconds of every batch so far; `refused`: how often it was
    told to come again, `lost`: how often a connection broke; `pulled_s`: when it last held all that there was."""

    def __init__(self, centre: Centre) -> None:
        self._client = open_client(centre.url)
        self.device_id, self._central = centre.enrol(self._client)
        self._incarnation, self._ops = CLOCK.new_id(), 0
        self._cursors = dict.fromkeys(SPACES, 0)
        self.batches_s: list[float] = []
        self.refused, self.lost, self.pulled_s = 0, 0, 0.0
        self._catch_up("masters")
        for space in SPACES:
            threading.Thread(target=self._listen, args=(space,), daemon=True).start()

    def close(self) -> None:
        self._client.close()

    def prepare(self, inspection: list[PushOp], count: int) -> None:
        """Makes what the next `send`s send."""
        self._backlog = many(inspection, count, self._ops + 1)
        self._ops += len(self._backlog)

    def greet(self) -> HelloReply:
        request = HelloRequest(
            device_id=self.device_id,
            incarnation=self._incarnation,
            app_version="bench",
            protocol_versions=ACCEPTED_VERSIONS,
            schema_version=SCHEMA_VERSION,
            queue_head=self._ops,
            last_seq=0,
            last_ack=0,
            cursors=self._cursors,
        )
        return self._patiently(partial(self._central.hello, request))

    def drain(self) -> None:
        """Sends the whole backlog, as fast as the server takes it."""
        self.greet()
        pace, ops = Pace(), self._backlog
        while ops:
            batch = plan_batch(ops[: pace.rows + 1], pace.rows)
            ops = ops[len(batch) :]
            took_s, waited_s = self._send(batch)
            pace = pace.after(len(batch), took_s, is_full=bool(ops), waited_s=waited_s)

    def work_a_shift(self, inspections: int) -> None:
        """Sends the backlog as it is made: one inspection every PERIOD_S."""
        size, start_s = len(self._backlog) // inspections, perf_counter() + PERIOD_S * random.random()
        for number in range(inspections):
            sleep(max(0.0, start_s + number * PERIOD_S - perf_counter()))
            self._send(self._backlog[number * size : (number + 1) * size])

    def _send(self, batch: Sequence[PushOp]) -> tuple[float, float]:
        """Seconds from the first attempt to the answer, and those of the last one behind other devices' batches."""
        request = PushRequest(batch_id=CLOCK.new_id(), incarnation=self._incarnation, ops=tuple(batch))
        began_s = perf_counter()
        reply = self._patiently(partial(self._central.push, request, packed(request)))
        took_s = perf_counter() - began_s
        assert {result.outcome for result in reply.results} == {"applied"}, reply.results
        self.batches_s.append(took_s)
        return took_s, reply.waited_ms / 1000

    def _listen(self, space: str) -> None:
        try:
            while True:
                reply = self._patiently(partial(self._central.wait, space, self._cursors[space], WAIT_S))
                if reply.head > self._cursors[space]:
                    sleep(GATHER_S)
                    self._catch_up(space)
        except SyncFailed as failure:
            if not self._client.is_closed:
                raise RuntimeError(f"{self.device_id} no longer listens") from failure

    def _catch_up(self, space: str) -> None:
        epoch, has_more = self.greet().server_epoch, True
        while has_more:
            ask = partial(self._central.pull, space, self._cursors[space], epoch, MAX_BYTES)
            page, _ = self._patiently(ask)
            self._cursors[space], has_more = page.to_cursor, page.has_more
        self.pulled_s = perf_counter()

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        attempts = 0
        while True:
            try:
                return ask()
            except SyncFailed as failure:
                if failure.code_ in TRIED_AT_ONCE:
                    self.lost += 1
                    continue
                if failure.kind is not Kind.THROTTLE:
                    raise
                attempts, self.refused = attempts + 1, self.refused + 1
                sleep(backoff.delay_s(failure.kind, attempts, random.random(), failure.retry_after))


@dataclass(slots=True)
class Figures:
    """Of one number of devices, one entry a round; times in ms."""

    rows_per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    drain_p50: list[float] = field(default_factory=list)
    drain_p99: list[float] = field(default_factory=list)
    shift_p50: list[float] = field(default_factory=list)
    shift_p99: list[float] = field(default_factory=list)
    told_last: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    megabytes: float = 0.0


def run(work: Path, *sizes: int) -> None:
    found = {size: Figures() for size in sizes or SIZES}
    inspection = one_inspection(work / "template")
    with centre(work) as server:
        server.sql(MASTER)
        for number in range(ROUNDS):
            for size, figures in found.items():
                with fleet(server, size) as devices:
                    measure(server, devices, inspection, figures, is_last=number == ROUNDS - 1)
        server.require_sound_counts()
    for size, figures in found.items():
        tell(size, figures)
    tell_growth(found)


@contextmanager
def fleet(server: Centre, size: int) -> Iterator[list[Device]]:
    with ExitStack() as stack:
        devices = []
        for _ in range(size):
            devices.append(Device(server))
            stack.callback(devices[-1].close)
        yield devices


def measure(
    server: Centre, devices: list[Device], inspection: list[PushOp], figures: Figures, *, is_last: bool
) -> None:
    """One round of a drain and a change; the last one also works a shift."""
    cpu_s, rows = server.cpu_s(), len(devices) * BACKLOG * len(inspection)
    figures.rows_per_s.append(rows / together(server, devices, inspection, BACKLOG, Device.drain))
    figures.cpu_ms.append(1e6 * (server.cpu_s() - cpu_s) / rows)
    times_ms = [1e3 * one for device in devices for one in device.batches_s]
    figures.drain_p50.append(statistics.median(times_ms))
    figures.drain_p99.append(p99(times_ms))
    figures.told_last.append(1e3 * change(server, devices))
    if is_last:
        for device in devices:
            device.batches_s.clear()
        together(server, devices, inspection, SHIFT, lambda device: device.work_a_shift(SHIFT))
        times_ms = [1e3 * one for device in devices for one in device.batches_s]
        figures.shift_p50.append(statistics.median(times_ms))
        figures.shift_p99.append(p99(times_ms))
    figures.refused.append(sum(device.refused for device in devices))
    figures.lost.append(sum(device.lost for device in devices))
    figures.megabytes = server.megabytes()


def together(
    server: Centre,
    devices: list[Device],
    inspection: list[PushOp],
    count: int,
    work: Callable[[Device], None],
) -> float:
    """Seconds until every device has sent `count` inspections; all begin at once, all rows must arrive."""
    for device in devices:
        device.prepare(inspection, count)
    before = server.count("sync_ops")
    gc.collect()
    gc.freeze()
    start = threading.Barrier(len(devices), lambda: began_s.append(perf_counter()))
    began_s: list[float] = []

    def one(device: Device) -> None:
        start.wait()
        work(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        for _ in pool.map(one, devices):
            pass
    took_s = perf_counter() - began_s[0]
    assert server.count("sync_ops") - before == len(devices) * count * len(inspection)
    return took_s


def change(server: Centre, devices: list[Device]) -> float:
    """Seconds from the commit of a changed master until the last device has it."""
    began_s = perf_counter()
    server.sql(TOUCH)
    while any(device.pulled_s < began_s for device in devices):
        sleep(0.01)
    return max(device.pulled_s for device in devices) - began_s


def tell(size: int, figures: Figures) -> None:
    report(
        f"{size} devices, {len(SPACES) * size} long polls open; {ROUNDS} rounds",
        [
            ("drain, rows/s committed", spread(figures.rows_per_s, 0), ""),
            ("CPU ms of server and database for 1,000 rows", spread(figures.cpu_ms, 0), ""),
            ("a batch, p50, ms", spread(figures.drain_p50, 0), ""),
            ("a batch, p99, ms", spread(figures.drain_p99, 0), ""),
            (f"shift (an inspection every {PERIOD_S:.0f} s each), p50, ms", spread(figures.shift_p50, 1), ""),
            ("shift, p99, ms", spread(figures.shift_p99, 1), ""),
            ("a changed master is held by the last device, ms", spread(figures.told_last, 0), ""),
            ("requests told to come again", spread(figures.refused, 0), ""),
            ("connections that broke", spread(figures.lost, 0), "0"),
            ("memory of the server process, MB", f"{figures.megabytes:.0f}", ""),
        ],
    )


def tell_growth(found: dict[int, Figures]) -> None:
    (fewest, one), *_, (most, other) = found.items()
    rates = [b / a for a, b in zip(one.rows_per_s, other.rows_per_s, strict=True)]
    waits = [b / a for a, b in zip(one.drain_p99, other.drain_p99, strict=True)]
    report(
        f"from {fewest} to {most} devices",
        [
            ("rows/s", f"{spread(rates)} x", ">= 1 x"),
            ("p99 of a batch in the drain", f"{spread(waits)} x", f"<= {most / fewest:.0f} x"),
        ],
    )
