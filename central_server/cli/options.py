"""What every command shares: its settings, its way to the database, the options that mean the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.bad_settings import settings_errors

if TYPE_CHECKING:
    from central_server.config import Config
    from central_server.masters.office import Office
    from central_server.objects import Objects
    from central_server.store.database import Database

WHO = "command line"
"""The actor of what commands change, in the operators' log."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


@dataclass(slots=True)
class Options:
    """What was given before the command."""

    data_dir: Path | None


def settings(context: typer.Context, **overrides: Any) -> Config:
    """The settings in force; None among `overrides` is left out. Raises BadDefinition (`bad-settings`)."""
    from central_server.config import load_config

    options: Options = context.obj
    given = {name: value for name, value in overrides.items() if value is not None}
    with settings_errors("CENTRAL_SERVER_"):
        return load_config(options.data_dir, **given)


@contextmanager
def database(context: typer.Context) -> Iterator[Database]:
    """The open database: the configured one, else the one of the server that runs on this machine.

    Raises Unavailable.
    """
    from central_server.daemon.backends import found_backends
    from central_server.store.database import Database

    opened = Database(found_backends(settings(context)).database_url, max_connections=1)
    opened.open()
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def objects(context: typer.Context) -> Iterator[Objects]:
    """The object store: the configured one, else the one of the server that runs on this machine.

    Raises Unavailable when none is known; that it answers is another question.
    """
    from central_server.daemon.backends import found_backends
    from central_server.objects import Objects
    from edge_agent.clock import Clock

    opened = Objects(found_backends(settings(context)).store, Clock())
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def office(context: typer.Context) -> Iterator[Office]:
    """What works on the masters, directly on the database and the object store: whoever may read the settings owns
    the server, and a command works while no server answers, too. Raises Unavailable.
    """
    from central_server.masters.office import open_office
    from edge_agent.clock import Clock

    with objects(context) as store, database(context) as opened:
        yield open_office(opened, store, Clock(), settings(context).data_dir)
