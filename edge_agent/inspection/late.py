"""Verdicts that come after their image's row: of long runs, of runs done again, of those a kill cut off.

Rules of this file:
- An image in state `inspecting` always has a run under way; after a kill `resume` restarts it.
- A run that crashed or ran out of time is tried again as often as the settings say, then it is ERROR.
"""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import Future
from dataclasses import dataclass

from edge_agent.blobs import Blobs
from edge_agent.config import Config
from edge_agent.errors import AgentError, Conflict, InferenceFailed, NotFound, Unavailable
from edge_agent.inference.jobs import JobResult
from edge_agent.inspection.lookup import any_session, item_of, open_session, scan_facts
from edge_agent.inspection.recorder import Recorder
from edge_agent.inspection.runs import Run, Runs, is_worth_another_run, outcome_of
from edge_agent.inspection.verdicts import Verdicts, state_after
from edge_agent.models import AGENT, Actor, AiInspection, Image, ImageState, SnapshotItem, Target
from edge_agent.store import images
from edge_agent.store.database import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """A durable image. `verdict` resolves when the AI result is durable too (None: no AI for this item)."""

    image: Image
    verdict: Future[AiInspection | None]
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Late:
    """A run that ended after its image's row was written."""

    run: Run
    session_id: str
    verdict: Future[AiInspection | None]
    outcome: JobResult | AgentError


class LateVerdicts:
    """Follows the runs and writes down what comes of them, until it is closed."""

    def __init__(
        self, database: Database, blobs: Blobs, runs: Runs, verdicts: Verdicts, config: Config
    ) -> None:
        self._db, self._blobs, self._config = database, blobs, config
        self._runs, self._verdicts = runs, verdicts
        self._recorder: Recorder[_Late] = Recorder(self._write_late)

    def start(self) -> None:
        self._recorder.start()

    def close(self) -> None:
        """Waits until the verdicts already computed are written."""
        self._recorder.close()

    def inspect_again(self, image_id: str, actor: Actor) -> Added:
        """Runs the AI once more on a stored image; its verdict is added to the earlier ones.

        Raises NotFound, Conflict (`session-closed`, `no-ai`).
        """
        with self._db.snapshot() as reader:
            image = images.get_image(reader, image_id)
            if image is None:
                raise NotFound(f"There is no image {image_id}.", code="unknown-image")
            session, target = open_session(reader, image.session_id)
        item = item_of(session, image.item_id)
        if not item.ai_enabled:
            raise Conflict(f"Item {item.item_code} is judged by people only.", code="no-ai")
        with self._db.write(actor) as tx:
            images.set_state(tx, image_id, ImageState.INSPECTING)
        return self._run_stored(image, item, target)

    def resume(self) -> int:
        """Starts again the runs that a stop or a kill cut off; returns how many. Call once, at start."""
        with self._db.snapshot() as reader:
            cut_off = images.unfinished(reader, limit=100_000)
            for image in cut_off:
                session, target = any_session(reader, image.session_id)
                self._run_stored(image, item_of(session, image.item_id), target, image.attempts + 1)
        return len(cut_off)

    def _run_stored(self, image: Image, item: SnapshotItem, target: Target, attempts: int = 1) -> Added:
        path = self._blobs.path_of(image.file_path)
        run = self._runs.start(image.id, item, scan_facts(target), path, attempts)
        added = Added(image, Future())
        self.follow(run, image, added.verdict)
        return added

    def follow(self, run: Run, image: Image, verdict: Future[AiInspection | None]) -> None:
        """When the run ends, tries again or has the recorder write the verdict."""

        def ended(_: object) -> None:
            outcome = outcome_of(run)
            if isinstance(outcome, InferenceFailed) and outcome.code_ == "inference-stopped":
                verdict.set_exception(outcome)  # the agent is stopping; `resume` runs it at the next start
            elif is_worth_another_run(outcome, run.attempts, self._config.inference_attempts):
                path = self._blobs.path_of(image.file_path)
                again = self._runs.start(image.id, run.item, run.scan, path, run.attempts + 1)
                self.follow(again, image, verdict)
            else:
                self._recorder.put(_Late(run, image.session_id, verdict, outcome))

        if run.pipeline is None:
            ended(None)
        else:
            run.ticket.result.add_done_callback(ended)

    def _write_late(self, late: list[_Late]) -> None:
        """Writes the verdicts. Raises Unavailable: none was written, and the recorder tries again.

        After any other failure their images stay `inspecting`, and `resume` runs them again.
        """
        try:
            with self._db.write(AGENT) as tx:
                written = [(entry, self._write_one_late(tx, entry)) for entry in late]
        except Unavailable:
            raise
        except Exception as error:  # the recorder must outlive it: others' verdicts are behind these
            log.exception("verdicts not written")
            for entry in late:
                entry.verdict.set_exception(error)
            return
        for entry, result in written:
            entry.verdict.set_result(result)
            self._verdicts.announce(entry.session_id, result)

    def _write_one_late(self, tx: sqlite3.Connection, late: _Late) -> AiInspection:
        session, _ = any_session(tx, late.session_id)
        images.set_state(tx, late.run.image_id, *state_after(late.outcome))
        return self._verdicts.insert(tx, late.run, session, late.outcome)
