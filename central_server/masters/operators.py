"""Who runs the centre: people of the masters by password, and whoever owns this machine by the admin token.

Rules of this file:
- Passwords are compared by `edge_agent.passwords`, as at every device.
- A token is shown once, kept hashed, and expires. Whoever can read the admin token's file owns the data directory.
"""

from __future__ import annotations

import hmac
import os
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from central_server.store import operators as store
from central_server.store.database import Database
from edge_agent.clock import Clock
from edge_agent.disk import disk_errors
from edge_agent.errors import Denied
from edge_agent.models import Role
from edge_agent.passwords import Doorkeeper, sha256_of

LOGIN_HOURS = 12.0
ADMIN_FILE = "run/admin-token"
ANYONE = frozenset(Role)
JUDGES = frozenset({Role.SUPERVISOR, Role.ADMIN})
"""Who may override what a device found."""
EDITORS = frozenset({Role.TECHNICIAN, Role.ADMIN})
"""Who may change masters."""
ADMINS = frozenset({Role.ADMIN})
"""Who may see and change people."""


@dataclass(frozen=True, slots=True)
class Operator:
    """`user_id` is None for the owner of the machine."""

    name: str
    role: Role
    user_id: str | None = None


OWNER = Operator("admin token", Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Login:
    """A fresh login; `token` is shown once and stored nowhere."""

    token: str
    expires_at: str
    operator: Operator


class Operators:
    """Logs people in and out, and says whose token one is."""

    def __init__(self, database: Database, clock: Clock, admin_token: str) -> None:
        self._database, self._clock = database, clock
        self._admin_sha256 = sha256_of(admin_token) if admin_token else ""
        self._door = Doorkeeper(clock.monotonic)

    def log_in(self, username: str, password: str) -> Login:
        """Raises Denied (`login-failed`, whatever was wrong), Busy (`login-slowed`)."""
        operator = self._door.let_in(username, password, self._find)
        token = new_token(self._clock)
        assert operator.user_id is not None
        with self._database.write() as tx:
            expires_at = store.add_login(tx, sha256_of(token), operator.user_id, LOGIN_HOURS)
        return Login(token, expires_at, operator)

    def log_out(self, token: str) -> None:
        with self._database.write() as tx:
            store.end_login(tx, sha256_of(token))

    def operator_of(self, token: str) -> Operator | None:
        """Whose token it is; None when it is none, has expired or was ended."""
        if self._admin_sha256 and hmac.compare_digest(sha256_of(token), self._admin_sha256):
            return OWNER
        with self._database.snapshot() as tx:
            found = store.operator_of(tx, sha256_of(token))
        return None if found is None else _operator(found)

    def _find(self, username: str) -> tuple[Operator, str] | None:
        with self._database.snapshot() as tx:
            found = store.find_user(tx, username)
        return None if found is None else (_operator(found), found.password_hash)


def _operator(user: store.User) -> Operator:
    return Operator(user.username, Role(user.role), user.id)


def new_token(clock: Clock) -> str:
    return urlsafe_b64encode(clock.random(32)).decode().rstrip("=")


def admin_token(data_dir: Path, clock: Clock) -> str:
    """The token in `run/admin-token`, made (0600) when there is none. Raises Unavailable (disk)."""
    path = data_dir / ADMIN_FILE
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            part = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(new_token(clock) + "\n")
            with suppress(FileExistsError):  # another process was faster: its token counts
                os.link(part, path)
            part.unlink()
        return path.read_text("ascii").strip()


def require(operator: Operator, roles: frozenset[Role]) -> None:
    """Raises Denied (`role-needed`) when the operator has none of the roles."""
    if operator.role not in roles:
        wanted = " or ".join(sorted(role.value for role in roles))
        raise Denied(
            f"This needs the role {wanted}; {operator.name} is {operator.role.value}.",
            code="role-needed",
            hint="Log in as a user with that role.",
        )
