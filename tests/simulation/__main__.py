"""`make simulate SEEDS=N`: N worlds, beginning with FIRST, in PROCESSES processes; or one seed with its diary.

Rules of this file:
- A failing seed is named with what went wrong, and replays exactly: `python -m tests.simulation --seed S`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter

from tests.servers import memory, postgres
from tests.simulation.centre import Ground
from tests.simulation.world import Broken, lived


def live(seeds: Iterable[int]) -> list[str]:
    """What went wrong, world by world, on a PostgreSQL of this process' own."""
    logging.disable(logging.CRITICAL)
    wrong = []
    with postgres(directory=memory()) as url:
        ground = Ground(url)
        for seed in seeds:
            try:
                lived(seed, ground)
            except Broken as error:
                wrong.append(str(error))
        ground.close()
    return wrong


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.simulation")
    arguments.add_argument("--seeds", type=int, default=300, help="how many worlds")
    arguments.add_argument("--first", type=int, default=1, help="the first seed")
    arguments.add_argument("--seed", type=int, help="this one only, with its diary")
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = arguments.parse_args()
    if asked.seed is not None:
        with postgres(directory=memory()) as url:
            sys.stdout.write("\n".join([*lived(asked.seed, Ground(url)).diary, ""]))
        return 0
    began_s, seeds = perf_counter(), range(asked.first, asked.first + asked.seeds)
    with ProcessPoolExecutor(asked.processes) as pool:
        wrong = [one for part in pool.map(live, _shared_out(seeds, asked.processes)) for one in part]
    told = f"{len(seeds)} worlds, {len(wrong)} broken, {perf_counter() - began_s:.0f} s\n"
    sys.stdout.write("\n\n".join([*wrong, told]))
    return 1 if wrong else 0


def _shared_out(seeds: range, processes: int) -> list[list[int]]:
    return [list(seeds[start::processes]) for start in range(processes)]


if __name__ == "__main__":
    sys.exit(main())
