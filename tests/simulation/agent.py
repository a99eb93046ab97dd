"""One edge agent of a world: the real store, the real sync engine, an inspector, and a power switch.

Rules of this file:
- Killed means: whatever ran stops between two steps, and nothing is closed properly. What is on disk stays.
- The gate stands before and after every commit, before every request and after every reply, and behind every
  file made durable: between any two of the numbered steps of the flow.
- The inspector does what the product lets inspectors do; only the picture and the AI's verdict are put there.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import httpx

from edge_agent.blobs import Blobs, Staged
from edge_agent.check import run_check
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.events import Events
from edge_agent.inference.worker import InferencePool
from edge_agent.inspection.judgement import Judgement
from edge_agent.inspection.sessions import Sessions, SessionView
from edge_agent.masters.importer import Masters
from edge_agent.models import AGENT, Actor, FinalResult, Finding, Role
from edge_agent.store import settings
from edge_agent.store.database import Database, Identity, insert
from edge_agent.store.schema import open_database
from edge_agent.sync import enrolment, mending
from edge_agent.sync.central import Central
from edge_agent.sync.link import Link, make_link
from edge_agent.sync.parts import Parts
from edge_agent.sync.verify import Difference, no_progress
from sync_protocol.canonical import sha256_hex
from tests.at_once import AtOnce, Late
from tests.simulation.network import CENTRE, Gate

VERSION = "0.1.0"
TECHNICIAN = Actor("technician", None, Role.TECHNICIAN)


class Killed(BaseException):
    """The power went. Not an Exception: nothing may catch it and go on."""


class GatedDatabase(Database):
    """The store, with the gate around every commit."""

    gate: Gate = staticmethod(lambda name: None)

    @contextmanager
    def write(self, actor: Actor = AGENT, *, local: bool = True) -> Iterator[sqlite3.Connection]:
        with super().write(actor, local=local) as tx:
            yield tx
            self.gate("commit")
        self.gate("committed")

    def abandon(self) -> None:
        """What is left of a connection whose process is gone."""
        for reader in self._readers:
            reader.close()
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")
        self._writer.close()


class GatedBlobs(Blobs):
    """The files, with the gate behind everything made durable."""

    gate: Gate = staticmethod(lambda name: None)

    def commit(self, staged: Sequence[Staged], executor: Executor | None = None) -> None:
        super().commit(staged, executor)
        self.gate("file")


class Agent:
    """A tablet at the bench. `start` after every `kill`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        now_s: Callable[[], float],
        sleep: Callable[[float], None],
        dice: random.Random,
        connect: Callable[[Gate], httpx.Client],
    ) -> None:
        self.name, self.folder = name, folder
        self._now_s, self._sleep, self._dice, self._connect = now_s, sleep, dice, connect
        self.offset_s = 0.0
        """How wrong its wall clock is."""
        self.lives = 0
        self._steps_left: int | None = None

    # ── power ───────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self.lives += 1
        self._steps_left = None
        self.clock = Clock(
            time=lambda: self._now_s() + self.offset_s, monotonic=self._now_s, random=self._dice.randbytes
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = load_config(self.folder, min_free_bytes=0)
        self.blobs = GatedBlobs(self.folder, self.clock)
        self.blobs.prepare()
        open_database(self.config.database_path, self.clock, "tablet", VERSION).close()
        self.database = GatedDatabase(self.config.database_path, self.clock, self._identity())
        self.sessions = Sessions(self.database, self.clock, self.config, lambda kind, facts: None)
        pool = InferencePool(clock=self.clock)  # not started: in these worlds people judge
        self.masters = Masters(
            self.database, self.blobs, pool, self.clock, self.config, lambda kind, facts: None
        )
        self.masters.prepare()
        self.masters.reload()
        self.database.gate = self.blobs.gate = self.gate
        self.client = self._connect(self.gate)
        self._link_up()

    def kill_after(self, steps: int) -> None:
        """The power goes at the gate that many steps from now."""
        self._steps_left = steps

    def spare(self) -> None:
        """The power stays on after all."""
        self._steps_left = None

    def gate(self, name: str) -> None:
        if self._steps_left is not None:
            self._steps_left -= 1
            if self._steps_left < 0:
                raise Killed(f"{self.name} at {name}")

    def lose_power(self) -> None:
        self.database.abandon()

    def _identity(self) -> Identity:
        with sqlite3.connect(self.config.database_path) as connection:
            [(value,)] = connection.execute(
                "SELECT json_extract(value, '$') FROM system_config WHERE key = 'device.id'"
            )
        connection.close()
        return Identity(value, "tablet", VERSION)

    # ── synchronisation ─────────────────────────────────────────────────────────────────────────────────

    def enrol(self, code: str) -> None:
        """`edge-agent enroll`. Raises SyncFailed when the network does not let it."""
        central = Central(CENTRE, "", self.client, self.clock)
        asked = enrolment.Asked(server=CENTRE, code=code, device_type="tablet")
        enrolment.enrol(central, asked, self.database, self.clock, self.folder, TECHNICIAN)
        self._link_up()

    def run_pass(self) -> None:
        """What the scheduler does when it wakes: rows, then images."""
        if self.link is not None:
            self.link.rows.run_pass()
            self.link.images.run_pass()

    def compare(self) -> None:
        """What the agent does every night: compares with the centre and mends what differs."""
        if self.link is not None:
            mending.mend(
                self._parts(), self.link, deep=False, dry_run=False, automatic=True, progress=no_progress
            )

    def differences(self) -> list[Difference]:
        """`edge-agent sync verify --deep`."""
        assert self.link is not None
        report = mending.compare(self._parts(), self.link, deep=True, tables=None, progress=no_progress)
        return report.faults

    def wait_s(self) -> float:
        """Seconds until something may be tried again."""
        engines = [self.link.rows, self.link.images] if self.link else []
        return max((engine.wait_s() or 0.0 for engine in engines), default=0.0)

    def _link_up(self) -> None:
        self.link: Link | None = None
        with self.database.read() as reader:
            found = enrolment.read(reader)
            self.device_id = str(settings.get(reader, "device.id"))
        if found is not None:
            token = enrolment.read_token(self.folder)
            self.link = make_link(self._parts(), self.client, found.server, token, self.device_id)

    def _parts(self) -> Parts:
        return Parts(
            config=self.config,
            clock=self.clock,
            database=self.database,
            blobs=self.blobs,
            arrivals=self.masters.arrivals,
            events=Events(),
            open_client=lambda url: self.client,
            sleep=self._sleep,
            first_rows=8,
            images_in_flight=1,
            uploaders=lambda _: AtOnce(),
            beside=Late(lambda: self._dice.random() < 0.5),
        )

    # ── the inspector ───────────────────────────────────────────────────────────────────────────────────

    def inspect(self, *, finish: bool = True) -> None:
        """One product at the bench, if the masters are here: scan, picture, AI verdict, person, completion."""
        actor, product_code = self._inspector(), self._product()
        if actor is None or product_code is None:
            return
        code = {"product_code": product_code, "lot": "LOT1", "serial": self.clock.new_id()[-12:]}
        view = self.sessions.start(json.dumps(code), actor)
        for progress in view.items:
            self._photograph(view, progress.item.id, actor)
            verdict = self._dice.choice([FinalResult.OK, FinalResult.OK, FinalResult.NG])
            answers = {"led": verdict is FinalResult.OK}
            judgement = Judgement(
                verdict, progress.item.id, reason_code="scratch", notes="確認済み", checks=answers
            )
            self.sessions.verify(view.session.id, judgement, actor)
        if finish:
            self.sessions.complete(view.session.id, actor)
        else:
            self.sessions.cancel(view.session.id, "shift ended", actor)

    def _photograph(self, view: SessionView, item_id: str, actor: Actor) -> None:
        data = b"\x89PNG\r\n" + self._dice.randbytes(200)
        image_id, now = self.clock.new_id(), self.clock.now()
        staged = self.blobs.stage(data, image_id, "image/png", view.session.work_day)
        self.blobs.commit([staged])
        image = {
            "id": image_id,
            "session_id": view.session.id,
            "file_path": staged.file_path,
            "file_size": len(data),
            "created_at": now,
            "item_id": item_id,
            "sha256": sha256_hex(data),
            "mime_type": "image/png",
            "width_px": 64,
            "height_px": 48,
            "captured_at": now,
            "captured_by": actor.user_id,
            "source": "upload",
            "state": "inspected",
        }
        result = {
            "id": self.clock.new_id(),
            "session_id": view.session.id,
            "overall_result": self._dice.choice(["OK", "NG", "REVIEW"]),
            "confidence": self._dice.random(),
            "processing_time": 0.012,
            "detailed_results": '{"steps":[]}',
            "created_at": now,
            "item_id": item_id,
            "image_id": image_id,
            "criteria_sha256": "c" * 64,
        }
        with self.database.write(actor) as tx:
            insert(tx, "inspection_images", image)
            insert(tx, "ai_inspection_results", result)

    def _inspector(self) -> Actor | None:
        rows = self.rows("SELECT username, id FROM users WHERE is_active ORDER BY id LIMIT 1")
        return Actor(rows[0]["username"], rows[0]["id"], Role.INSPECTOR) if rows else None

    def _product(self) -> str | None:
        rows = self.rows("""SELECT DISTINCT product_code FROM inspection_targets_master p JOIN inspection_items_master i
                            ON i.target_id = p.id AND i.is_active WHERE p.is_active ORDER BY 1""")
        return self._dice.choice(rows)["product_code"] if rows else None

    # ── looking ─────────────────────────────────────────────────────────────────────────────────────────

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self.database.read() as reader:
            return reader.execute(sql, values).fetchall()

    def check(self) -> list[Finding]:
        """`edge-agent check`."""
        with self.database.read() as reader:
            return list(
                run_check(
                    self.config, reader, now_s=self.clock.time(), problems=self.masters.running.problems
                )
            )
