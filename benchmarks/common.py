"""What every benchmark needs: pictures, the floor's figures, an agent with a bundle, a table.

Rules of this file:
- Floor and agent do the same work on the same pictures in turns, round by round, in one run; what is printed
  is the ratio (or difference) of each round's medians, as median [min-max] over the rounds.
- Every round's pictures have other bytes: the agent recognises what it has seen.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.networks import write_bundle, write_classifier
from edge_agent.api.services import Services
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.models import Actor

BENCH = Actor("bench")
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Network:
    """`size` pixels square at the input; `layers` and `channels` of 3×3 convolutions decide the cost."""

    name: str
    size: int
    channels: int
    layers: int


DEMO_SIZED = Network("small (0.5 ms)", 128, 8, 3)
FACTORY_SIZED = Network("factory (5-10 ms)", 224, 32, 7)


def draw_pictures(folder: Path, count: int, width: int = 640, height: int = 480) -> Path:
    """`count` JPEGs of photograph-like content."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    for number in range(count):
        noise = random.integers(0, 255, (height // 8, width // 8, 3), np.uint8)
        pixels = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        grain = random.integers(0, 12, (height, width, 1), np.uint8)
        cv2.imwrite(str(folder / f"{number:04}.jpg"), cv2.add(pixels, np.repeat(grain, 3, 2)), [1, 90])
    return folder


def fresh_copies(source: Path, target: Path, mark: str) -> Path:
    """The same pictures with other bytes (a comment after the end marker, which decoders ignore)."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        (target / f"{mark}-{path.name}").write_bytes(path.read_bytes() + mark.encode())
    return target


def floor_ms(model: Path, work: Path, pictures: Path, size: int) -> list[float]:
    """Milliseconds per picture of the bare script, in a process of its own."""
    work.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.floor", model, work, pictures, "--size", str(size)]
    finished = subprocess.run([str(part) for part in command], check=True, capture_output=True)
    milliseconds: list[float] = json.loads(finished.stdout)["ms"]
    return milliseconds


@contextmanager
def bench_agent(root: Path, network: Network, **settings: object) -> Iterator[Services]:
    """An agent in this process whose product BENCH is judged by the network; its model lies at `model_of`."""
    defaults: dict[str, object] = {"port": 0, "min_free_bytes": 0, "review_share": 0.0, "backup_keep": 0}
    bundle = prepare(root, network)
    with running_services(load_config(root / "data", **{**defaults, **settings}), Clock()) as services:
        services.masters.import_bundle(bundle, BENCH)
        yield services


def prepare(root: Path, network: Network) -> Path:
    """Writes the network and its bundle below `root`; returns the bundle's folder."""
    root.mkdir(parents=True, exist_ok=True)
    write_classifier(model_of(root), network.size, network.channels, network.layers)
    (root / "bundle").mkdir()
    write_bundle(root / "bundle", model_of(root), network.size)
    return root / "bundle"


def model_of(root: Path) -> Path:
    return root / "model.onnx"


def server_folder(path: Path) -> Path:
    """A folder that embedded servers can reach: they do not run as root."""
    path.parent.chmod(0o755)
    path.mkdir(exist_ok=True)
    return path


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median [min-max]`."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} [{low:.{digits}f}-{high:.{digits}f}]"


def begin_peak(pid: int | str = "self") -> float:
    """From here on `peak_megabytes` counts anew (Linux); returns what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_megabytes(pid)


def peak_megabytes(pid: int | str = "self") -> float:
    """The most memory the process had resident."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    [peak_kb] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak_kb) * 1024 / 1e6


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def timed(name: str, query: Callable[[random.Random], object], count: int) -> tuple[str, str, str]:
    """A row of a report: milliseconds of `count` calls, each with the same chance in every run."""
    chance = random.Random(7)
    milliseconds = []
    for _ in range(count):
        start = time.perf_counter()
        query(chance)
        milliseconds.append((time.perf_counter() - start) * 1e3)
    p50, longest = statistics.median(milliseconds), max(milliseconds)
    return name, f"p50 {p50:.2f}  p99 {p99(milliseconds):.2f}  max {longest:.1f}", "p99 <= 50"


def progress(text: str) -> None:
    """Something long has come this far."""
    print(f"  … {text}", flush=True)


def report(title: str, rows: Sequence[tuple[str, str, str]]) -> None:
    """One benchmark's result: what, measured, asked for."""
    print(f"\n{title}")
    width = max(len(row[0]) for row in rows)
    for what, measured, goal in rows:
        print(f"  {what:<{width}}  {measured:<28} {f'goal {goal}' if goal else ''}".rstrip())
    sys.stdout.flush()
