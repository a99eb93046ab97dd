"""The greeting: the cheap probe that comes before all work, and what a server that went back in time makes us do.

Rules of this file:
- Nothing else is done while what the server lost is being queued again: the lanes come after this one.
- The standing changes together with everything that follows from it, in one transaction.
- What a long poll was told is passed on as if the server had been greeted, as long as it tells the same history: of
  hundreds of devices that hear of one change, each saves a request.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from edge_agent import __version__
from edge_agent.clock import Clock
from edge_agent.store import outbox, sync_states
from edge_agent.store.database import Database
from edge_agent.sync import device
from edge_agent.sync.central import Central
from edge_agent.sync.device import Standing
from sync_protocol.messages import HelloReply, HelloRequest, WaitReply
from sync_protocol.version import ACCEPTED_VERSIONS, SCHEMA_VERSION

FRESH_S = 60.0

log = logging.getLogger(__name__)


class Hello:
    """Greets the server when it was not heard of for FRESH_S, or when wanted.

    `told` hears the newest version of each space and the server's epoch: of all with every greeting, of one with every
    answer of a long poll. `recheck`: whatever else
    must be compared anew after a restore, each called again in a transaction of its own as long as it says how much it
    did; the last calls are in the one that ends the mending.
    """

    name = "hello"

    def __init__(
        self,
        database: Database,
        central: Central,
        clock: Clock,
        device_id: str,
        *,
        told: Callable[[Mapping[str, int], str], None] = lambda _heads, _epoch: None,
        recheck: Sequence[Callable[[sqlite3.Connection], int | None]] = (),
    ) -> None:
        self._db, self._central, self._clock = database, central, clock
        self._device_id, self._told, self._recheck = device_id, told, recheck
        self._greeted_s: float | None = None
        self._heard: deque[WaitReply] = deque()
        self._restored: HelloReply | None = None
        self._requeued_to = 0

    def want(self) -> None:
        """The next step greets, however fresh the last greeting is."""
        self._greeted_s = None

    def heard(self, reply: WaitReply) -> None:
        """What a long poll was told, from any thread: for the next step."""
        self._heard.append(reply)

    def step(self) -> bool:
        """Greets if it is time, or queues again one window of what the server lost. Raises SyncFailed."""
        with self._db.read() as reader:
            standing = device.standing_of(reader)
        if standing.lost_after_ack is not None:
            return (
                self._greet(standing) if self._restored is None else self._requeue(standing, self._restored)
            )
        heard = [self._heard.popleft() for _ in range(len(self._heard))]
        is_other = any(one.server_epoch != standing.server_epoch for one in heard)
        if self._greeted_s is None or is_other or not (heard or self._is_fresh(self._greeted_s)):
            return self._greet(standing)
        for one in heard:
            self._told({one.space: one.head}, one.server_epoch)
        return False

    def _is_fresh(self, greeted_s: float) -> bool:
        return self._clock.monotonic() - greeted_s < FRESH_S

    def _greet(self, standing: Standing) -> bool:
        with self._db.read() as reader:
            head, cursors = outbox.last_id(reader), sync_states.cursors(reader)
        request = self._request(standing, head, cursors)
        sent_s = self._clock.time()
        reply = self._central.hello(request)
        after = device.after_hello(standing, reply, head, self._clock.new_id())
        after = device.measured(after, reply.server_time, sent_s, self._clock.time())
        if after != standing:
            with self._db.write() as tx:
                device.keep(tx, after)
        if after.incarnation != standing.incarnation:
            log.warning(
                "the server knows more of this device than its disk: it goes on as %s", after.incarnation
            )
        self._greeted_s = self._clock.monotonic()
        self._told(reply.heads, reply.server_epoch)
        self._restored = reply if after.lost_after_ack is not None else None
        return self._restored is not None

    def _request(self, standing: Standing, head: int, cursors: dict[str, int]) -> HelloRequest:
        return HelloRequest(
            device_id=self._device_id,
            incarnation=standing.incarnation,
            app_version=__version__,
            protocol_versions=ACCEPTED_VERSIONS,
            schema_version=SCHEMA_VERSION,
            queue_head=head,
            last_seq=standing.last_seq,
            last_ack=standing.last_ack,
            cursors=cursors,
        )

    def _requeue(self, standing: Standing, reply: HelloReply) -> bool:
        """One window of entries or photographs; after the last one the standing says that nothing is lost any more."""
        lost_after = standing.lost_after_ack or 0
        with self._db.write() as tx:
            to = outbox.requeue_lost(
                tx, self._requeued_to, standing.incarnation, lost_after, everything=lost_after == 0
            )
            is_mended = to is None and not any(recheck(tx) for recheck in self._recheck)
            if is_mended:
                device.keep(tx, device.restored(standing, reply.server_epoch, reply.device_last_ack))
        self._requeued_to = 0 if is_mended else to or self._requeued_to
        if is_mended:
            log.warning("the server was restored: what it had lost is queued again")
            self._restored = None
            self.want()
        return True
