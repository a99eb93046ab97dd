"""`sync export` and `sync import-ack`: the way to the server where there is no network.

Rules of this file:
- Writing the queue to a file changes nothing in it; only the server's answer does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.options import AsJson, agent, read_file
from edge_agent.cli.output import emit_facts, emit_json
from edge_agent.cli.sync_jobs import carry_out, exit_of
from edge_agent.cli.sync_words import size

BINARY = {"Content-Type": "application/octet-stream"}


def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, best on the stick.")],
    as_json: AsJson = False,
) -> int:
    """Writes the unsent queue with its photographs to a signed file (and FILE-2 … if one cannot hold it)."""
    path = file.expanduser().absolute()
    with agent(context) as connection:
        result = carry_out(connection, "export", {"file": str(path)}, "Writing", as_json=as_json)
    if result is None:
        return exit_of(result)
    if as_json:
        emit_json(result)
        return exit_of(result)
    print("\n".join(result["files"]) or "Nothing is unsent; no file was written.")
    emit_facts(
        {
            "rows": result["rows"],
            "photographs": f"{result['photographs']}, {size(result['bytes'])} with the rows",
            "damaged, left here": result["left_behind"],
        }
    )
    if result["files"]:
        print("Take it to the server: `central-server sync import FILE`; then bring back its answer.")
    return exit_of(result)


def import_ack(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `central-server sync import` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Settles what the server took in from a stick; only what its answer names, and only if it proves itself."""
    data = read_file(file)
    with agent(context) as connection:
        settled = connection.post("/sync/import-ack", content=data, headers=BINARY, answer_s=None)
    emit_json(settled) if as_json else emit_facts(settled)
