"""`enroll`: makes this device known to a central server.

Rules of this file:
- The code is good once and for minutes, so it may stand on the command line; the token it buys is never shown.
"""

from __future__ import annotations

from typing import Annotated

import typer

from edge_agent.cli.options import AsJson, agent
from edge_agent.cli.output import emit_facts, emit_json


def enroll(
    context: typer.Context,
    server: Annotated[
        str, typer.Option("--server", metavar="URL", help="https://HOST or https://HOST:PORT.")
    ],
    code: Annotated[str, typer.Option("--code", help="The one-time code from the server's operator.")],
    as_json: AsJson = False,
) -> None:
    """Makes this device known to the central server; again after it was revoked. What waits to be sent is kept."""
    with agent(context) as connection:
        made = connection.post("/sync/enroll", {"server": server, "code": code})
    emit_json(made) if as_json else emit_facts(made)
