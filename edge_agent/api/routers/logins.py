"""Logging in and out."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from edge_agent.api.auth import Anyone, Has, HasLogins, person_of
from edge_agent.api.bodies.people import LoginReply, LoginRequest, Me, PasswordRequest
from edge_agent.api.guard import SESSION_COOKIE
from edge_agent.api.views import is_blinded
from edge_agent.masters.users import Users
from edge_agent.passwords import sha256_of

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post("/login")
def login(body: LoginRequest, has: Has, logins: HasLogins, response: Response) -> LoginReply:
    """Logs a user in, offline too; the token is good for the hours the settings say."""
    granted = logins.log_in(body.username, body.password)
    response.headers["Cache-Control"] = "no-store"
    if not body.cookie:
        return LoginReply(granted.token, granted.expires_at, granted.user)
    max_age = int(has.config.login_hours * 3600)
    response.set_cookie(
        SESSION_COOKIE, granted.token, max_age=max_age, path="/", httponly=True, samesite="strict"
    )
    return LoginReply(None, granted.expires_at, granted.user)


@router.post("/logout", status_code=204)
def logout(who: Anyone, logins: HasLogins, request: Request, response: Response) -> None:
    """Ends this login; the install token cannot be ended."""
    if who.user is not None:
        logins.log_out(who.token, who.actor)
    if SESSION_COOKIE in request.cookies:
        response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")


@router.get("/me")
def me(who: Anyone, has: Has) -> Me:
    """Who is asking, and as what."""
    blinded = is_blinded(who.role, blind_mode=has.config.blind_mode)
    return Me(who.actor.name, who.role, who.user, blinded)


@router.post("/password", status_code=204)
def change_password(body: PasswordRequest, who: Anyone, has: Has, logins: HasLogins) -> None:
    """Sets one's own password and ends all of one's other logins."""
    user = person_of(who)
    logins.confirm(user, body.old_password)
    people = Users(has.database, has.clock)
    people.set_password(user.username, body.new_password, who.actor, keep_sha256=sha256_of(who.token))
