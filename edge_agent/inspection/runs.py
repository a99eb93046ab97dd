"""One AI run of one image, and what its end means.

Rules of this file:
- A run that crashed or ran out of time may be the machine's fault and is worth another; nothing else is.
- Whatever is not a result is an error that says why; nothing here can turn into OK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.errors import AgentError, BadImage, InferenceFailed
from edge_agent.images import verify_whole
from edge_agent.inference.jobs import Job, JobResult, PlanRef, Ticket
from edge_agent.inference.worker import InferencePool
from edge_agent.inspection.running import Running, RunningPipeline
from edge_agent.models import SnapshotItem
from sync_protocol.canonical import canonical_json, sha256_hex


@dataclass(slots=True, eq=False)
class Run:
    """One AI run under way, or just the decoding where `pipeline` is None."""

    image_id: str
    item: SnapshotItem
    scan: Mapping[str, str]
    pipeline: RunningPipeline | None
    ticket: Ticket
    criteria_sha256: str
    attempts: int = 1


class Runs:
    """Starts them, with the masters in force (`running()`)."""

    def __init__(
        self, pool: InferencePool, running: Callable[[], Running], clock: Clock, config: Config
    ) -> None:
        self._pool, self._running, self._clock, self._config = pool, running, clock, config

    def start(
        self,
        image_id: str,
        item: SnapshotItem,
        scan: Mapping[str, str],
        picture: Path | bytes,
        attempts: int = 1,
    ) -> Run:
        """Of one image; just its decoding where the item's pipeline is not in force or a person judges it."""
        running = self._running()
        pipeline = running.pipelines.get(item.pipeline_id or "") if item.ai_enabled else None
        job = Job(
            picture=picture,
            plan=PlanRef(pipeline.plan.sha256, pipeline.definition) if pipeline else None,
            criteria=item.criteria,
            scan=scan,
            calibration=running.calibrations.get(str(item.criteria.get("calibration", ""))),
            now=self._clock.now(),
            deadline_s=self._config.inference_deadline_s,
            derived=self._config.data_dir / "derived" / image_id,
        )
        ticket = self._pool.submit(job)
        sha256 = sha256_hex(canonical_json(dict(item.criteria)))  # while the run is under way
        return Run(image_id, item, scan, pipeline, ticket, sha256, attempts)


def decode_error(run: Run, data: bytes) -> AgentError | None:
    """Why the picture cannot be taken, once that is known; without inference the daemon looks itself."""
    error = run.ticket.decoded.exception()
    if isinstance(error, InferenceFailed):
        try:
            verify_whole(data)
        except BadImage as bad:
            return bad
        return None
    if error is None or isinstance(error, AgentError):
        return error
    raise error


def outcome_of(run: Run) -> JobResult | AgentError:
    """The result of a finished run, or the error that stopped it."""
    if run.pipeline is None:
        return InferenceFailed(
            f"The pipeline of item {run.item.item_code} is not in force.",
            code="pipeline-unavailable",
            hint="Judge the item by eye, and have a technician look at `edge-agent status`.",
        )
    error = run.ticket.result.exception()
    if isinstance(error, AgentError):
        return error
    result = run.ticket.result.result()
    assert result is not None, "a job with a plan has a result"
    return result


def outcome_now(run: Run) -> JobResult | AgentError | None:
    """The outcome if the run has already ended well; a failed one goes the long way, to be tried again."""
    if run.pipeline is None or not run.ticket.result.done() or run.ticket.result.exception():
        return None
    return run.ticket.result.result()


def is_worth_another_run(outcome: JobResult | AgentError, attempts: int, limit: int) -> bool:
    """Crashes and deadlines may be the machine's fault; anything else would only repeat itself."""
    if not isinstance(outcome, InferenceFailed) or attempts >= limit:
        return False
    return outcome.code_ in ("inference-crash", "inference-timeout")
