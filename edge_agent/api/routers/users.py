"""People who may log in here."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

from fastapi import APIRouter

from edge_agent.api.auth import Admin, Has, HasLogins
from edge_agent.api.bodies import NewUser, UserChange, UserList, UserName
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.services import Services
from edge_agent.errors import Conflict, NotFound
from edge_agent.models import Role, User
from edge_agent.store import audit, users

router = APIRouter(prefix="/users", tags=["users"], route_class=KeyedRoute)


@router.get("")
def list_users(_who: Admin, has: Has) -> UserList:
    """Everybody, active or not."""
    with has.database.read() as reader:
        return UserList(users.list_users(reader))


@router.post("", status_code=201)
def add_user(body: NewUser, who: Admin, has: Has, logins: HasLogins) -> User:
    """Adds a person with a first password."""
    hashed, now = logins.hash_password(body.password), has.clock.now()
    row = {
        "username": body.username,
        "email": body.email,
        "password_hash": hashed,
        "full_name": body.full_name,
        "role": body.role.value,
        "created_at": now,
        "updated_at": now,
        "server_id": str(uuid.UUID(bytes=has.clock.random(16), version=4)),
    }
    try:
        with has.database.write(who.actor) as tx:
            user_id = users.add_user(tx, row)
            audit.append(tx, "user.add", "users", row["server_id"] or "", {"role": body.role.value})
    except sqlite3.IntegrityError:
        raise _taken(body.username) from None
    return _get(has, user_id)


@router.patch("/{username}")
def change_user(username: UserName, body: UserChange, who: Admin, has: Has, logins: HasLogins) -> User:
    """Changes the fields sent; a new password or deactivation ends the person's logins."""
    changes: dict[str, Any] = body.model_dump(exclude_unset=True, exclude={"password", "is_active"})
    hashed = logins.hash_password(body.password) if body.password is not None else None
    try:
        with has.database.write(who.actor) as tx:
            user = _find(users.list_users(tx), username)
            _keep_an_admin(users.list_users(tx), user, body)
            now = has.clock.now()
            if named := {name: value for name, value in changes.items() if name != "role" or value}:
                users.change_user(tx, user.id, named, now)
            if hashed is not None:
                users.set_password(tx, user.id, hashed, now)
            if body.is_active is not None:
                users.set_active(tx, user.id, body.is_active, now)
            detail = {name: str(value) for name, value in body.model_dump(exclude_unset=True).items()}
            audit.append(tx, "user.change", "users", user.server_id, {**detail, **_hidden(detail)})
    except sqlite3.IntegrityError:
        raise _taken(username) from None
    return _get(has, user.id)


def _hidden(detail: dict[str, str]) -> dict[str, str]:
    return {"password": "(new)"} if "password" in detail else {}


def _keep_an_admin(everybody: list[User], user: User, change: UserChange) -> None:
    """Raises Conflict (`last-admin`) when nobody could manage users afterwards."""
    stays = change.is_active is not False and change.role in (None, Role.ADMIN)
    others = [one for one in everybody if one.role is Role.ADMIN and one.is_active and one.id != user.id]
    if user.role is Role.ADMIN and user.is_active and not stays and not others:
        raise Conflict(
            f"{user.username} is the only administrator.",
            code="last-admin",
            hint="Make another user administrator first.",
        )


def _find(everybody: list[User], username: str) -> User:
    for user in everybody:
        if user.username == username:
            return user
    raise NotFound(f"There is no user {username!r}.", code="unknown-user")


def _get(has: Services, user_id: int) -> User:
    with has.database.read() as reader:
        user = users.get_user(reader, user_id)
    assert user is not None, "users are never deleted"
    return user


def _taken(username: str) -> Conflict:
    return Conflict(
        f"The user name {username!r} or the e-mail address is taken.",
        code="user-taken",
        hint="Choose another name, or change the existing user.",
    )
