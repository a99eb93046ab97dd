"""`folder`: hot folders, and the files they could not use.

Rules of this file:
- A folder's files are never touched from here; the agent that watches it moves them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edge_agent.cli.connection import quoted
from edge_agent.cli.options import AsJson, Limit, Yes, agent, confirm
from edge_agent.cli.output import emit_facts, emit_json, emit_table

app = typer.Typer(help="Hot folders and their quarantine.", no_args_is_help=True)
quarantine = typer.Typer(help="Files a hot folder could not use.", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The folder's name: a-z, 0-9, _ and -.")]
Entry = Annotated[str, typer.Argument(metavar="ENTRY", help="The entry's id.")]


@app.command("list")
def list_folders(context: typer.Context, as_json: AsJson = False) -> None:
    """Every hot folder: where it is, and how it is doing."""
    with agent(context) as connection:
        document = connection.get("/folders")
    if as_json:
        emit_json(document)
        return
    rows = [{**one["config"], **(one["status"] or {})} for one in document["folders"]]
    columns = ("name", "path", "session", "waiting", "taken", "duplicates", "quarantined", "problem")
    emit_table(columns, rows, empty="no hot folders")


@app.command()
def add(
    context: typer.Context,
    name: Name,
    path: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="The directory to watch.")],
    product: Annotated[str | None, typer.Option(help="Product code of every file.")] = None,
    item: Annotated[str | None, typer.Option(help="Item code of every file.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="Regular expression of the file names; groups product, item, serial, lot."),
    ] = None,
    sidecar: Annotated[bool, typer.Option("--sidecar", help="Each picture comes with FILE.json.")] = False,
    session: Annotated[
        Literal["current", "auto"],
        typer.Option(help="Add to the open session of the product, or make sessions (line camera)."),
    ] = "current",
    accept_ai_ok: Annotated[bool, typer.Option("--accept-ai-ok", help="An AI OK needs no person.")] = False,
    settle_s: Annotated[
        float | None, typer.Option(help="Seconds without change until a file counts as written.")
    ] = None,
    give_up_s: Annotated[
        float | None, typer.Option(help="Seconds until what is no picture goes to quarantine.")
    ] = None,
    rescan_s: Annotated[float | None, typer.Option(help="Seconds between listings, events or not.")] = None,
    as_json: AsJson = False,
) -> None:
    """Makes or changes a hot folder; it is watched at once."""
    body: dict[str, Any] = {
        "path": str(path.expanduser().absolute()),
        "product": product,
        "item": item,
        "pattern": pattern,
        "sidecar": sidecar,
        "session": session,
        "accept_ai_ok": accept_ai_ok,
    }
    times = {"settle_s": settle_s, "give_up_s": give_up_s, "rescan_s": rescan_s}
    body |= {key: value for key, value in times.items() if value is not None}
    with agent(context) as connection:
        document = connection.send("PUT", f"/folders/{quoted(name)}", json=body)
    emit_json(document) if as_json else emit_facts(document)


@app.command()
def remove(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Stops watching a folder; its files stay where they are."""
    with agent(context) as connection:
        connection.send("DELETE", f"/folders/{quoted(name)}")
    emit_json({"removed": name}) if as_json else print(f"{name} is no longer watched")


@quarantine.command("list")
def list_quarantine(
    context: typer.Context,
    folder: Annotated[str | None, typer.Option(help="Only of this folder.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Files set aside, newest first, each with the reason."""
    with agent(context) as connection:
        document = connection.get("/folders/quarantine", folder=folder, limit=limit)
    if as_json:
        emit_json(document)
        return
    emit_table(("id", "folder", "name", "code", "detail"), document["entries"], empty="nothing is set aside")


@quarantine.command()
def retry(context: typer.Context, entry: Entry, as_json: AsJson = False) -> None:
    """Puts a file back into its folder, to be taken again."""
    with agent(context) as connection:
        document = connection.post(f"/folders/quarantine/{quoted(entry)}/retry")
    emit_json(document) if as_json else print(f"{document['name']} is back in {document['folder']}")


@quarantine.command()
def discard(context: typer.Context, entry: Entry, yes: Yes = False, as_json: AsJson = False) -> None:
    """Deletes a file for ever."""
    confirm(f"Delete the file of {entry} for ever?", yes=yes)
    with agent(context) as connection:
        document = connection.post(f"/folders/quarantine/{quoted(entry)}/discard")
    emit_json(document) if as_json else print(f"{document['name']} is deleted")
