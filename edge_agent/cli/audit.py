"""`audit`: who did what, and the proof that nothing was changed since.

Rules of this file:
- Reads only.
"""

from __future__ import annotations

from typing import Annotated

import typer

from edge_agent.cli.exits import Exit
from edge_agent.cli.options import AsJson, Limit, agent
from edge_agent.cli.output import emit_json, emit_table
from edge_agent.cli.progress import waiting

app = typer.Typer(help="The audit trail.", no_args_is_help=True)


@app.command("list")
def list_audit(
    context: typer.Context,
    entity: Annotated[
        str | None, typer.Option(metavar="TYPE:ID", help="Only of this, e.g. inspection_sessions:UUID.")
    ] = None,
    before_seq: Annotated[int | None, typer.Option(help="Entries older than this number.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Entries, newest first."""
    kind, _, identity = (entity or "").partition(":")
    wanted = {"entity_type": kind or None, "entity_id": identity or None}
    with agent(context) as connection:
        page = connection.get("/audit", before_seq=before_seq, limit=limit, **wanted)
    if as_json:
        emit_json(page)
        return
    columns = ("seq", "created_at", "actor", "action", "entity_type", "entity_id")
    emit_table(columns, page["entries"], empty="no entries")


@app.command()
def verify(context: typer.Context, as_json: AsJson = False) -> int:
    """Recomputes the whole chain. Exit 9 when it is broken."""
    with agent(context) as connection, waiting("Recomputing the chain"):
        proof = connection.send("GET", "/audit/verify", answer_s=None)
    if as_json:
        emit_json(proof)
    else:
        print(f"{proof['entries']} entries: {'whole' if proof['is_whole'] else 'BROKEN'}")
        for fault in proof["faults"]:
            print(f"  {fault}")
    return Exit.DONE if proof["is_whole"] else Exit.FINDINGS
