"""Mistakes a synchronisation can make, each behind a switch: the simulation must find every one of them.

Rules of this file:
- A bug is a context: while it lasts, one place of the product does what the bug's sentence says.
- They exist to test the tests. Nothing of the product knows of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol
from unittest.mock import patch

from central_server.objects import Found
from central_server.store import ingest
from edge_agent.clock import Clock
from edge_agent.masters.arrivals import Arrivals
from edge_agent.masters.round import Round
from edge_agent.store import pulled
from edge_agent.sync import batches
from edge_agent.sync.central import Central, packed
from edge_agent.sync.push_lane import PushLane
from sync_protocol import wire
from sync_protocol.messages import PushReply, PushRequest
from tests.simulation.agent import Agent
from tests.simulation.store import Shelf


class Bug(Protocol):
    def __call__(self) -> AbstractContextManager[None]: ...


@contextmanager
def acknowledged_before_commit() -> Iterator[None]:
    """The agent notes a batch as acknowledged when it sends it, not when the server has stored it."""
    send = Central.push
    lane_of: dict[int, PushLane] = {}
    step = PushLane.step

    def stepped(self: PushLane) -> bool:
        lane_of[id(self._central)] = self
        return step(self)

    def push(self: Central, request: PushRequest, body: bytes) -> PushReply:
        with lane_of[id(self)]._db.write() as tx:
            now = lane_of[id(self)]._clock.now()
            tx.executemany(
                "UPDATE sync_queue SET processed_at = ? WHERE id = ?", [(now, op.seq) for op in request.ops]
            )
        return send(self, request, body)

    with patch.object(PushLane, "step", stepped), patch.object(Central, "push", push):
        yield


@contextmanager
def cursor_outside_the_transaction() -> Iterator[None]:
    """The cursor moves on in a transaction of its own, before the rows are in."""
    apply = Arrivals.apply

    def applied(self: Arrivals, made: Round, files: Any) -> None:
        with self._db.write(local=False) as tx:
            pulled.set_applied(tx, made.space, made.to_cursor, made.server_epoch, self._clock.now())
        apply(self, made, files)

    with patch.object(Arrivals, "apply", applied):
        yield


@contextmanager
def retried_without_its_id() -> Iterator[None]:
    """Whatever is sent gets a new op_id each time, so the server cannot know it again."""
    clock = Clock()

    def renamed(request: PushRequest) -> bytes:
        anew = tuple(op._replace(op_id=clock.new_id()) for op in request.ops)
        return packed(request.model_copy(update={"ops": anew}))

    with patch.object(batches, "packed", renamed):
        yield


@contextmanager
def unverified_blob() -> Iterator[None]:
    """The centre takes for a picture whatever lies under its name."""

    def look(self: Shelf, sha256: str) -> tuple[Found, int]:
        found, size = looked(self, sha256)
        return (Found.VERIFIED, size) if found is Found.DIFFERING else (found, size)

    looked = Shelf.look
    with patch.object(Shelf, "look", look):
        yield


@contextmanager
def only_when_woken() -> Iterator[None]:
    """A pass runs only when something was recorded here since the last one."""
    run_pass = Agent.run_pass
    seen: dict[str, int] = {}

    def woken(self: Agent) -> None:
        [(newest,)] = self.rows("SELECT coalesce(max(id), 0) FROM sync_queue")
        if newest != seen.get(self.name):
            seen[self.name] = newest
            run_pass(self)

    with patch.object(Agent, "run_pass", woken):
        yield


@contextmanager
def answer_not_replayed() -> Iterator[None]:
    """The server has forgotten what it answered, and takes a replay for news."""
    with patch.object(ingest, "_replayed", lambda found, sender, ops: {}):
        yield


@contextmanager
def unverified_page() -> Iterator[None]:
    """What arrives is parsed without looking at its seal."""

    def unsealed(sealed: bytes) -> bytes:
        return sealed[: sealed.rindex(b',"checksum"')] + b"}" if b',"checksum"' in sealed else sealed

    with patch.object(wire, "unseal", unsealed), patch.object(wire, "require_rows", lambda *_: None):
        yield


BUGS: tuple[Bug, ...] = (
    acknowledged_before_commit,
    cursor_outside_the_transaction,
    retried_without_its_id,
    unverified_blob,
    only_when_woken,
    answer_not_replayed,
    unverified_page,
)
