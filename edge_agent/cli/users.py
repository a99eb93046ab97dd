"""`user`: people who may log in here.

Rules of this file:
- Nobody is deleted: records name people for ever. Who leaves is disabled.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from edge_agent.cli.connection import quoted
from edge_agent.cli.options import AsJson, agent, read_password
from edge_agent.cli.output import emit_facts, emit_json, emit_table

app = typer.Typer(help="People who may log in here.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="USER", help="The user name.")]
COLUMNS = ("username", "full_name", "role", "is_active", "email")


@app.command("list")
def list_users(context: typer.Context, as_json: AsJson = False) -> None:
    """Everybody, active or not."""
    with agent(context) as connection:
        document = connection.get("/users")
    emit_json(document) if as_json else emit_table(COLUMNS, document["users"], empty="no users")


@app.command()
def add(
    context: typer.Context,
    username: Name,
    role: Annotated[
        Literal["inspector", "supervisor", "technician", "admin"], typer.Option(help="What they may do.")
    ],
    full_name: Annotated[str | None, typer.Option(help="The person's name.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    as_json: AsJson = False,
) -> None:
    """Adds a person; the first password is asked for (or read from standard input)."""
    body = {"username": username, "role": role, "full_name": full_name, "email": email}
    body["password"] = read_password(f"New password of {username}: ", twice=True)
    with agent(context) as connection:
        _emit(connection.post("/users", body), as_json=as_json)


@app.command()
def passwd(context: typer.Context, username: Name, as_json: AsJson = False) -> None:
    """Sets a new password and ends the person's logins."""
    password = read_password(f"New password of {username}: ", twice=True)
    _change(context, username, {"password": password}, as_json=as_json)


@app.command()
def disable(context: typer.Context, username: Name, as_json: AsJson = False) -> None:
    """Lets a person log in no more; their records stay."""
    _change(context, username, {"is_active": False}, as_json=as_json)


@app.command()
def enable(context: typer.Context, username: Name, as_json: AsJson = False) -> None:
    """Lets a person log in again."""
    _change(context, username, {"is_active": True}, as_json=as_json)


@app.command("hash")
def make_hash(as_json: AsJson = False) -> None:
    """Makes the password hash a bundle's users.json wants; needs no agent."""
    password = read_password("Password: ", twice=True)
    from edge_agent.passwords import hash_password

    hashed = hash_password(password)
    emit_json({"password_hash": hashed}) if as_json else print(hashed)


def _change(context: typer.Context, username: str, change: dict[str, Any], *, as_json: bool) -> None:
    with agent(context) as connection:
        _emit(connection.send("PATCH", f"/users/{quoted(username)}", json=change), as_json=as_json)


def _emit(document: dict[str, Any], *, as_json: bool) -> None:
    emit_json(document) if as_json else emit_facts({name: document[name] for name in COLUMNS})
