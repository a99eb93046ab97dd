"""`counts`: whether the statistics' counts are what counting the facts again gives."""

from __future__ import annotations

import typer

from central_server.cli.options import WHO, AsJson, database
from edge_agent.cli.exits import Exit
from edge_agent.cli.output import emit_json, emit_table

app = typer.Typer(help="The statistics' counts: proved, and made again.", no_args_is_help=True)


@app.command()
def check(context: typer.Context, as_json: AsJson = False) -> int:
    """Counts all facts again and compares; exit 8 if anything differs."""
    from central_server.store import recounts

    with database(context) as opened, opened.snapshot() as tx:
        faults = [fault._asdict() for fault in recounts.count_faults(tx)]
    if as_json:
        emit_json({"faults": faults})
    else:
        emit_table(("table", "subject", "stored", "counted"), faults, empty="Every count is right.")
    return Exit.DAMAGED if faults else Exit.DONE


@app.command()
def rebuild(context: typer.Context, as_json: AsJson = False) -> None:
    """Makes all counts again from the facts; devices' batches wait meanwhile."""
    from central_server.store import operator_log, recounts

    with database(context) as opened, opened.write() as tx:
        recounts.rebuild(tx)
        operator_log.note(tx, WHO, "counts.rebuild", "")
    emit_json({"rebuilt": True}) if as_json else print("Every count was made again.")
