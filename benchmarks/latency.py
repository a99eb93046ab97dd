"""Capture → durable verdict, one image at a time.

Measured: the agent's own milliseconds against the floor's, and the fsyncs and commits of each image.
Goal: at most 1.15 times the floor with a network of 5-10 ms, 1.5 ms more with a small one.
Limit: the floor (`floor.py`): the same work in a bare script.
"""

from __future__ import annotations

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
from edge_agent.models import ImageSource

PICTURES = 60


def run(work: Path) -> None:
    pictures = draw_pictures(work / "pictures", PICTURES)
    for network, goal in ((FACTORY_SIZED, "<= 1.15 x"), (DEMO_SIZED, "<= floor + 1.5 ms")):
        measure(work / network.name.split()[0], pictures, network, goal)


def measure(root: Path, pictures: Path, network: Network, goal: str, name: str = "latency") -> None:
    """Prints p50 of floor and agent, their ratio and difference, and what each image cost in syncs."""
    floors, ours = [], []
    with bench_agent(root, network) as agent:
        judge_all(agent, fresh_copies(pictures, root / "warm", "warm"))
        syncs, commits = agent.blobs.fsyncs, agent.database.commits
        for number in range(ROUNDS):
            copies = fresh_copies(pictures, root / f"round{number}", f"round{number}")
            floors.append(
                statistics.median(floor_ms(model_of(root), root / f"floor{number}", copies, network.size))
            )
            ours.append(statistics.median(judge_all(agent, copies)))
        images = ROUNDS * len(list(pictures.iterdir()))
        fsyncs = (agent.blobs.fsyncs - syncs) / images
        transactions = (agent.database.commits - commits - ROUNDS) / images
    report(
        f"{name}, {network.name} network: capture -> durable verdict, p50 per round, {ROUNDS} rounds",
        [
            ("floor, ms", spread(floors), ""),
            ("agent, ms", spread(ours), ""),
            ("agent / floor", spread([a / f for a, f in zip(ours, floors, strict=True)]), goal),
            ("agent - floor, ms", spread([a - f for a, f in zip(ours, floors, strict=True)]), ""),
            ("file and directory fsyncs per image", f"{fsyncs:.2f}", ""),
            ("commits (1 fsync each) per image", f"{transactions:.2f}", ""),
        ],
    )


def judge_all(agent: Services, pictures: Path) -> list[float]:
    """Milliseconds from bytes in memory to the verdict being durable, for each picture."""
    code = f'{{"product":"BENCH","serial":"{pictures.name}-{time.time_ns()}"}}'
    view = agent.sessions.start(code, BENCH)
    item_id = view.items[0].item.id
    milliseconds = []
    for path in sorted(pictures.iterdir()):
        start = time.perf_counter()
        data = path.read_bytes()
        added = agent.intake.add(
            view.session.id, item_id, data, source=ImageSource.UPLOAD, origin=path.name, actor=BENCH
        )
        added.verdict.result(60)
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return milliseconds
