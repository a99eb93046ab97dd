"""`sync`: what waits for the central server, why, and what a technician can do about it.

Rules of this file:
- Everything works without a network; what needs the server says so and changes nothing.
- Nothing here ever discards what was not sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from edge_agent.cli import sync_stick
from edge_agent.cli.connection import quoted
from edge_agent.cli.exits import Exit
from edge_agent.cli.options import AsJson, Cursor, Limit, agent
from edge_agent.cli.output import emit_facts, emit_json, emit_table
from edge_agent.cli.sync_dead import app as dead
from edge_agent.cli.sync_jobs import carry_out, exit_of
from edge_agent.cli.sync_words import age, amount, size
from edge_agent.errors import BadInput

app = typer.Typer(help="The way to the central server: what waits, and why.", no_args_is_help=True)
app.add_typer(dead, name="dead")
app.command()(sync_stick.export)
app.command()(sync_stick.import_ack)

AfterId = Annotated[int, typer.Option("--after", min=0, help="`next_after_id` of the page before.")]
TABLES = ("space", "table", "rows", "buckets", "is_behind")
DIFFERENCES = ("space", "table", "row_id", "kind", "is_fault")
QUEUE = ("id", "priority", "entity_type", "entity_id", "operation", "created_at", "retry_count", "error_code")
CONFLICTS = ("id", "created_at", "entity_type", "entity_id", "kept", "reason")


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> int:
    """How the synchronisation stands; answers without a network too. Exit 9 when it needs a person."""
    with agent(context) as connection:
        document = connection.get("/sync/status")
    if as_json:
        emit_json(document)
    else:
        emit_facts(flat(document))
        for lane in failing(document):
            error = lane["error"]
            print(f"{lane['name']}: {error['title']}. {error['detail']} [{error['code']}]\n  {error['hint']}")
    needs_person = document["summary"] == "stopped" or document["dead"] or document["conflicts"]
    return Exit.FINDINGS if needs_person else Exit.DONE


def flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same as one line per fact."""
    images, oldest = document["images"], document["oldest_age_s"]
    waiting = {
        f"waiting, lane {lane['priority']}": amount(lane["waiting"], lane["is_more"])
        for lane in document["lanes"]
    }
    return {
        "state": document["summary"],
        "server": document["server"] or "none",
        "site": document["site"],
        **(waiting or {"waiting": "0"}),
        "images": f"{amount(images['waiting'], images['is_more'])}, {size(images['bytes'])}",
        "oldest": f"{age(oldest)} ({document['oldest_at']})" if oldest is not None else None,
        "dead letters": f"{document['dead']}, holding up {document['held']}",
        "conflicts": document["conflicts"],
        **{
            f"pulled {space['space']}": f"up to {space['cursor']}, last {space['last_sync_at'] or 'never'}"
            for space in document["spaces"]
        },
        **{f"lane {lane['name']}": condition(lane) for lane in document["engine"]},
    }


def condition(lane: Mapping[str, Any]) -> str:
    """One lane of the engine in a line."""
    if lane["error"] is None:
        return f"well, last {lane['last_success_at'] or 'never'}"
    return f"failed {lane['attempts']} times, next {lane['next_attempt_at']}"


