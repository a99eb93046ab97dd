"""What each caller may do: the principal of a request and the roles an endpoint asks for.

Rules of this file:
- A bearer token, else the console's cookie; the guard has already tied the cookie to our own origin.
- The CLI's install token acts as technician `cli`; it may also manage users (its file's owner owns the
  database), but never judges: a verdict is always a person's.
- Roles, and what they add (docs/api.md lists every endpoint with its role, generated from the code):
    ANYONE      every logged-in user: scan, sessions, images, verdicts, lists, statistics
    SUPERVISOR  supervisor, admin: corrections, exports, audit
    TECHNICIAN  technician, admin: masters, models, pipelines, cameras, folders, calibration, check, backup
    SENIOR      supervisor, technician, admin: fail a session, review settings, read the queue
    ADMIN       admin and the install token: users
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Header, Request
from fastapi.security import APIKeyCookie, HTTPBearer

from edge_agent.api.guard import SESSION_COOKIE
from edge_agent.api.logins import Logins
from edge_agent.api.services import Services
from edge_agent.errors import BadInput, Denied
from edge_agent.messages import choose_language
from edge_agent.models import Actor, Role, User

ANYONE = frozenset(Role)
SUPERVISOR = frozenset({Role.SUPERVISOR, Role.ADMIN})
TECHNICIAN = frozenset({Role.TECHNICIAN, Role.ADMIN})
SENIOR = frozenset({Role.SUPERVISOR, Role.TECHNICIAN, Role.ADMIN})
ADMIN = frozenset({Role.ADMIN})

KEY_HEADER = "idempotency-key"
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `user` is None for the CLI's install token."""

    actor: Actor
    user: User | None
    token: str
    via: Literal["bearer", "cookie", "install"]

    @property
    def role(self) -> Role:
        return self.user.role if self.user else Role.TECHNICIAN

    @property
    def plain_actor(self) -> Actor:
        """The actor without its Idempotency-Key, for a handler's second transaction."""
        return replace(self.actor, request_key=None)


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def logins_of(request: Request) -> Logins:
    logins: Logins = request.app.state.logins
    return logins


def request_key_of(request: Request) -> str | None:
    """The Idempotency-Key sent. Raises BadInput (`idempotency-key-unfit`)."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise BadInput(
            "The Idempotency-Key is not 1 to 128 letters, digits or . _ : - signs.",
            code="idempotency-key-unfit",
            hint="Send a UUID as Idempotency-Key, a new one for every new change.",
        )
    return key


def principal_of(request: Request) -> Principal:
    """Who asks. Raises Denied (`login-needed`, `login-expired`)."""
    known: Principal | None = getattr(request.state, "principal", None)
    if known is None:
        known = request.state.principal = _identify(request)
    return known


def _identify(request: Request) -> Principal:
    token, via = _token_of(request)
    if token is None:
        raise Denied("This needs a login.", code="login-needed", hint="Log in, then try again.")
    logins, key = logins_of(request), request_key_of(request)
    if via == "bearer" and logins.is_install_token(token):
        stored_key = f"cli:{key}" if key else None
        return Principal(Actor("cli", None, Role.TECHNICIAN, stored_key), None, token, "install")
    user = logins.user_of(token)
    if user is None:
        raise Denied("The login has ended.", code="login-expired", hint="Log in again; your work is kept.")
    stored_key = f"{user.id}:{key}" if key else None
    return Principal(Actor(user.username, user.id, user.role, stored_key), user, token, via)


def _token_of(request: Request) -> tuple[str | None, Literal["bearer", "cookie"]]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip(), "bearer"
    return request.cookies.get(SESSION_COOKIE), "cookie"


_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A login's or the install token.")
_cookie = APIKeyCookie(
    name=SESSION_COOKIE, auto_error=False, scheme_name="cookie", description="The console's login."
)


@dataclass(frozen=True, slots=True)
class Needs:
    """Who may use a route; `principal` is the dependency that lets nobody else in."""

    roles: frozenset[Role]
    install_token: bool = False

    async def principal(
        self, request: Request, _b: object = Depends(_bearer), _c: object = Depends(_cookie)
    ) -> Principal:
        """Raises Denied (`role-needed`)."""
        principal = principal_of(request)
        if principal.role not in self.roles and not (self.install_token and principal.via == "install"):
            allowed = sorted(role.value for role in self.roles)
            raise Denied(
                f"The role {principal.role.value} may not do this; it needs {' or '.join(allowed)}.",
                code="role-needed",
                hint="Ask someone with one of the roles named, or log in as such a user.",
                roles=allowed,
            )
        return principal


async def _services(request: Request) -> Services:
    return services_of(request)


async def _language(accept_language: Annotated[str, Header(max_length=200)] = "") -> str:
    return choose_language(accept_language)


async def _logins(request: Request) -> Logins:
    return logins_of(request)


Has = Annotated[Services, Depends(_services)]
Language = Annotated[str, Depends(_language)]
"""`ja` or `en`, as Accept-Language asks."""
HasLogins = Annotated[Logins, Depends(_logins)]
Anyone = Annotated[Principal, Depends(Needs(ANYONE).principal)]
Supervisor = Annotated[Principal, Depends(Needs(SUPERVISOR).principal)]
Technician = Annotated[Principal, Depends(Needs(TECHNICIAN).principal)]
Senior = Annotated[Principal, Depends(Needs(SENIOR).principal)]
Admin = Annotated[Principal, Depends(Needs(ADMIN, install_token=True).principal)]


def person_of(principal: Principal) -> User:
    """The user behind the request. Raises Denied (`person-needed`) for the install token."""
    if principal.user is None:
        raise Denied(
            "A verdict is given by a person; the install token is none.",
            code="person-needed",
            hint="Log in with user name and password, and send that token.",
        )
    return principal.user
