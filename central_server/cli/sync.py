"""`sync`: what devices bring on a stick where there is no network.

Rules of this file:
- The answer is a file beside the parcel; it is written anew at every import, because every import is answered.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from central_server.cli.options import AsJson, database, objects, settings
from edge_agent.cli.output import emit_facts, emit_json
from edge_agent.cli.progress import bar
from edge_agent.errors import BadInput

if TYPE_CHECKING:
    from central_server.parcels import TakenIn

app = typer.Typer(help="Queues that come on a stick.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Queues that come on a stick."""


@app.command("import")
def import_parcel(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `edge-agent sync export` wrote.")],
    ack: Annotated[
        Path | None,
        typer.Option("--ack", metavar="FILE", help="Where to write the answer.  [default: FILE.ack]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Takes in a device's queue from a file, and writes the answer it settles by; harmless if done twice."""
    from central_server.parcels import take_in
    from edge_agent.clock import Clock

    work = settings(context).data_dir
    answer = ack or file.with_name(f"{file.name}.ack")
    with objects(context) as store, database(context) as opened, bar("Taking in") as report:
        taken = take_in(opened, store, Clock(), file, work, report)
    write_durably(answer, taken.ack)
    facts = {**told(taken), "ack": str(answer)}
    if as_json:
        emit_json(facts)
        return
    emit_facts(facts)
    print("Bring the answer back to the device: `edge-agent sync import-ack FILE`.")


def told(taken: TakenIn) -> dict[str, Any]:
    """What became of it, for people and programs."""
    return {
        "device_id": taken.manifest.device_id,
        "part": taken.manifest.part,
        "is_last_part": taken.manifest.is_last,
        "applied": taken.applied,
        "already_here": taken.known,
        "waiting": taken.waiting,
        "refused": taken.rejected,
        "photographs": taken.photographs,
    }


def write_durably(path: Path, data: bytes) -> None:
    """The file whole, or as it was. Raises BadInput (`file-unreadable`)."""
    from edge_agent.disk import sync_directory, sync_file

    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(data)
        sync_file(partial)
        os.replace(partial, path)
        sync_directory(path.absolute().parent)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written: {error.strerror or error}.",
            code="file-unreadable",
            hint="Name another place with --ack, and import again; that does no harm.",
        ) from None
    finally:
        partial.unlink(missing_ok=True)
