"""Through the API, one picture at a time.

Measured: milliseconds from the upload until its durable verdict is in the reply, against the floor.
Goal: at most 5 ms more than the floor.
Limit: the floor (`floor.py`): the same work in a bare script.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.common import (
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
from benchmarks.daemon import Daemon, daemon

PICTURES = 60


def run(work: Path) -> None:
    pictures = draw_pictures(work / "pictures", PICTURES)
    for network in (FACTORY_SIZED, DEMO_SIZED):
        measure(work / network.name.split()[0], pictures, network)


def measure(root: Path, pictures: Path, network: Network) -> None:
    with bench_agent(root, network):
        pass  # the masters are in the store; now the daemon gets it
    floors, ours = [], []
    with daemon(root / "data") as agent:
        upload_all(agent, fresh_copies(pictures, root / "warm", "warm"))
        for number in range(ROUNDS):
            copies = fresh_copies(pictures, root / f"round{number}", f"round{number}")
            floor = floor_ms(model_of(root), root / f"floor{number}", copies, network.size)
            floors.append(statistics.median(floor))
            ours.append(statistics.median(upload_all(agent, copies)))
    report(
        f"API, {network.name} network: upload -> verdict in the reply, p50 per round, {ROUNDS} rounds",
        [
            ("floor, ms", spread(floors), ""),
            ("agent, ms", spread(ours), ""),
            ("agent - floor, ms", spread([a - f for a, f in zip(ours, floors, strict=True)]), "<= 5 ms"),
        ],
    )


def upload_all(agent: Daemon, pictures: Path) -> list[float]:
    """Milliseconds of each upload until its verdict is in our hands; one connection, kept open."""
    code = f'{{"product":"BENCH","serial":"{pictures.name}-{time.time_ns()}"}}'
    view = agent.client.post("/api/v1/sessions", json={"text": code}).raise_for_status().json()
    item_id = view["items"][0]["item"]["id"]
    url = f"/api/v1/sessions/{view['session']['id']}/items/{item_id}/images"
    milliseconds = []
    for path in sorted(pictures.iterdir()):
        start = time.perf_counter()
        answer = agent.client.post(url, content=path.read_bytes(), headers={"Content-Type": "image/jpeg"})
        milliseconds.append((time.perf_counter() - start) * 1e3)
        assert answer.status_code == 201, answer.text
    return milliseconds
