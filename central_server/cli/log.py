"""`log`: who changed which master, let which device in, and when."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from central_server.cli.options import AsJson, database
from edge_agent.cli.output import emit_json, emit_table

COLUMNS = ("id", "at", "actor", "action", "subject", "detail")


def log(
    context: typer.Context,
    kind: Annotated[
        str | None, typer.Option(help="Only of this kind: product, item, user, device, ...")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only of this one, e.g. PRODUCT/ITEM.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Only what this person changed.")
    ] = None,
    before: Annotated[int | None, typer.Option(help="Entries older than this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Who changed what, newest first."""
    from central_server.store.operator_log import LogFilter, entries

    with database(context) as opened, opened.snapshot() as tx:
        found = [asdict(one) for one in entries(tx, LogFilter(kind, subject, actor), before, limit)]
    emit_json({"entries": found}) if as_json else emit_table(COLUMNS, found, empty="no entries")
