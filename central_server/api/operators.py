"""Who asks: the person, or the owner of the machine, whose token comes with the request.

Rules of this file:
- Every request is looked up: who is switched off, or whose login ended, is out at once at every server process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends

from central_server.api.auth import Has, bearer_of
from central_server.errors import Refused
from central_server.masters.operators import ADMINS, ANYONE, EDITORS, JUDGES, Operator, require
from edge_agent.models import Role

Bearer = Annotated[str, Depends(bearer_of)]


def operator_of(token: Bearer, has: Has) -> Operator:
    """Raises Refused (`token-invalid`)."""
    operator = has.office.operators.operator_of(token)
    if operator is None:
        raise Refused("token-invalid", "The login has ended or never was.", hint="Log in again.")
    return operator


def with_role(roles: frozenset[Role]) -> Callable[[Operator], Operator]:
    """A dependency that lets only these roles through. Raises Denied (`role-needed`)."""

    def operator_with_role(operator: Annotated[Operator, Depends(operator_of)]) -> Operator:
        require(operator, roles)
        return operator

    return operator_with_role


AnyOperator = Annotated[Operator, Depends(with_role(ANYONE))]
Editor = Annotated[Operator, Depends(with_role(EDITORS))]
Judge = Annotated[Operator, Depends(with_role(JUDGES))]
Senior = Annotated[Operator, Depends(with_role(JUDGES | EDITORS))]
Admin = Annotated[Operator, Depends(with_role(ADMINS))]
