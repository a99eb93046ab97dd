"""Makes room: removes files that are safe at the centre, and never anything else.

Rules of this file:
- What may go is decided by the store (`evictions`): closed, acknowledged, and its bytes verified at the centre.
- How long that stays all the same is decided here: `retention_days`, less when the disk gets short, OK before NG.
- Row first, file second. A crash in between leaves a file too many, which the next step removes.
- Small steps: removing many files at once is slow, and inspectors share the disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock, uuid7
from edge_agent.store import evictions
from edge_agent.store.database import Database
from edge_agent.store.evictions import Removable

DAY_S = 86_400.0
STEP_FILES = 200
AFTER_EVERY_ID = "g"
NG_LANE, OK_LANE = 2, 3

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keep:
    """Seconds for which files that could go stay here."""

    ok_s: float
    ng_s: float


@dataclass(frozen=True, slots=True)
class Evicted:
    files: int = 0
    size_bytes: int = 0


def plan_keep(retention_days: int, used_percent: float) -> Keep:
    """How long files stay, by how full the disk is: from 80 % on half as long, from 90 % OK a day at most, from 95 %
    not at all."""
    full_s = retention_days * DAY_S
    if used_percent >= 95:
        return Keep(0.0, 0.0)
    if used_percent >= 90:
        return Keep(min(DAY_S, full_s / 2), full_s / 2)
    if used_percent >= 80:
        return Keep(full_s / 2, full_s)
    return Keep(full_s, full_s)


class Retention:
    """`used_percent` tells how full the disk is (0 to 100)."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        clock: Clock,
        *,
        retention_days: int,
        used_percent: Callable[[], float],
    ) -> None:
        self._db, self._blobs, self._clock = database, blobs, clock
        self._retention_days, self._used_percent = retention_days, used_percent
        self._is_finished = False

    def step(self) -> Evicted:
        """Removes at most STEP_FILES files; none: there is nothing to remove. Raises Unavailable of the disk."""
        if not self._is_finished:
            self._finish()
        chosen = self._decide(plan_keep(self._retention_days, self._used_percent()))
        if chosen:
            self._finish()
        return Evicted(len(chosen), sum(one.file_size for one in chosen))

    def run(self, *, stop: Callable[[], bool] = lambda: False) -> Evicted:
        """Steps until nothing is left to remove or `stop()` says so."""
        files, size = 0, 0
        while not stop() and (done := self.step()).files:
            files, size = files + done.files, size + done.size_bytes
        if files:
            log.info("%d images (%d MB) that are safe at the centre were removed here", files, size // 10**6)
        return Evicted(files, size)

    def _decide(self, keep: Keep) -> list[Removable]:
        now_s = self._clock.time()
        with self._db.write(local=False) as tx:
            for lane, kept_s in ((OK_LANE, keep.ok_s), (NG_LANE, keep.ng_s)):
                before_id = uuid7(max(0.0, now_s - kept_s), bytes(10)) if kept_s else AFTER_EVERY_ID
                chosen = evictions.removable(tx, lane, before_id, STEP_FILES)
                if chosen:
                    evictions.evict(tx, chosen, self._clock.now())
                    self._is_finished = False
                    return chosen
        return []

    def _finish(self) -> None:
        """Removes the files of the last decision, also of one made before a crash."""
        with self._db.read() as reader:
            file_paths = evictions.being_removed(reader)
        self._blobs.remove(file_paths)
        self._is_finished = True
