"""Operators log in and out; what they changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, SecretStr, StringConstraints

from central_server.api.auth import Has
from central_server.api.operators import AnyOperator, Bearer, Editor
from central_server.store import operator_log
from central_server.store.operator_log import Entry, LogFilter
from edge_agent.models import Role

router = APIRouter(prefix="/operators", tags=["operators"])
Text = Annotated[str | None, Query(max_length=500)]


class Credentials(BaseModel):
    username: Annotated[str, StringConstraints(max_length=255)]
    password: SecretStr


@dataclass(frozen=True, slots=True)
class Person:
    """`user_id` is null for the owner of the machine (admin token)."""

    name: str
    role: Role
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Granted:
    """`token` is shown once; send it as `Authorization: Bearer`."""

    token: str
    expires_at: str
    operator: Person


@router.post("/login")
def log_in(credentials: Credentials, has: Has) -> Granted:
    """A person of the masters becomes an operator for twelve hours."""
    login = has.office.operators.log_in(credentials.username, credentials.password.get_secret_value())
    operator = login.operator
    return Granted(login.token, login.expires_at, Person(operator.name, operator.role, operator.user_id))


@router.post("/logout", status_code=204)
def log_out(token: Bearer, _: AnyOperator, has: Has) -> None:
    """The token ends."""
    has.office.operators.log_out(token)


@router.get("/me")
def show_me(operator: AnyOperator) -> Person:
    """Whose token this is."""
    return Person(operator.name, operator.role, operator.user_id)


@dataclass(frozen=True, slots=True)
class LogPage:
    """`next`: send it back as `before`; null at the end."""

    entries: list[Entry]
    next: int | None


@router.get("/log")
def list_log(
    has: Has,
    _: Editor,
    kind: Text = None,
    subject: Text = None,
    actor: Text = None,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> LogPage:
    """Who changed what, newest first. `kind`: product, item, user, device ...; `subject`: its key."""
    with has.database.snapshot() as tx:
        found = operator_log.entries(tx, LogFilter(kind, subject, actor), before, limit)
    return LogPage(found, found[-1].id if len(found) == limit else None)