def failing(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [lane for lane in document["engine"] if lane["error"] is not None]


@app.command()
def now(context: typer.Context, as_json: AsJson = False) -> int:
    """Sends and fetches everything now, whatever the lanes wait for; Ctrl-C stops it at any time."""
    with agent(context) as connection:
        result = carry_out(connection, "run", None, "Synchronising", as_json=as_json)
    if result is not None:
        emit_json(result) if as_json else emit_facts(
            {
                "sent": f"{result['rows']:,} rows, {size(result['image_bytes'])} of photographs",
                "left": f"{result['rows_left']:,} rows, {result['images_left']:,} photographs",
            }
        )
    return exit_of(result)


@app.command()
def verify(
    context: typer.Context,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Freeze every row again, hash every file, ask for every photograph."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Compares what is here with what the server has. Changes nothing; exit 9 when they differ."""
    with agent(context) as connection:
        result = carry_out(connection, "verify", {"deep": deep}, "Comparing", as_json=as_json)
    if result is None:
        return exit_of(result)
    if as_json:
        emit_json(result)
    else:
        emit_table(TABLES, result["tables"], empty="nothing to compare")
        emit_table(DIFFERENCES, result["differences"], empty="Both sides hold the same.")
    return Exit.DONE if result["is_clean"] else Exit.FINDINGS


@app.command()
def repair(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> int:
    """Mends what differs: fetches anew, queues and uploads again. Exit 9 when something is left for a person."""
    with agent(context) as connection:
        result = carry_out(connection, "repair", {"dry_run": dry_run}, "Mending", as_json=as_json)
    return _mended(result, as_json=as_json)


@app.command()
def resync(
    context: typer.Context,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this one; may be repeated.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every table.")] = False,
    as_json: AsJson = False,
) -> int:
    """Fetches tables anew and queues what the server lacks. Safe at any moment; discards nothing unsent."""
    if bool(table) == everything:
        raise BadInput(
            "Name tables, or --all.",
            code="resync-unclear",
            hint="See `edge-agent sync verify` for their names.",
        )
    with agent(context) as connection:
        result = carry_out(
            connection, "resync", {"tables": table or None}, "Beginning again", as_json=as_json
        )
    return _mended(result, as_json=as_json)


def _mended(result: Mapping[str, Any] | None, *, as_json: bool) -> int:
    if result is None:
        return exit_of(result)
    if as_json:
        emit_json(result)
    else:
        emit_facts({name: value for name, value in result.items() if not isinstance(value, list)})
        emit_table(DIFFERENCES, result["left"], empty="Nothing is left for a person.")
        print("\n".join(result["problems"]), end="")
    return Exit.DONE if result["is_complete"] else Exit.FINDINGS


@app.command()
def pause(context: typer.Context, as_json: AsJson = False) -> None:
    """Nothing is sent or fetched until `resume`; what is recorded meanwhile waits."""
    _switch(context, "pause", "paused", as_json=as_json)


@app.command()
def resume(context: typer.Context, as_json: AsJson = False) -> None:
    """Goes on, at once."""
    _switch(context, "resume", "goes on", as_json=as_json)


def _switch(context: typer.Context, path: str, said: str, *, as_json: bool) -> None:
    with agent(context) as connection:
        reply = connection.post(f"/sync/{path}")
    emit_json(reply) if as_json else print(f"The synchronisation {said}.")


@app.command("queue")
def list_queue(
    context: typer.Context,
    priority: Annotated[int | None, typer.Option(help="Only this lane.")] = None,
    table: Annotated[str | None, typer.Option(help="Only changes of this table.")] = None,
    after: AfterId = 0,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """What waits to be sent, in the order in which it was made."""
    with agent(context) as connection:
        page = connection.get(
            "/sync/queue", after_id=after, limit=limit, priority=priority, entity_type=table
        )
    emit_json(page) if as_json else emit_table(QUEUE, page["entries"], empty="nothing waits")


@app.command()
def conflicts(
    context: typer.Context,
    resolve: Annotated[
        str | None, typer.Option(metavar="CONFLICT", help="Say that a person has seen this one.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """Changes that met another, with both sides, until a person has seen them."""
    with agent(context) as connection:
        if resolve is not None:
            seen = connection.post(f"/sync/conflicts/{quoted(resolve)}/resolve")
            emit_json(seen) if as_json else emit_facts(seen)
            return
        page = connection.get("/sync/conflicts", limit=limit, cursor=cursor)
    emit_json(page) if as_json else emit_table(CONFLICTS, page["conflicts"], empty="no conflicts")
