"""What every command shares: its settings, its way to the agent, the options that mean the same everywhere.

Rules of this file:
- Passwords are asked for on a terminal and read from standard input elsewhere; never an option, which other
  users of the machine could see.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.bad_settings import settings_errors
from edge_agent.cli.connection import Connection, connect
from edge_agent.errors import BadInput

if TYPE_CHECKING:
    from edge_agent.config import Config

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
AsUser = Annotated[
    str | None,
    typer.Option("--as", metavar="USER", help="Do it as this person; the password is asked for."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="Lines at most.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="`next_cursor` of the page before.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dataclass(slots=True)
class Options:
    """What was given before the command."""

    data_dir: Path | None


def settings(context: typer.Context, **overrides: Any) -> Config:
    """The settings in force; None among `overrides` is left out. Raises BadDefinition (`bad-settings`)."""
    options: Options = context.obj
    return read_settings(options.data_dir, **overrides)


def read_settings(data_dir: Path | None, **overrides: Any) -> Config:
    """Raises BadDefinition (`bad-settings`) naming every key of config.toml or the environment at fault."""
    from edge_agent.config import load_config

    given = {name: value for name, value in overrides.items() if value is not None}
    with settings_errors("EDGE_AGENT_"):
        return load_config(data_dir, **given)


@contextmanager
def agent(context: typer.Context, user: str | None = None) -> Iterator[Connection]:
    """The way to the agent; as a person while the block runs if `user` is given. Raises as `connect`."""
    password = read_password(f"Password of {user}: ") if user else ""
    with connect(settings(context)) as connection:
        if user is None:
            yield connection
            return
        with connection.logged_in(user, password) as personal:
            yield personal


def read_password(prompt: str, *, twice: bool = False) -> str:
    """From the terminal without showing it, else the first line of standard input. Raises BadInput."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(prompt)
    if twice and getpass.getpass("Again: ") != password:
        raise BadInput("The two passwords differ.", code="passwords-differ", hint="Type them again.")
    return password


def confirm(question: str, *, yes: bool) -> None:
    """Asks on a terminal; elsewhere only --yes is an answer. Raises BadInput (`not-confirmed`)."""
    if yes:
        return
    if not sys.stdin.isatty() or not typer.confirm(question, err=True):
        raise BadInput("It was not confirmed.", code="not-confirmed", hint="Confirm it, or give --yes.")


def read_file(path: Path) -> bytes:
    """Raises BadInput (`file-unreadable`)."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise file_error(path, error) from None


def file_error(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{path} cannot be used: {error.strerror or error}.",
        code="file-unreadable",
        hint="Check the name, and that you may read (or write) it.",
    )


def write_new(path: Path, data: bytes) -> None:
    """A file that was not there before, whole or not at all. Raises BadInput (`file-unreadable`)."""
    import os

    partial = path.with_name(f".{path.name}.part")
    try:
        if path.exists():
            raise FileExistsError(17, "it already exists")
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise file_error(path, error) from None
    finally:
        partial.unlink(missing_ok=True)
