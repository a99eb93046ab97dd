"""A full hot folder.

Measured: images per second, each a target, session and verdict of its own, against the floor's sequential rate.
Goal: at least 1.5 times the floor with a network of 5-10 ms, as much as the floor with a small one.
Limit: the cores, which the network alone keeps busy.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from pathlib import Path

from benchmarks.common import (
    BENCH,
    DEMO_SIZED,
    FACTORY_SIZED,
    ROUNDS,
    Network,
    bench_agent,
    draw_pictures,
    floor_ms,
    fresh_copies,
    model_of,
    report,
    spread,
)
from edge_agent.api.services import Services
from edge_agent.store import settings

PICTURES = 300


def run(work: Path) -> None:
    pictures = draw_pictures(work / "pictures", PICTURES)
    for network, goal in ((FACTORY_SIZED, ">= 1.5 x"), (DEMO_SIZED, ">= 1.0 x")):
        measure(work / network.name.split()[0], pictures, network, goal)


def measure(root: Path, pictures: Path, network: Network, goal: str) -> None:
    floors, ours = [], []
    with bench_agent(root, network, workers=2) as agent:
        for number in range(ROUNDS + 1):
            copies = fresh_copies(pictures, root / f"folder{number}", f"round{number}")
            milliseconds = floor_ms(model_of(root), root / f"floor{number}", copies, network.size)
            rate = empty_folder(agent, copies, f"folder{number}")
            if number:  # the first round warms both up
                floors.append(1e3 / statistics.mean(milliseconds))
                ours.append(rate)
        assert list(agent.check()) == []
    report(
        f"full hot folder, {network.name} network: images/s, {PICTURES} files, {ROUNDS} rounds",
        [
            ("floor, sequential", spread(floors, 0), ""),
            ("agent, each file a target, session and verdict of its own", spread(ours, 0), ""),
            ("agent / floor", spread([a / f for a, f in zip(ours, floors, strict=True)]), goal),
        ],
    )


def empty_folder(agent: Services, folder: Path, name: str) -> float:
    """Images per second from the folder's appearance to the last durable verdict."""
    count = len(list(folder.iterdir()))
    value = {"path": str(folder), "product": "BENCH", "item": "LOOK", "session": "auto", "settle_s": 0.0}
    with agent.database.read() as reader:
        before = judged(reader)
        with agent.database.write(BENCH) as tx:
            settings.put(tx, f"folder.{name}", value, agent.clock.now())
        start = time.perf_counter()
        agent.folders.reload()
        while judged(reader) < before + count:
            time.sleep(0.01)
        seconds = time.perf_counter() - start
    with agent.database.write(BENCH) as tx:
        settings.remove(tx, f"folder.{name}")
    agent.folders.reload()
    return count / seconds


def judged(reader: sqlite3.Connection) -> int:
    row = reader.execute("SELECT count(*) FROM ai_inspection_results").fetchone()
    return int(row[0])
