"""A store with a push lane to a server that keeps its promises."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from edge_agent.clock import Clock
from edge_agent.sync import device
from edge_agent.sync.device import Standing
from edge_agent.sync.lane import SyncFailed
from edge_agent.sync.push_lane import PushLane
from tests.at_once import AtOnce
from tests.store_factory import Store
from tests.sync.reference import (
    EPOCH,
    ReferenceServer,
)


class Site:
    """One agent's store, its push lane, and the server."""

    def __init__(self, store: Store, beside: Executor | None = None) -> None:
        self.store, self.events = store, list[Any]()
        self.server, self.beside = ReferenceServer(Clock()), beside or AtOnce()
        self.lane = self.new_lane()
        with store.database.write() as tx:
            standing = Standing(store.clock.new_id(), EPOCH)
            device.keep(tx, standing)

    def new_lane(self) -> PushLane:
        """As after a restart."""
        return PushLane(
            self.store.database,
            self.server.central(),
            self.store.clock,
            lambda kind, facts: self.events.append((kind, facts)),
            self.beside,
        )

    def drain(self, max_steps: int = 200) -> int:
        """Steps until nothing is ready; what the network does in between is tried again at once."""
        for steps in range(max_steps):
            try:
                if not self.lane.step():
                    return steps
            except SyncFailed:
                continue
        raise AssertionError("it does not come to an end")

    def queue(self, columns: str = "*", where: str = "1") -> list[tuple[Any, ...]]:
        with self.store.database.read() as reader:
            rows = reader.execute(f"SELECT {columns} FROM sync_queue WHERE {where} ORDER BY id").fetchall()
        return [tuple(row) for row in rows]

    def standing(self) -> Standing:
        with self.store.database.read() as reader:
            return device.standing_of(reader)

    def later(self, seconds: float) -> None:
        self.store.time.now += seconds

    def require_all_arrived_once(self) -> None:
        sent = [one.op_id for one in self.server.applied]
        assert sorted(sent) == sorted(row[0] for row in self.queue("op_id"))
        assert self.queue("id", "processed_at IS NULL OR ack IS NULL OR incarnation IS NULL") == []
        assert (
            self.queue("id", "next_attempt_at IS NOT NULL OR held_by IS NOT NULL OR dead_at IS NOT NULL")
            == []
        )
