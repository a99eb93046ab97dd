"""Why the pool could not give an answer, in words for the person in front of it.

Rules of this file:
- Only sentences; the codes are `inference-crash`, `-timeout`, `-degraded` and `-stopped`.
"""

from __future__ import annotations

from edge_agent.errors import InferenceFailed


def crashed(exit_code: int | None) -> InferenceFailed:
    """A process is gone; `exit_code` None: it never came up."""
    how = "could not be started" if exit_code is None else f"ended with exit code {exit_code}"
    if exit_code is not None and exit_code < 0:
        how = f"was ended by signal {-exit_code}"
    return InferenceFailed(f"the inference process {how}", code="inference-crash", exit_code=exit_code)


def timed_out(limit_s: float) -> InferenceFailed:
    return InferenceFailed(
        f"the inference process did not answer within {limit_s:g} s and was restarted",
        code="inference-timeout",
    )


def degraded(reason: str | None) -> InferenceFailed:
    return InferenceFailed(
        f"the AI is switched off for now because its process keeps failing ({reason or 'unknown reason'})",
        code="inference-degraded",
        hint="Judge by eye; the agent tries again by itself. Tell the technician if it lasts.",
    )


def stopped() -> InferenceFailed:
    return InferenceFailed("the agent is stopping", code="inference-stopped")
