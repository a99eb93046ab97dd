"""What the daemon asks of the inference processes, and what it gets back.

Rules of this file:
- Plain immutable values and futures; standard library only.
- A ticket's futures are always settled: with a value, or with an AgentError that says why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from edge_agent.inference.wire import Message
from edge_agent.models import AiResult

ModelKey: TypeAlias = tuple[str, str]
"""Name and version of a model package."""


@dataclass(frozen=True, slots=True)
class PlanRef:
    """A pipeline: the sha256 that identifies its definition, and the definition as JSON text."""

    sha256: str
    definition: str


@dataclass(frozen=True, slots=True)
class Job:
    """One image to inspect, or with `plan` None only to decode and to make a thumbnail of.

    `picture` is its bytes, or the absolute path of the file that holds them.
    `criteria`, `scan`, `calibration` (name, um_per_px, valid_until) and `now` (RFC 3339) are the run's
    context. `deadline_s` counts from the moment a process turns to the job, not from submission.
    `derived` is a path prefix for `.thumbnail.jpg`, `.overlay.jpg`, `.heatmap.jpg`; None makes none.
    """

    picture: Path | bytes
    plan: PlanRef | None
    criteria: Mapping[str, Any]
    scan: Mapping[str, str]
    calibration: Mapping[str, Any] | None
    now: str
    deadline_s: float
    derived: Path | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """The whole image decoded; its size in pixels, upright."""

    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class JobResult:
    """The verdict on one image; see `values.RunResult`. `processing_time` in seconds."""

    overall_result: AiResult
    confidence: float
    processing_time: float
    detailed_results: Mapping[str, Any]
    model_sha256s: tuple[str, ...]
    provider: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """The three answers to a job, in the order they come.

    `decoded`: BadImage when the picture is at fault. `result`: None for a job without a plan. `rendered`:
    the paths written. Any of them: InferenceFailed with code `inference-crash`, `inference-timeout`,
    `inference-degraded`, `inference-stopped`, or what the run itself reported.
    """

    decoded: Future[Decoded] = field(default_factory=Future)
    result: Future[JobResult | None] = field(default_factory=Future)
    rendered: Future[tuple[str, ...]] = field(default_factory=Future)

    def __post_init__(self) -> None:
        for future in (self.decoded, self.result, self.rendered):
            future.set_running_or_notify_cancel()  # nobody but the pool settles it


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the processes hold ready, as one value: package folders by name and version, assets by sha256."""

    models: Mapping[ModelKey, Path] = field(default_factory=dict)
    assets: Mapping[str, Path] = field(default_factory=dict)
    reads_text: bool = False


@dataclass(frozen=True, slots=True)
class ModelFault:
    """A package that could not be loaded; pipelines that use it answer ERROR."""

    name: str
    version: str
    detail: str


@dataclass(frozen=True, slots=True)
class PoolState:
    """For health: `pids` of the running processes, the oldest first; `rss_bytes` of all of them (None:
    unknown); `restarts` since the start, unplanned ones only."""

    state: Literal["starting", "ok", "degraded", "stopped"]
    pids: tuple[int, ...]
    restarts: int
    rss_bytes: int | None
    waiting: int
    running: int
    faults: tuple[ModelFault, ...]
    last_failure: str | None


def job_message(job: Job) -> Message:
    """A job as it travels, without its plan's definition and its picture's bytes."""
    return {
        "op": "job",
        "path": str(job.picture) if isinstance(job.picture, Path) else None,
        "plan_sha256": job.plan.sha256 if job.plan else None,
        "criteria": job.criteria,
        "scan": job.scan,
        "calibration": job.calibration,
        "now": job.now,
        "derived": None if job.derived is None else str(job.derived),
    }


def configure_message(equipment: Equipment) -> Message:
    return {
        "op": "configure",
        "models": [[name, version, str(path)] for (name, version), path in equipment.models.items()],
        "assets": {sha256: str(path) for sha256, path in equipment.assets.items()},
        "reads_text": equipment.reads_text,
    }


def read_result(event: Message) -> JobResult | None:
    """The verdict in a `result` event; raises ValueError when it is broken."""
    if event.get("result") is None:
        return None
    try:
        body = event["result"]
        return JobResult(
            overall_result=AiResult(body["overall_result"]),
            confidence=float(body["confidence"]),
            processing_time=float(body["processing_time"]),
            detailed_results=dict(body["detailed_results"]),
            model_sha256s=tuple(map(str, body["model_sha256s"])),
            provider=str(body["provider"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a broken result: {error}") from None


def read_faults(event: Message) -> tuple[ModelFault, ...]:
    """The packages a process could not load, from its `configured` event; raises ValueError."""
    try:
        return tuple(ModelFault(*map(str, fields)) for fields in event["faults"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"a broken answer to configure: {error}") from None
