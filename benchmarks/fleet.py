"""Many devices on one server process; numbers: how many devices, in turn (50 100 200).

Measured: a drain (all devices begin to send a backlog at the same instant, as after an outage), a shift (each sends
one inspection every few seconds), a change of a master that all of them are told of at once, and what a request costs
the server. A batch's time is from the first attempt to send it until it is acknowledged, refusals and their waits
included. A change's processor time is the server's with its database, and the devices' beside it: both on two cores.
Goal: from the fewest devices to the most, rows/s does not fall and the drain's p99 grows no faster than their number.
Limit: what the server alone takes in on this machine (`central`), less what the devices take of the same cores.

Rules of this file:
- A device is enrolled, greets, sends batches as `Pace` lets them grow, pulls, holds a long poll for each space open all
  the time, and waits as `backoff` says: the product's own code, but for its disk, because 200 would share one.
- Devices are threads of this process. What has arrived is counted in the database.
- A device that fails ends the run, and so does Ctrl-C; nothing is waited for without an end.
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
from time import perf_counter, process_time, sleep
from typing import TypeVar

from benchmarks.centre import CLOCK, Centre, centre, many, one_inspection
from benchmarks.common import p99, progress, report, spread
from edge_agent.sync import backoff
from edge_agent.sync.central import packed
from edge_agent.sync.client import open_client
from edge_agent.sync.engine import TRIED_AT_ONCE
from edge_agent.sync.lane import Kind, SyncFailed
from edge_agent.sync.push import Pace, plan_batch
from edge_agent.sync.sync import GATHER_S, WAIT_S
from sync_protocol.messages import HelloReply, HelloRequest, PushOp, PushRequest, WaitReply
from sync_protocol.tables import SPACES
from sync_protocol.version import ACCEPTED_VERSIONS, SCHEMA_VERSION
from sync_protocol.wire import PageColumns

SIZES = (50, 100, 200)
ROUNDS = 3
BACKLOG = 50  # inspections of each device
PERIOD_S, SHIFT = 5.0, 3  # between two inspections of a device, and how many
MAX_BYTES = 1 << 20
TOLD_S = 60.0  # whoever has not heard of a change by then never will
REQUESTS = 200  # of each kind, for what one costs
MASTER = """INSERT INTO inspection_targets_master (id, product_code, product_name, version)
            VALUES (gen_random_uuid(), 'BENCH', 'Bench', '1')"""
TOUCH = "UPDATE inspection_targets_master SET product_name = product_name || '+'"
Answer = TypeVar("Answer")


class Device:
    """One device, connected until `close`. `batches_s`: seconds of every batch so far; `refused`: how often it was
    told to come again, `lost`: how often a connection broke; `pulled_s`: when it last held all that there was;
    `failure`: why it no longer listens."""

    def __init__(self, centre: Centre) -> None:
        self._client = open_client(centre.url)
        self.device_id, self._central = centre.enrol(self._client)
        self._incarnation, self._ops = CLOCK.new_id(), 0
        self._cursors = dict.fromkeys(SPACES, 0)
        self.batches_s: list[float] = []
        self.refused, self.lost, self.pulled_s = 0, 0, 0.0
        self.failure: SyncFailed | None = None
        self.epoch = self.greet().server_epoch
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
                if self.wait(space, self._cursors[space]).head > self._cursors[space]:
                    sleep(GATHER_S)
                    self._catch_up(space)
        except SyncFailed as failure:
            self.failure = failure

    def wait(self, space: str, cursor: int) -> WaitReply:
        return self._patiently(partial(self._central.wait, space, cursor, WAIT_S))

    def pull(self, space: str, cursor: int) -> PageColumns:
        page, _ = self._patiently(partial(self._central.pull, space, cursor, self.epoch, MAX_BYTES))
        return page

    def _catch_up(self, space: str) -> None:
        has_more = True
        while has_more:
            page = self.pull(space, self._cursors[space])
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
    told_first: list[float] = field(default_factory=list)
    told_last: list[float] = field(default_factory=list)
    told_cpu: list[float] = field(default_factory=list)
    told_devices_cpu: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    megabytes: float = 0.0


def run(work: Path, *sizes: int) -> None:
    found = {size: Figures() for size in sizes or SIZES}
    inspection = one_inspection(work / "template")
    with centre(work) as server:
        server.sql(MASTER)
        for number in range(1, ROUNDS + 1):
            for size, figures in found.items():
                began_s = perf_counter()
                with fleet(server, size) as devices:
                    progress(
                        f"round {number} of {ROUNDS}: {size} devices in {perf_counter() - began_s:.1f} s"
                    )
                    measure(server, devices, inspection, figures, is_last=number == ROUNDS)
        costs = list(request_costs(server))
        began_s = perf_counter()
        server.require_sound_counts()
        progress(f"counted again in {perf_counter() - began_s:.1f} s")
    for size, figures in found.items():
        tell(size, figures)
    report("one device alone, CPU ms of the server process", costs)
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
    batch_times(devices, "drain", figures.drain_p50, figures.drain_p99)
    change(server, devices, figures)
    if is_last:
        together(server, devices, inspection, SHIFT, lambda device: device.work_a_shift(SHIFT))
        batch_times(devices, "shift", figures.shift_p50, figures.shift_p99)
    figures.refused.append(sum(device.refused for device in devices))
    figures.lost.append(sum(device.lost for device in devices))
    figures.megabytes = server.megabytes()


def batch_times(devices: list[Device], phase: str, half: list[float], most: list[float]) -> None:
    """Adds the median and the p99 of all batches since the last time, ms."""
    times_ms = [1e3 * one for device in devices for one in device.batches_s]
    for device in devices:
        device.batches_s.clear()
    half.append(statistics.median(times_ms))
    most.append(p99(times_ms))
    progress(f"{phase}: {len(times_ms)} batches, p50 {half[-1]:.0f} ms, p99 {most[-1]:.0f} ms")


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
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    start = threading.Barrier(len(devices), lambda: began_s.append(perf_counter()))
    began_s: list[float] = []

    def one(device: Device) -> None:
        start.wait()
        work(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            for _ in pool.map(one, devices):
                pass
        except BaseException:  # also Ctrl-C: the pool waits for what its threads wait for
            start.abort()
            for device in devices:
                device.close()
            raise
    took_s = perf_counter() - began_s[0]
    assert server.count("sync_ops") - before == len(devices) * count * len(inspection)
    return took_s


def change(server: Centre, devices: list[Device], figures: Figures) -> None:
    """Adds what it takes from the commit of a changed master until the first and the last device have it."""
    cpu_s, devices_cpu_s, began_s = server.cpu_s(), process_time(), perf_counter()
    server.sql(TOUCH)
    while any(device.pulled_s < began_s for device in devices):
        for failure in filter(None, (device.failure for device in devices)):
            raise RuntimeError("a device no longer listens") from failure
        assert perf_counter() - began_s < TOLD_S, "a change is not heard of"
        sleep(0.05)
    told_ms = [1e3 * (device.pulled_s - began_s) for device in devices]
    figures.told_first.append(min(told_ms))
    figures.told_last.append(max(told_ms))
    figures.told_cpu.append(1e3 * (server.cpu_s() - cpu_s) / len(devices))
    figures.told_devices_cpu.append(1e3 * (process_time() - devices_cpu_s) / len(devices))
    progress(
        f"change: held by the first after {min(told_ms):.0f} ms, by the last after {max(told_ms):.0f} ms"
    )


def request_costs(server: Centre) -> Iterator[tuple[str, str, str]]:
    """A row of a report for each kind of request but a push."""
    device = Device(server)
    before = device.pull("masters", 0).to_cursor - 1
    asks: dict[str, Callable[[], object]] = {
        "a hello": device.greet,
        "a pull of one row": partial(device.pull, "masters", before),
        "a long poll that is answered": partial(device.wait, "masters", before),
    }
    for name, ask in asks.items():
        times = server.process.cpu_times()
        for _ in range(REQUESTS):
            ask()
        after = server.process.cpu_times()
        yield name, f"{1e3 * (sum(after[:2]) - sum(times[:2])) / REQUESTS:.2f}", ""
    device.close()


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
            ("a changed master is held by the first device, ms", spread(figures.told_first, 0), ""),
            ("a changed master is held by the last device, ms", spread(figures.told_last, 0), "<= 1000"),
            ("CPU ms of it, server and database, a device", spread(figures.told_cpu), ""),
            ("CPU ms of it, the device itself", spread(figures.told_devices_cpu), ""),
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
