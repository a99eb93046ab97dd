"""`sync dead`: what the server refused for good or can never be sent, and its way back into the queue.

Rules of this file:
- A dead letter keeps its bytes for ever; `retry` and `export` are all there is to do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli.options import AsJson, Limit, agent, write_new
from edge_agent.cli.output import emit_facts, emit_json, emit_table
from edge_agent.errors import BadInput

app = typer.Typer(
    help="Changes the server refused for good, and photographs that cannot be sent.", no_args_is_help=True
)
Entry = Annotated[int, typer.Argument(metavar="ENTRY", min=1, help="The entry's number in the queue.")]
Code = Annotated[str | None, typer.Option(help="Only those with this reason.")]
COLUMNS = ("id", "entity_type", "entity_id", "operation", "dead_at", "error_code", "error_detail")
IMAGES = ("sha256", "dead_at", "error_code", "error_detail")


@app.command("list")
def list_letters(
    context: typer.Context,
    code: Code = None,
    after: Annotated[int, typer.Option("--after", min=0, help="`next_after_id` of the page before.")] = 0,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """All of them with their reasons, in the order in which they were made; then photographs given up."""
    with agent(context) as connection:
        page = connection.get("/sync/dead", after_id=after, code=code, limit=limit)
    if as_json:
        emit_json(page)
        return
    emit_table(COLUMNS, page["entries"], empty="no dead letters")
    if page["images"]:
        emit_table(IMAGES, page["images"])


@app.command()
def show(context: typer.Context, entry: Entry, as_json: AsJson = False) -> None:
    """One of them: its row, why it was refused, what waits because of it."""
    with agent(context) as connection:
        letter = connection.get(f"/sync/dead/{entry}")
    if as_json:
        emit_json(letter)
        return
    emit_facts({name: value for name, value in letter["entry"].items() if name != "data"})
    emit_facts({f"  {name}": value for name, value in row_of(letter["entry"]["data"]).items()})
    columns = ("id", "entity_type", "entity_id", "operation", "created_at")
    emit_table(columns, letter["held"], empty="nothing waits because of it")


def row_of(data: str) -> dict[str, Any]:
    """The row as it was frozen; what is no row any more as it is."""
    try:
        row = json.loads(data)
    except ValueError:
        row = None
    return row if isinstance(row, dict) else {"data": data}


@app.command()
def retry(
    context: typer.Context,
    entry: Annotated[int | None, typer.Argument(metavar="[ENTRY]", min=1, help="Only this one.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every one of them.")] = False,
    code: Code = None,
    as_json: AsJson = False,
) -> None:
    """Queues one, all, or those with one reason again, photographs too; it is recorded who asked for it."""
    if (entry is not None) + everything + (code is not None) != 1:
        raise BadInput(
            "Name one entry, --all, or --code.",
            code="retry-unclear",
            hint="See `edge-agent sync dead list` for their numbers and codes.",
        )
    path, body = (
        ("/sync/dead/retry", {"code": code}) if entry is None else (f"/sync/dead/{entry}/retry", None)
    )
    with agent(context) as connection:
        reply = connection.post(path, body, answer_s=None)
    emit_json(reply) if as_json else print(f"{reply['queued']} queued again")


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new JSON file.")],
    as_json: AsJson = False,
) -> None:
    """Writes all of them with their rows into a file, for whoever can say why; photographs are named in it, their
    files are not in it."""
    with agent(context) as connection:
        document = connection.send("GET", "/sync/dead/export", answer_s=None)
    path = file.expanduser().absolute()
    write_new(path, json.dumps(document, ensure_ascii=False, indent=1).encode())
    facts = {
        "file": str(path),
        "dead_letters": len(document["dead_letters"]),
        "images": len(document["images"]),
    }
    emit_json(facts) if as_json else emit_facts(facts)
