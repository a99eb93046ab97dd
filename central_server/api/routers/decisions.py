"""Decisions: a supervisor's override of what a device found; devices pull them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

from central_server.api.auth import Has
from central_server.api.operators import AnyOperator, Judge
from central_server.store import decisions, operator_log
from central_server.store.decisions import Decision
from edge_agent.errors import Denied
from sync_protocol.messages import UUID_PATTERN

router = APIRouter(prefix="/decisions", tags=["decisions"])
Id = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]


class NewDecision(BaseModel):
    """`item_id` null: the whole session. `version`: 1 for the first decision, else that in force plus 1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    session_id: Id
    item_id: Id | None = None
    final_result: Literal["OK", "NG"]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    version: int = 1


@router.post("", status_code=201)
def decide(body: NewDecision, who: Judge, has: Has) -> Decision:
    """Overrides the result of a session or an item; the device that made it hears of it by its next pull."""
    if who.user_id is None:
        raise Denied("A decision is a person's.", code="person-needed", hint="Log in with a user name.")
    with has.database.write() as tx:
        decision = decisions.decide(tx, has.clock.new_id(), **body.model_dump(), decided_by=who.user_id)
        subject = "/".join(filter(None, (decision.session_id, decision.item_id)))
        operator_log.note(tx, who.name, "decision.make", subject, {"final_result": decision.final_result})
    return decision


@router.get("")
def list_decisions(has: Has, _: AnyOperator, session_id: Annotated[Id, Query()]) -> dict[str, list[Decision]]:
    """Every decision on a session and its items, oldest first; the highest version of each is in force."""
    with has.database.snapshot() as tx:
        return {"decisions": decisions.of_session(tx, session_id)}
