"""Every world comes to rest with nothing lost, nothing doubled, and nothing unverified; and every bug is found."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.centre import Ground
from tests.simulation.world import Broken, lived

WORLDS, IN_ONE_TEST = 300, 10
SEEDS_TO_FIND_A_BUG = 150


@pytest.mark.parametrize("first", range(1, WORLDS + 1, IN_ONE_TEST))
def test_worlds_come_to_rest(first: int, ground: Ground) -> None:
    _live_all(range(first, first + IN_ONE_TEST), ground)


def test_a_seed_replays_exactly(ground: Ground) -> None:
    assert lived(7, ground).diary == lived(7, ground).diary


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_simulation_finds(bug: Bug, ground: Ground) -> None:
    with bug(), pytest.raises(Broken):
        _live_all(range(1, SEEDS_TO_FIND_A_BUG + 1), ground)


def _live_all(seeds: Iterable[int], ground: Ground) -> None:
    for seed in seeds:
        lived(seed, ground)
