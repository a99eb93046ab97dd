"""From starting the process to serving, and what the agent costs when nothing happens.

Measured: seconds to the first good answer of /health/ready; then, idle, the share of a core and the memory.
Goal: 2 s, 1 % of a core, 250 MB.
Limit: importing the libraries.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.common import BENCH, ROUNDS, report, spread
from benchmarks.daemon import Daemon, daemon
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.demo import BUNDLE

IDLE_S = 20.0
SETTLE_S = 5.0


def run(work: Path) -> None:
    with running_services(load_config(work / "data", port=0), Clock()) as services:
        services.masters.import_bundle(BUNDLE, BENCH)
    ready, cores, memory = [], [], []
    for number in range(ROUNDS + 1):
        with daemon(work / "data") as agent:
            if number:  # the first one warms the disk cache
                ready.append(agent.ready_s)
                time.sleep(SETTLE_S)
                memory.append(megabytes(agent))
                cores.append(idle_percent(agent))
    report(
        f"start and idle, demo masters, {ROUNDS} starts with a warm disk cache",
        [
            ("process start -> ready, s", spread(ready), "<= 2 s"),
            (f"idle for {IDLE_S:.0f} s: % of one core, daemon + inference", spread(cores), "<= 1 %"),
            ("resident memory, daemon + inference, MB", spread(memory, 0), "<= 250 MB"),
        ],
    )


def idle_percent(agent: Daemon) -> float:
    before = cpu_s(agent)
    time.sleep(IDLE_S)
    return (cpu_s(agent) - before) / IDLE_S * 100


def cpu_s(agent: Daemon) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in agent.family()))


def megabytes(agent: Daemon) -> float:
    return float(sum(process.memory_info().rss for process in agent.family())) / 1e6
