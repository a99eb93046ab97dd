"""One AI run of one image, and what its end means.

Rules of this file:
- A run that crashed or ran out of time may be the machine's fault and is worth another; nothing else is.
- Whatever is not a result is an error that says why; nothing here can turn into OK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.errors import AgentError, BadImage, InferenceFailed
from edge_agent.images import verify_whole
from edge_agent.inference.jobs import JobResult, Ticket
from edge_agent.inspection.running import RunningPipeline
from edge_agent.models import SnapshotItem


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
