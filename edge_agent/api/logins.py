"""Who is asking: passwords, login tokens, the install token.

Rules of this file:
- A password is argon2id; an unknown name costs the same work as a wrong password.
- Of a token only the sha256 is stored. Whoever can read the install token file owns the data directory.
- Failed attempts slow down that one name, for half a minute at most: nobody can lock a colleague out.
"""

from __future__ import annotations

import hmac
import threading
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from edge_agent.clock import Clock, to_rfc3339
from edge_agent.config import Config
from edge_agent.errors import Busy, Denied
from edge_agent.models import Actor, User
from edge_agent.passwords import NOBODY, Attempts, is_match, sha256_of
from edge_agent.store import audit, users
from edge_agent.store.database import Database

PARALLEL_CHECKS = 2


@dataclass(frozen=True, slots=True)
class Login:
    """A fresh login; `token` is shown once and stored nowhere."""

    token: str
    expires_at: str
    user: User


class Logins:
    """Logs people in and out, and says whose token one is."""

    def __init__(self, database: Database, clock: Clock, config: Config, install_token: str) -> None:
        self._db, self._clock, self._config = database, clock, config
        self._install_sha256 = sha256_of(install_token) if install_token else ""
        self._attempts = Attempts()
        self._checking = threading.BoundedSemaphore(PARALLEL_CHECKS)

    def log_in(self, username: str, password: str) -> Login:
        """Raises Denied (`login-failed`, whatever was wrong), Busy (`login-slowed`)."""
        name = username.casefold()
        if wait_s := self._attempts.wait_s(name, self._clock.monotonic()):
            raise Busy(
                f"Too many failed logins for this name; try again in {wait_s:.0f} s.",
                code="login-slowed",
                hint="Wait the seconds named, then try again; other users can log in.",
                retry_after_s=wait_s,
            )
        user = self._checked(username, password)
        if user is None:
            self._attempts.failed(name, self._clock.monotonic())
            raise Denied(
                "User name or password is wrong.",
                code="login-failed",
                hint="Check both; an administrator can set a new password.",
            )
        self._attempts.succeeded(name)
        return self._grant(user)

    def log_out(self, token: str, actor: Actor) -> None:
        with self._db.write(actor) as tx:
            users.remove_login(tx, sha256_of(token))
            audit.append(tx, "logout", "users", str(actor.user_id))

    def user_of(self, token: str) -> User | None:
        """Whose login this token is; None when it is none, has expired or was ended."""
        with self._db.read() as reader:
            return users.user_of_login(reader, sha256_of(token), self._clock.now())

    def is_install_token(self, token: str) -> bool:
        return bool(self._install_sha256) and hmac.compare_digest(sha256_of(token), self._install_sha256)

    def is_password(self, user: User, password: str) -> bool:
        """Whether it is this user's present password."""
        found = self._checked(user.username, password)
        return found is not None and found.id == user.id

    def _checked(self, username: str, password: str) -> User | None:
        with self._db.read() as reader:
            found = users.find_user(reader, username)
        user, stored = found if found and found[1] else (None, NOBODY)
        with self._checking:
            return user if is_match(stored, password) else None

    def _grant(self, user: User) -> Login:
        token = urlsafe_b64encode(self._clock.random(32)).decode().rstrip("=")
        expires_at = to_rfc3339(self._clock.time() + self._config.login_hours * 3600)
        with self._db.write(Actor(user.username, user.id, user.role)) as tx:
            users.add_login(tx, sha256_of(token), user.id, self._clock.now(), expires_at)
            audit.append(tx, "login", "users", user.server_id)
        return Login(token, expires_at, user)
