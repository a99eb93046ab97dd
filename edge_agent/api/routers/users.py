"""People who may log in here."""

from __future__ import annotations

from fastapi import APIRouter

from edge_agent.api.auth import Admin, Has
from edge_agent.api.bodies.fields import UserName
from edge_agent.api.bodies.people import NewUser, UserChange, UserList
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.masters.users import Users
from edge_agent.models import User

router = APIRouter(prefix="/users", tags=["users"], route_class=KeyedRoute)


@router.get("")
def list_users(_who: Admin, has: Has) -> UserList:
    """Everybody, active or not."""
    return UserList(Users(has.database, has.clock).list())


@router.post("", status_code=201)
def add_user(body: NewUser, who: Admin, has: Has) -> User:
    """Adds a person with a first password."""
    people = Users(has.database, has.clock)
    return people.add(body.username, body.full_name, body.role, body.password, who.actor, email=body.email)


@router.patch("/{username}")
def change_user(username: UserName, body: UserChange, who: Admin, has: Has) -> User:
    """Changes the fields sent; a new password or deactivation ends the person's logins."""
    fields = {"role", "full_name", "email"}
    changes = body.model_dump(mode="json", exclude_unset=True, include=fields)
    if changes.get("role", "") is None:
        del changes["role"]
    return Users(has.database, has.clock).change(
        username, changes, who.actor, password=body.password, is_active=body.is_active
    )
