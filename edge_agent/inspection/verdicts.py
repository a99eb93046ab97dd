"""From the outcome of an AI run to its row: the one place where a machine's verdict is written.

Rules of this file:
- Whatever went wrong becomes ERROR with its reason: a person must look. Nothing here can turn into OK.
- The result row, the image's state and the session's progress are one transaction, the caller's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from edge_agent.clock import Clock
from edge_agent.errors import AgentError
from edge_agent.inference.jobs import JobResult
from edge_agent.inspection.rules import sample_weight
from edge_agent.inspection.running import RunningPipeline
from edge_agent.models import AiInspection, AiResult, ImageState
from edge_agent.store.database import insert
from edge_agent.store.records import row_of
from sync_protocol.canonical import canonical_json, sha256_hex


@dataclass(frozen=True, slots=True)
class Judged:
    """One finished run: what was judged, by what, and the outcome (a result or the error that stopped it)."""

    image_id: str
    session_id: str
    item_id: str
    pipeline: RunningPipeline | None
    criteria_sha256: str
    outcome: JobResult | AgentError


def build_result(judged: Judged, clock: Clock, review_share: float) -> AiInspection:
    """The row for a finished run; draws the sampling lot for an OK."""
    outcome = judged.outcome
    if isinstance(outcome, AgentError):
        result, confidence, seconds = AiResult.ERROR, 0.0, 0.0
        detail: dict[str, Any] = {"error": {"code": outcome.code_, "detail": outcome.detail}}
        models: list[str] = []
        provider = None
    else:
        result, confidence = AiResult(outcome.overall_result), outcome.confidence
        seconds, detail = outcome.processing_time, dict(outcome.detailed_results)
        models, provider = list(outcome.model_sha256s), outcome.provider
    pipeline = judged.pipeline
    return AiInspection(
        id=clock.new_id(),
        session_id=judged.session_id,
        item_id=judged.item_id,
        image_id=judged.image_id,
        overall_result=result,
        confidence=confidence,
        processing_time=seconds,
        detailed_results=detail,
        pipeline_id=pipeline.id if pipeline else None,
        pipeline_version=pipeline.definition_version if pipeline else None,
        pipeline_sha256=pipeline.sha256 if pipeline else None,
        criteria_sha256=judged.criteria_sha256,
        model_sha256s=models,
        provider=provider,
        sample_weight=sample_weight(result, review_share, clock.random(4)),
        created_at=clock.now(),
    )


def criteria_sha256(criteria: Mapping[str, Any]) -> str:
    return sha256_hex(canonical_json(dict(criteria)))


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
