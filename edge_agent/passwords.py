"""Passwords and tokens: how they are kept, compared, and how guessing is slowed down.

Rules of this file:
- A password is argon2id; an unknown name costs the same work as a wrong password (`NOBODY`).
- Of a token only the sha256 is kept. Nothing here logs, returns or quotes a password.
- Failed attempts slow down that one name, for half a minute at most: nobody can lock a colleague out.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from edge_agent.errors import BadInput, Busy, Denied

PARALLEL_CHECKS = 2
FREE_ATTEMPTS = 3
MAX_WAIT_S = 30.0
FORGET_S = 600.0
MAX_NAMES = 1000
MAX_PASSWORD_CHARACTERS = 256
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

Person = TypeVar("Person")


def hash_password(password: str, min_characters: int = 8) -> str:
    """The argon2id hash in its encoded form, with the library's present parameters.

    Raises BadInput (`password-unfit`) below `min_characters` and above 256.
    """
    from argon2 import PasswordHasher

    if not min_characters <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise BadInput(
            f"A password has {min_characters} to {MAX_PASSWORD_CHARACTERS} characters.",
            code="password-unfit",
            hint="Choose a longer one; several words are easy to remember.",
        )
    return PasswordHasher().hash(password)


class Doorkeeper:
    """Lets people in by their passwords: two are compared at a time. `monotonic` tells the time in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._attempts = Attempts()
        self._checking = threading.BoundedSemaphore(PARALLEL_CHECKS)

    def let_in(
        self, username: str, password: str, find: Callable[[str], tuple[Person, str] | None]
    ) -> Person:
        """The person whom `find` knows by this name, with the hash that is kept.

        Raises Denied (`login-failed`, whatever was wrong), Busy (`login-slowed`).
        """
        name = username.casefold()
        if wait_s := self._attempts.wait_s(name, self._monotonic()):
            raise Busy(
                f"Too many failed logins for this name; try again in {wait_s:.0f} s.",
                code="login-slowed",
                hint="Wait the seconds named, then try again; other users can log in.",
                retry_after_s=wait_s,
            )
        person = self.recognised(find(username), password)
        if person is None:
            self._attempts.failed(name, self._monotonic())
            raise Denied(
                "User name or password is wrong.",
                code="login-failed",
                hint="Check both; an administrator can set a new password.",
            )
        self._attempts.succeeded(name)
        return person

    def recognised(self, found: tuple[Person, str] | None, password: str) -> Person | None:
        """The person, if it is their password; one without a password is nobody."""
        person, stored = found if found and found[1] else (None, NOBODY)
        with self._checking:
            return person if is_match(stored, password) else None


class Attempts:
    """Failed logins by name: how long the next one has to wait. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, name: str, now: float) -> float:
        """Seconds until another attempt for this name is looked at; 0 = now."""
        with self._lock:
            count, last = self._failed.get(name, (0, now))
        return max(0.0, last + pause_s(count) - now)

    def failed(self, name: str, now: float) -> None:
        with self._lock:
            count, last = self._failed.pop(name, (0, now))
            self._failed[name] = (1 if now - last > FORGET_S else count + 1, now)
            if len(self._failed) > MAX_NAMES:
                self._failed.popitem(last=False)

    def succeeded(self, name: str) -> None:
        with self._lock:
            self._failed.pop(name, None)


def pause_s(failed: int) -> float:
    """Three attempts are free, then 1, 2, 4 … seconds, never more than half a minute."""
    over = failed - FREE_ATTEMPTS
    return 0.0 if over < 0 else float(min(2.0 ** min(over, 10), MAX_WAIT_S))


def sha256_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_match(stored: str, password: str) -> bool:
    """Whether the password is the one the argon2id hash was made of."""
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(stored, password[: MAX_PASSWORD_CHARACTERS + 1])
    except (VerificationError, InvalidHashError):
        return False
