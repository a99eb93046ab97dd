"""People who may log in here: added, given a password, disabled; each with an audit entry.

Rules of this file:
- A password is kept as an argon2id hash only and is never logged, returned or put in an error.
- People are never deleted: what they judged points at them. The last active admin cannot be disabled.
- A changed password or a disabled user ends that person's logins.
- A user that a bundle brought may be changed here; the next import changes back only what the bundle changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_agent.clock import Clock
from edge_agent.errors import BadDefinition, Conflict, NotFound
from edge_agent.inference.documents import problems_of
from edge_agent.masters.bundle import Code, Email, Text
from edge_agent.models import Actor, Role, User
from edge_agent.passwords import hash_password
from edge_agent.store import audit, users
from edge_agent.store.database import Database, insert


class _NewUser(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    username: Code
    full_name: Text
    role: Role
    email: Email | None = None


class Users:
    """`min_password` characters at least (8; the demo takes less)."""

    def __init__(self, database: Database, clock: Clock, *, min_password: int = 8) -> None:
        self._db, self._clock, self._min_password = database, clock, min_password

    def list(self) -> list[User]:
        """Everyone, also who may no longer log in, by username."""
        with self._db.read() as reader:
            return users.list_users(reader)

    def add(
        self,
        username: str,
        full_name: str,
        role: Role,
        password: str,
        actor: Actor,
        *,
        email: str | None = None,
    ) -> User:
        """Adds a person. Raises BadDefinition (bad fields), BadInput (`password-unfit`), Conflict."""
        fields = {"username": username, "full_name": full_name, "role": role, "email": email}
        try:
            new = _NewUser.model_validate(fields)
        except ValidationError as error:
            raise BadDefinition("the user cannot be added", problems_of(error, "", "")) from None
        password_hash = hash_password(password, self._min_password)
        now = self._clock.now()
        row = new.model_dump() | {"role": new.role.value, "password_hash": password_hash}
        row |= {"server_id": self._clock.new_id(), "created_at": now, "updated_at": now}
        try:
            with self._db.write(actor) as tx:
                insert(tx, "users", row)
                audit.append(tx, "user.add", "users", row["server_id"], {"role": new.role.value})
        except sqlite3.IntegrityError:
            raise Conflict(
                f"The user name {username} or the address is taken.",
                code="user-taken",
                hint="Choose another one; names of disabled users stay taken.",
            ) from None
        return self._get(username)

    def set_password(self, username: str, password: str, actor: Actor, *, keep_sha256: str = "") -> None:
        """Gives a new password and ends the person's logins, but for the one whose token has this sha256.

        Raises NotFound, BadInput (`password-unfit`).
        """
        user, password_hash = self._get(username), hash_password(password, self._min_password)
        with self._db.write(actor) as tx:
            users.set_password(tx, user.id, password_hash, self._clock.now(), keep_sha256=keep_sha256)
            audit.append(tx, "user.password", "users", user.server_id)

    def set_active(self, username: str, is_active: bool, actor: Actor) -> User:
        """Lets a person log in, or no longer. Raises NotFound, Conflict (`last-admin`)."""
        with self._db.write(actor) as tx:
            everyone = users.list_users(tx)
            user = _named(everyone, username)
            if user.is_active != is_active:
                if not is_active:
                    _refuse_last_admin(everyone, user)
                users.set_active(tx, user.id, is_active, self._clock.now())
                audit.append(tx, "user.enable" if is_active else "user.disable", "users", user.server_id)
        return self._get(username)

    def change(
        self,
        username: str,
        changes: Mapping[str, str | None],
        actor: Actor,
        *,
        password: str | None = None,
        is_active: bool | None = None,
    ) -> User:
        """Changes role, full_name or email (`changes`), password and activity, all in one transaction.

        Raises NotFound, BadInput (`password-unfit`), Conflict (`user-taken`, `last-admin`).
        """
        password_hash = None if password is None else hash_password(password, self._min_password)
        named = {name: changes[name] for name in ("role", "full_name", "email") if name in changes}
        try:
            with self._db.write(actor) as tx:
                everyone = users.list_users(tx)
                user, now = _named(everyone, username), self._clock.now()
                if is_active is False or named.get("role", Role.ADMIN) != Role.ADMIN:
                    _refuse_last_admin(everyone, user)
                if named:
                    users.change_user(tx, user.id, named, now)
                if password_hash is not None:
                    users.set_password(tx, user.id, password_hash, now)
                if is_active is not None:
                    users.set_active(tx, user.id, is_active, now)
                facts = {**named, "password": "new" if password_hash else None, "is_active": is_active}
                detail = {name: value for name, value in facts.items() if value is not None}
                audit.append(tx, "user.change", "users", user.server_id, detail)
        except sqlite3.IntegrityError:
            raise Conflict(
                "The e-mail address is taken.",
                code="user-taken",
                hint="Choose another one; addresses of disabled users stay taken.",
            ) from None
        return self._get(username)

    def _get(self, username: str) -> User:
        return _named(self.list(), username)


def _refuse_last_admin(everyone: list[User], user: User) -> None:
    admins = [other for other in everyone if other.role is Role.ADMIN and other.is_active]
    if [admin.id for admin in admins] == [user.id]:
        raise Conflict(
            f"{user.username} is the last admin who can log in.",
            code="last-admin",
            hint="Add another admin first.",
        )


def _named(everyone: list[User], username: str) -> User:
    user = next((user for user in everyone if user.username == username), None)
    if user is None:
        raise NotFound(f"There is no user {username}.", code="unknown-user")
    return user
