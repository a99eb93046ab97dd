"""From the outcome of an AI run to its row: the one place where a machine's verdict is written.

Rules of this file:
- Whatever went wrong becomes ERROR with its reason: a person must look. Nothing here can turn into OK.
- The result row, the image's state and the session's progress are one transaction, the caller's.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson

from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.errors import AgentError
from edge_agent.events import Notify
from edge_agent.inference.jobs import JobResult
from edge_agent.inspection.rules import sample_weight
from edge_agent.inspection.runs import Run
from edge_agent.inspection.sessions import Sessions
from edge_agent.models import AiInspection, AiResult, ImageState, Session
from edge_agent.store.database import insert
from edge_agent.store.records import row_of


class Verdicts:
    """Writes them down and tells of them."""

    def __init__(self, inspections: Sessions, clock: Clock, config: Config, notify: Notify) -> None:
        self._sessions, self._clock, self._config, self._notify = inspections, clock, config, notify

    def insert(
        self, tx: sqlite3.Connection, run: Run, session: Session, outcome: JobResult | AgentError
    ) -> AiInspection:
        """The result's row, and the session's progress."""
        result = build_result(run, session.id, outcome, self._clock, self._config.review_share)
        insert_result(tx, result)
        self._sessions.progress(tx, session)
        return result

    def announce(self, session_id: str, result: AiInspection | None) -> None:
        """Once it is durable."""
        if result is not None:
            facts = {name: getattr(result, name) for name in ("image_id", "item_id", "overall_result")}
            self._notify("verdict", {"session_id": session_id, "result_id": result.id, **facts})


def build_result(
    run: Run, session_id: str, outcome: JobResult | AgentError, clock: Clock, review_share: float
) -> AiInspection:
    """The row for a finished run (`outcome`: its result, or the error that stopped it); draws the sampling lot
    for an OK."""
    if isinstance(outcome, AgentError):
        result, confidence, seconds = AiResult.ERROR, 0.0, 0.0
        detail: dict[str, Any] = {"error": {"code": outcome.code_, "detail": outcome.detail}}
        models: list[str] = []
        provider = None
    else:
        result, confidence = AiResult(outcome.overall_result), outcome.confidence
        seconds, detail = outcome.processing_time, dict(outcome.detailed_results)
        models, provider = list(outcome.model_sha256s), outcome.provider
    pipeline = run.pipeline
    return AiInspection(
        id=clock.new_id(),
        session_id=session_id,
        item_id=run.item.id,
        image_id=run.image_id,
        overall_result=result,
        confidence=confidence,
        processing_time=seconds,
        detailed_results=detail,
        pipeline_id=pipeline.id if pipeline else None,
        pipeline_version=pipeline.definition_version if pipeline else None,
        pipeline_sha256=pipeline.sha256 if pipeline else None,
        criteria_sha256=run.criteria_sha256,
        model_sha256s=models,
        provider=provider,
        sample_weight=sample_weight(result, review_share, clock.random(4)),
        created_at=clock.now(),
    )


def insert_result(tx: sqlite3.Connection, result: AiInspection) -> None:
    row = row_of(result)
    for name in ("detailed_results", "model_sha256s"):
        row[name] = orjson.dumps(row[name]).decode()
    insert(tx, "ai_inspection_results", row)


def state_after(outcome: JobResult | AgentError) -> tuple[ImageState, str | None]:
    """The image's state and failure code once the run is over."""
    if isinstance(outcome, AgentError):
        return ImageState.FAILED, outcome.code_
    return ImageState.INSPECTED, None
