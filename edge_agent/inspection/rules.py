"""What may follow what: session status, completion, review sampling.

Rules of this file:
- Pure functions of their arguments; the table of transitions is data, everything else is derived from it.
- A missing or doubtful verdict never counts as OK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_agent.errors import Conflict
from edge_agent.models import AiResult, FinalResult, ItemVerdict, SessionStatus, SnapshotItem

S = SessionStatus

TRANSITIONS: Mapping[SessionStatus, frozenset[SessionStatus]] = {
    S.PENDING: frozenset({S.IN_PROGRESS, S.AI_COMPLETED, S.HUMAN_REVIEW, S.CANCELLED, S.FAILED}),
    S.IN_PROGRESS: frozenset({S.AI_COMPLETED, S.HUMAN_REVIEW, S.COMPLETED, S.CANCELLED, S.FAILED}),
    S.AI_COMPLETED: frozenset({S.IN_PROGRESS, S.HUMAN_REVIEW, S.COMPLETED, S.CANCELLED, S.FAILED}),
    S.HUMAN_REVIEW: frozenset({S.IN_PROGRESS, S.AI_COMPLETED, S.COMPLETED, S.CANCELLED, S.FAILED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
CLOSED = frozenset(status for status, following in TRANSITIONS.items() if not following)


@dataclass(frozen=True, slots=True)
class Completion:
    """Whether a session may be completed: `missing` holds the codes of the items still undecided.

    `final_result` is OK, NG or REVIEW as it would be if completed now.
    """

    missing: tuple[str, ...]
    final_result: str

    @property
    def is_possible(self) -> bool:
        return not self.missing or self.final_result == FinalResult.NG


def check_transition(present: SessionStatus, wanted: SessionStatus) -> None:
    """Raises Conflict (`impossible-transition`) unless the table allows it."""
    if wanted not in TRANSITIONS[present]:
        raise Conflict(
            f"A session that is {present} cannot become {wanted}.",
            code="impossible-transition",
            hint="Start a new session for this product." if present in CLOSED else Conflict.hint,
            present=present,
            allowed=sorted(TRANSITIONS[present]),
        )


def item_decision(item: SnapshotItem, verdict: ItemVerdict | None, *, accept_ai_ok: bool) -> str | None:
    """OK, NG or REVIEW for one item, or None while it is undecided.

    A person's verdict counts before the AI's. An AI OK counts only where the session accepts it and no
    person was asked to check.
    """
    if verdict is None:
        return None
    if verdict.human_result:
        return "REVIEW" if verdict.human_result == FinalResult.HOLD else verdict.human_result
    accepted = accept_ai_ok and verdict.ai_result == AiResult.OK and verdict.review is None
    return "OK" if accepted and item.ai_enabled else None


def completion(
    items: Sequence[SnapshotItem],
    verdicts: Mapping[str, ItemVerdict],
    *,
    accept_ai_ok: bool,
    whole: FinalResult | None = None,
) -> Completion:
    """Applied to the required items: NG if any is NG, OK only if all are OK, else REVIEW.

    `whole` is a person's verdict on the session as a whole; it decides alone.
    """
    if whole is not None:
        return Completion((), "REVIEW" if whole is FinalResult.HOLD else whole)
    required = [item for item in items if item.required]
    decisions = {
        item.item_code: item_decision(item, verdicts.get(item.id), accept_ai_ok=accept_ai_ok)
        for item in required
    }
    missing = tuple(code for code, decision in decisions.items() if decision is None)
    if "NG" in decisions.values():
        return Completion(missing, "NG")
    all_ok = bool(decisions) and all(decision == "OK" for decision in decisions.values())
    return Completion(missing, "OK" if all_ok else "REVIEW")


def status_now(items: Sequence[SnapshotItem], verdicts: Mapping[str, ItemVerdict]) -> SessionStatus:
    """Where an open session stands, from its verdicts alone."""
    if any(verdict.human_result for verdict in verdicts.values()):
        return S.HUMAN_REVIEW
    judged = [item for item in items if item.ai_enabled]
    if all(item.id in verdicts and verdicts[item.id].ai_result for item in judged):
        return S.AI_COMPLETED
    return S.IN_PROGRESS


def sample_weight(result: AiResult, share: float, random: bytes) -> float | None:
    """How many OKs this one stands for if it is picked for review, else None.

    `share` of all AI OKs is picked; `random` are 4 bytes from the clock's source.
    """
    if result is not AiResult.OK or share <= 0:
        return None
    return 1 / share if int.from_bytes(random[:4], "big") < share * 2**32 else None
