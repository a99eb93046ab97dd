"""The synchronisation as the rest of the agent sees it: enrol, run, pause, resume, look.

Rules of this file:
- Nothing runs by itself before the device is enrolled, nor while a person has paused it.
- Loops run passes because work may be due: by the clock (APScheduler), after a local change, when the server says
  that something changed, when a wait is over. None of these is needed for any of the others to work.
- The HTTP client is loaded with the first pass, not with the agent.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from edge_agent.clock import from_rfc3339
from edge_agent.errors import Conflict
from edge_agent.events import Event
from edge_agent.models import Actor, Finding
from edge_agent.store import audit, outbox, settings, sync_states, uploads
from edge_agent.sync import backoff, device, enrolment, watch
from edge_agent.sync.enrolment import Enrolment
from edge_agent.sync.lane import SyncFailed, read_state
from edge_agent.sync.loop import Loop
from edge_agent.sync.parts import Parts
from edge_agent.sync.verify import Progress, no_progress
from edge_agent.sync.watch import Watched
from sync_protocol.tables import SPACES

if TYPE_CHECKING:
    from edge_agent.sync.engine import Engine, PassReport
    from edge_agent.sync.link import Link
    from edge_agent.sync.repair import RepairReport, ResyncReport
    from edge_agent.sync.verify import VerifyReport

PAUSED = "paused"
GATHER_S = 0.1
IDLE_S = 300.0
SOONEST_S = 0.5
WAIT_S = 25.0
PATIENCE_S = 2.0
NOTHING_TO_SEND = frozenset({"sync", "folder", "health"})
"""Events after which no row and no photograph waits to be sent."""
LANES = ("hello", "push", "pull", "blobs")
NextDueAt = Callable[[sqlite3.Connection, str], str | None]


class Sync:
    """The way to the central server, if there is one."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._opening = threading.Lock()
        self._link: Link | None = None
        self._seen: dict[str, int] = {}
        self._last_pass_s: float | None = None
        self._rows = Loop("sync-rows", self._rows_once, GATHER_S)
        self._images = Loop("sync-images", self._images_once, GATHER_S)
        self._waiting = [Loop(f"sync-wait-{space}", partial(self._wait_once, space)) for space in SPACES]

    # ── standing ────────────────────────────────────────────────────────────────────────────────────────

    def enrolment(self) -> Enrolment | None:
        with self._parts.database.read() as reader:
            return enrolment.read(reader)

    def paused_at(self) -> str | None:
        """Since when a person wants no passes; None: they are made."""
        with self._parts.database.read() as reader:
            state = sync_states.get(reader, PAUSED)
        return str(state.get("paused_at", "")) if state.get("is_paused") else None

    def findings(self) -> list[Finding]:
        """What is wrong right now; cheap enough to ask every few seconds."""
        parts = self._parts
        with parts.database.read() as reader:
            if enrolment.read(reader) is None:
                return []
            states = {name: read_state(sync_states.get(reader, f"lane:{name}")) for name in LANES}
            standing = device.standing_of(reader)
            heads = outbox.heads(reader)
        began_s = self._last_pass_s
        watched = Watched(
            now_s=parts.clock.time(),
            states=states,
            heads=heads,
            clock_offset_ms=standing.clock_offset_ms,
            server_schema=standing.server_schema,
            idle_s=None if began_s is None else parts.clock.monotonic() - began_s,
            paused_at=self.paused_at(),
        )
        return list(watch.findings(watched))

    # ── by hand ─────────────────────────────────────────────────────────────────────────────────────────

    def enrol(self, server: str, code: str, actor: Actor) -> Enrolment:
        """Makes this device known to the server, again or for the first time; what waits is kept.

        Raises BadInput (`server-url-invalid`, `tls-required`, `ca-file-unusable`), Denied (`code-invalid`), SyncFailed.
        """
        from edge_agent.sync.central import Central
        from edge_agent.sync.client import server_url

        parts, url = self._parts, server_url(server)
        with parts.open_client(url) as client:
            made = enrolment.enrol(
                Central(url, "", client, parts.clock),
                enrolment.Asked(url, code, parts.config.device_type),
                parts.database,
                parts.clock,
                parts.config.data_dir,
                actor,
            )
        self._close_link()
        self.link().forget()
        self.wake()
        return made

    def run_pass(self, *, stop: Callable[[], bool] = lambda: False) -> PassReport:
        """One whole pass now, whatever the lanes wait for. Raises Conflict (`not-enrolled`, `sync-paused`)."""
        if self.paused_at() is not None:
            raise Conflict(
                "The synchronisation is paused.", code="sync-paused", hint="Resume it, then try again."
            )
        link = self.link()
        link.forget()
        report = link.rows.run_pass(stop=stop, pass_s=float("inf"))
        if not report.failures.get("hello"):
            report = report.joined(link.images.run_pass(stop=stop, pass_s=float("inf")))
        return report

    def verify(
        self, *, deep: bool = False, tables: Sequence[str] | None = None, progress: Progress = no_progress
    ) -> VerifyReport:
        """Compares these tables (None: all) with the server; `deep` by the rows and files themselves.

        Raises Conflict (`not-enrolled`), BadInput (`unknown-table`), SyncFailed, and whatever `progress` raises.
        """
        from edge_agent.sync import mending

        return mending.compare(self._parts, self.link(), deep=deep, tables=tables, progress=progress)

    def repair(
        self,
        *,
        deep: bool = False,
        dry_run: bool = False,
        automatic: bool = False,
        progress: Progress = no_progress,
    ) -> RepairReport:
        """Compares and mends what differs; `automatic`: at most once an hour per bucket, then an alarm.

        Raises Conflict (`not-enrolled`), SyncFailed, and whatever `progress` raises; what was mended stays so.
        """
        from edge_agent.sync import mending

        how = {"deep": deep, "dry_run": dry_run, "automatic": automatic}
        report = mending.mend(self._parts, self.link(), **how, progress=progress)
        self.wake()
        return report

    def resync(
        self, tables: Sequence[str] | None = None, *, progress: Progress = no_progress
    ) -> ResyncReport:
        """Begins again with these tables (None: all): what the server owns is pulled from 0 and swapped, what it
        lacks of ours is sent again. Discards nothing. Raises as `verify` does."""
        from edge_agent.sync import mending

        report = mending.begin_again(self._parts, self.link(), tables=tables, progress=progress)
        self.wake()
        return report

    def pause(self, actor: Actor) -> None:
        """No pass begins until `resume`; one under way ends with its step."""
        self._keep_paused(actor, "sync.pause", {"is_paused": True, "paused_at": self._parts.clock.now()})

    def resume(self, actor: Actor) -> None:
        self._keep_paused(actor, "sync.resume", {"is_paused": False})
        self.wake()

    def _keep_paused(self, actor: Actor, action: str, state: dict[str, object]) -> None:
        with self._parts.database.write(actor) as tx:
            sync_states.put(tx, PAUSED, state)
            audit.append(tx, action, "device", str(settings.get(tx, "device.id")))

    # ── the way ─────────────────────────────────────────────────────────────────────────────────────────

    def link(self) -> Link:
        """The lanes to the server. Raises Conflict (`not-enrolled`), BadInput (`ca-file-unusable`)."""
        with self._opening:
            if self._link is None:
                self._link = self._opened()
            return self._link

    def close(self) -> None:
        self._close_link()

    def _opened(self) -> Link:
        from edge_agent.sync.link import make_link

        found = self.enrolment()
        if found is None:
            raise enrolment.not_enrolled()
        parts = self._parts
        with parts.database.read() as reader:
            device_id = str(settings.get(reader, "device.id"))
        token = enrolment.read_token(parts.config.data_dir)
        return make_link(parts, parts.open_client(found.server), found.server, token, device_id)

    def _close_link(self) -> None:
        with self._opening:
            if self._link is not None:
                self._link.close()
            self._link = None

    # ── by itself ───────────────────────────────────────────────────────────────────────────────────────

    def wake(self) -> None:
        """Work may be due."""
        for loop in (self._rows, self._images, *self._waiting):
            loop.wake()

    def tick(self) -> None:
        """The scheduler's beat: greet, whatever else there is to do."""
        if self._link is not None:
            self._link.hello.want()
        self._rows.wake()
        self._images.wake()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the block runs, passes are made."""
        events, loops = self._parts.events, (self._rows, self._images, *self._waiting)
        self._last_pass_s = self._parts.clock.monotonic()
        events.subscribe(self._heard)
        for loop in loops:
            loop.start()
        try:
            yield
        finally:
            events.unsubscribe(self._heard)
            if self._link is not None:
                self._link.is_closing.set()
            for loop in (self._rows, self._images):
                loop.close(PATIENCE_S)
            self._close_link()  # breaks off what the others wait for
            for loop in self._waiting:
                loop.close(0.1)

    def _heard(self, event: Event) -> None:
        if event.kind not in NOTHING_TO_SEND:
            self._rows.wake()
            self._images.wake()

    def _ready_link(self) -> Link | None:
        """None: not enrolled, or paused; a person's act wakes the loops."""
        if self.enrolment() is None or self.paused_at() is not None:
            return None
        return self.link()

    def _rows_once(self) -> float | None:
        self._last_pass_s = self._parts.clock.monotonic()
        link = self._ready_link()
        if link is None:
            return None
        return self._worked(link, link.rows, outbox.next_due_at)

    def _images_once(self) -> float | None:
        link = self._ready_link()
        return None if link is None else self._worked(link, link.images, uploads.next_due_at)

    def _worked(self, link: Link, engine: Engine, next_due_at: NextDueAt) -> float:
        """One pass; seconds until the next: a lane or one of its entries may try again."""
        began_at = self._parts.clock.now()
        report = engine.run_pass(stop=lambda: link.is_closing.is_set() or self.paused_at() is not None)
        if report.has_more:
            return 0.0
        wait_s = min(engine.wait_s() or IDLE_S, IDLE_S)
        with self._parts.database.read() as reader:
            due_at = next_due_at(reader, began_at)
        if due_at is None:
            return wait_s
        return min(wait_s, max(SOONEST_S, from_rfc3339(due_at) - self._parts.clock.time()))

    def _wait_once(self, space: str) -> float | None:
        """Waits until the server says that the space changed; seconds until the next wait."""
        link, clock = self._ready_link(), self._parts.clock
        if link is None:
            return None
        with self._parts.database.read() as reader:
            cursor = max(sync_states.cursors(reader).get(space, 0), self._seen.get(space, 0))
        began_s = clock.monotonic()
        try:
            reply = link.central.wait(space, cursor, WAIT_S)
        except SyncFailed as error:
            return backoff.delay_s(error.kind, 4, backoff.share_of(clock.random(4))) + 1.0
        self._seen[space] = reply.head
        if reply.head > cursor:
            link.hello.heard(reply)
            self._rows.wake()
        return 0.0 if reply.head > cursor or clock.monotonic() - began_s > 1 else WAIT_S
