"""Who is asking: passwords, login tokens, the install token.

Rules of this file:
- Of a token only the sha256 is stored. Whoever can read the install token file owns the data directory.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from edge_agent.clock import Clock, to_rfc3339
from edge_agent.config import Config
from edge_agent.errors import Denied
from edge_agent.models import Actor, User
from edge_agent.passwords import Doorkeeper, sha256_of
from edge_agent.store import audit, users
from edge_agent.store.database import Database


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
        self._door = Doorkeeper(clock.monotonic)

    def log_in(self, username: str, password: str) -> Login:
        """Raises Denied (`login-failed`, whatever was wrong), Busy (`login-slowed`)."""
        return self._grant(self._door.let_in(username, password, self._find))

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

    def confirm(self, user: User, password: str) -> None:
        """Raises Denied (`password-wrong`) if it is not this user's present one, Busy (`login-slowed`)."""
        try:
            self._door.let_in(user.username, password, self._find)
        except Denied:
            raise Denied(
                "The old password is wrong.", code="password-wrong", hint="Type the old password again."
            ) from None

    def _find(self, username: str) -> tuple[User, str] | None:
        with self._db.read() as reader:
            return users.find_user(reader, username)

    def _grant(self, user: User) -> Login:
        token = urlsafe_b64encode(self._clock.random(32)).decode().rstrip("=")
        expires_at = to_rfc3339(self._clock.time() + self._config.login_hours * 3600)
        with self._db.write(Actor(user.username, user.id, user.role)) as tx:
            users.add_login(tx, sha256_of(token), user.id, self._clock.now(), expires_at)
            audit.append(tx, "login", "users", user.server_id)
        return Login(token, expires_at, user)
