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

from edge_agent.errors import BadInput

FREE_ATTEMPTS = 3
MAX_WAIT_S = 30.0
FORGET_S = 600.0
MAX_NAMES = 1000
MAX_PASSWORD_CHARACTERS = 256
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


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
