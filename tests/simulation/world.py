"""One world: agents, a centre, a network, a clock, and one seed that decides everything that happens.

Rules of this file:
- `World(seed).live()` does the same every time; `diary` says what happened, for whoever replays it.
- Time passes only when somebody sends, waits or sleeps.
- After every step the invariants are asked; when it is over the faults stop, and everything must come to rest.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx

from edge_agent.errors import AgentError
from tests.servers import memory
from tests.simulation import invariants
from tests.simulation.agent import Agent, Killed
from tests.simulation.centre import Centre, Ground
from tests.simulation.network import CENTRE, STORE, Fault, Network
from tests.simulation.store import Shelf

START_S = 1_795_435_200.0
REQUEST_S = 0.02
YEARS_S = 5 * 365 * 86_400
STEPS = 60
ROUNDS_TO_REST = 40


class Broken(AssertionError):
    """An invariant does not hold."""


class World:
    """`agents` tablets and their centre."""

    def __init__(self, seed: int, ground: Ground, folder: Path, *, agents: int = 2) -> None:
        self.seed, self.dice = seed, random.Random(seed)
        self.now_s = START_S
        self.diary: list[str] = []
        self.cursors: dict[tuple[str, str | None], int] = {}
        self.shelf = Shelf(verifies=self.dice.random() < 0.5)
        self.centre = Centre(ground, lambda: self.now_s, self.dice, self.shelf, folder / "centre")
        self.network = Network(self.dice, self._sent)
        self.network.hosts = {CENTRE: self.centre, STORE: self.shelf}
        self.agents = [self._agent(f"agent{number}", folder) for number in range(1, agents + 1)]

    def close(self) -> None:
        for agent in self.agents:
            agent.lose_power()
        self.centre.close()

    def live(self) -> None:
        """The whole story. Raises Broken."""
        self._begin()
        deeds = self._deeds()
        for _ in range(STEPS):
            deed = self.dice.choice(deeds)
            self._do(deed)
            self._require(invariants.always(self), deed.__name__)
        self._come_to_rest()

    # ── the story ───────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self.centre.add_user("mika")
        self.centre.add_product("PLATE")
        for agent in self.agents:
            agent.enrol(self.centre.code())
        for agent in self.dice.sample(self.agents, self.dice.randint(1, len(self.agents))):
            agent.run_pass()
        faults = self.dice.sample(list(Fault), self.dice.randint(2, 7))
        self.network.weather.shares = {fault: self.dice.uniform(0.02, 0.2) for fault in faults}

    def _deeds(self) -> list[Callable[[], None]]:
        """What may happen, as often as it is named."""
        common = [self.inspect] * 8 + [self.sync] * 10 + [self.wait] * 4 + [self.change_masters] * 3
        rare = [
            self.late,
            self.cut,
            self.mend,
            self.power,
            self.power,
            self.power,
            self.set_clock,
            self.store,
            self.night,
        ]
        if self.dice.random() < 0.3:
            self.centre.back_up()
            rare += [self.back_up, self.restore]
        return [*common, *rare, self.new_product]

    def inspect(self) -> None:
        agent = self._someone()
        self._powered(agent, lambda: agent.inspect(finish=self.dice.random() < 0.8))

    def sync(self) -> None:
        agent = self._someone()
        self._powered(agent, agent.run_pass)

    def night(self) -> None:
        agent = self._someone()
        self._powered(agent, agent.compare)

    def wait(self) -> None:
        self.now_s += self.dice.choice([1, 5, 60, 400])

    def change_masters(self) -> None:
        self._note(self.centre.change_something())

    def new_product(self) -> None:
        self.centre.add_product(f"P{self.dice.randrange(10**6)}")

    def late(self) -> None:
        self.network.deliver_late()

    def cut(self) -> None:
        self.network.weather.cut.add((self._someone().name, self.dice.choice([CENTRE, STORE])))

    def mend(self) -> None:
        self.network.weather.cut.clear()
        self.shelf.is_down = False

    def power(self) -> None:
        """The power goes during what somebody does next; there is something to do."""
        agent = self._someone()
        self.change_masters()
        self._powered(agent, agent.inspect)
        agent.kill_after(self.dice.randrange(15))
        self._powered(agent, self.dice.choice([agent.run_pass, agent.run_pass, agent.inspect]))
        agent.spare()

    def set_clock(self) -> None:
        self._someone().offset_s = self.dice.choice([0, -3600, 90, YEARS_S, -YEARS_S])

    def store(self) -> None:
        self.shelf.is_down = True

    def back_up(self) -> None:
        self.centre.back_up()

    def restore(self) -> None:
        self.centre.restore(renews_epoch=self.dice.random() < 0.5)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────

    def _agent(self, name: str, folder: Path) -> Agent:
        def connect(gate: Callable[[str], None]) -> httpx.Client:
            return self.network.client(name, gate)

        made = Agent(name, folder / name, lambda: self.now_s, self._sleep, self.dice, connect)
        made.start()
        return made

    def _someone(self) -> Agent:
        return self.dice.choice(self.agents)

    def _do(self, deed: Callable[[], None]) -> None:
        self._note(deed.__name__)
        deed()

    def _powered(self, agent: Agent, deed: Callable[[], None]) -> None:
        """The deed, unless the power goes; then the agent starts anew. What it refuses, it refuses."""
        self._note(f"{agent.name} {deed.__name__}")
        try:
            deed()
        except Killed as error:
            self._note(f"killed: {error}")
            agent.lose_power()
            agent.start()
        except AgentError as error:
            self._note(f"refused: {error.code_}")

    def _come_to_rest(self) -> None:
        self.network.weather.calm()
        self.shelf.is_down = False
        while self.network.deliver_late():
            pass
        for _ in range(ROUNDS_TO_REST):
            for agent in self.agents:
                self._powered(agent, agent.run_pass)
            self._require(invariants.always(self), "resting")
            if not any(agent.wait_s() for agent in self.agents) and not self._wrong_at_rest():
                return
            self.now_s += 310
            for agent in self.agents if self.centre.restores else []:
                self._powered(agent, agent.compare)  # without a new epoch nothing else may tell
        self._require(invariants.at_rest(self), "at rest")

    def _wrong_at_rest(self) -> list[str]:
        return list(invariants.at_rest(self))

    def _require(self, wrong: Iterable[str], where: str) -> None:
        if found := list(wrong):
            raise Broken(f"seed {self.seed}, {where}:\n  " + "\n  ".join([*found[:8], *self.diary[-30:]]))

    def _sent(self, what: str) -> None:
        self.now_s += REQUEST_S
        self._note(what)

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def _note(self, what: str) -> None:
        self.diary.append(what)


def lived(seed: int, ground: Ground) -> World:
    """The world of this seed, after its story. Raises Broken."""
    with tempfile.TemporaryDirectory(dir=memory(), prefix=f"world-{seed}-") as home:
        world = World(seed, ground, Path(home))
        try:
            world.live()
        finally:
            world.close()
    return world
