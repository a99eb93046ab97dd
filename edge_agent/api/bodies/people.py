"""Bodies of requests about logins and users, and their answers.

Rules of this file:
- No answer holds a password or a hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from edge_agent.api.bodies.fields import Password, Request, Short
from edge_agent.models import (
    Role,
    User,
)


class LoginRequest(Request):
    """`cookie`: keep the login in a cookie that scripts cannot read (the console), and return no token."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    password: Password
    cookie: bool = False


@dataclass(frozen=True, slots=True)
class LoginReply:
    """`token` goes into `Authorization: Bearer …`; null when a cookie holds it."""

    token: str | None
    expires_at: str
    user: User


@dataclass(frozen=True, slots=True)
class Me:
    """Who is asking. `user` is null for the CLI's install token; `is_blind`: the AI verdict comes last."""

    name: str
    role: Role
    user: User | None
    is_blind: bool


class PasswordRequest(Request):
    old_password: Password
    new_password: Password


class NewUser(Request):
    username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    password: Password
    role: Role
    full_name: Short
    email: Short | None = None


class UserChange(Request):
    """Only the fields sent are changed."""

    role: Role | None = None
    full_name: Short | None = None
    email: Short | None = None
    is_active: bool | None = None
    password: Password | None = None


@dataclass(frozen=True, slots=True)
class UserList:
    users: list[User]
