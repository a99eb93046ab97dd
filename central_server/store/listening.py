"""Hearing of commits: one connection a process that listens, whatever the number of devices that wait.

Rules of this file:
- A notification only says "look": what is published is read afterwards, on the same connection.
- While the connection is broken nothing is heard, so where the spaces are is read again as soon as it is back; and
  every LOOK_S anyway, which also finds out that it is broken.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psycopg

from central_server.store.database import OPTIONS, Connection

CHANNEL = "sync"  # schema/postgresql.sql, sync_store_version
TICK_S = 0.5
LOOK_S = 15.0
AGAIN_S = 1.0
HEADS = (
    "SELECT server_epoch::text, (SELECT json_object_agg(space, version) FROM sync_spaces) FROM server_state"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heads:
    """The version of each space's newest change, in one history."""

    server_epoch: str
    by_space: Mapping[str, int]


class Listener:
    """Calls `publish` from a thread of its own, at least once when it is connected."""

    def __init__(self, url: str, publish: Callable[[Heads], None]) -> None:
        self._url, self._publish = url, publish
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        was_broken = False
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, options=OPTIONS) as connection:
                    connection.execute(f"LISTEN {CHANNEL}".encode())
                    log.info("listening again") if was_broken else None
                    was_broken = False
                    self._listen(connection)
            except psycopg.Error as error:
                if not was_broken:
                    log.warning("the database cannot be listened to: %s", error)
                was_broken = True
                self._stop.wait(AGAIN_S)

    def _listen(self, connection: Connection) -> None:
        quiet_s = LOOK_S
        while not self._stop.is_set():
            if quiet_s >= LOOK_S:
                self._publish(read_heads(connection))
                quiet_s = 0.0
            heard = list(connection.notifies(timeout=TICK_S, stop_after=1))
            quiet_s = LOOK_S if heard else quiet_s + TICK_S


def read_heads(connection: Connection) -> Heads:
    row = connection.execute(HEADS).fetchone()
    assert row is not None
    epoch, heads = row
    assert isinstance(heads, dict)
    return Heads(str(epoch), heads)
