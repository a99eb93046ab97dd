"""`camera`: cameras by number, address or video file.

Rules of this file:
- A camera's password is part of its address; it is sent to the agent and never shown again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edge_agent.cli.connection import quoted
from edge_agent.cli.options import AsJson, agent, write_new
from edge_agent.cli.output import emit_facts, emit_json, emit_table

app = typer.Typer(help="Cameras: settings, one picture.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The camera's name: a-z, 0-9, _ and -.")]


@app.command("list")
def list_cameras(context: typer.Context, as_json: AsJson = False) -> None:
    """Every camera, and how it is doing."""
    with agent(context) as connection:
        document = connection.get("/cameras")
    if as_json:
        emit_json(document)
        return
    emit_table(("name", "source", "is_open", "frames", "problem"), document["cameras"], empty="no cameras")


@app.command()
def add(
    context: typer.Context,
    name: Name,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Number, rtsp/http address, or a video file's path.")
    ],
    width_px: Annotated[int | None, typer.Option(help="Wished width.")] = None,
    height_px: Annotated[int | None, typer.Option(help="Wished height.")] = None,
    fps: Annotated[float | None, typer.Option(help="Wished frames per second.")] = None,
    warmup_frames: Annotated[int | None, typer.Option(help="Frames thrown away after opening.")] = None,
    timeout_s: Annotated[float | None, typer.Option(help="Longest wait for a frame.")] = None,
    encoding: Annotated[Literal["jpeg", "png"] | None, typer.Option(help="How frames are stored.")] = None,
    jpeg_quality: Annotated[int | None, typer.Option(help="1 to 100.")] = None,
    as_json: AsJson = False,
) -> None:
    """Makes or changes a camera."""
    wishes: dict[str, Any] = {
        "source": int(source) if source.isascii() and source.isdigit() else source,
        "width_px": width_px,
        "height_px": height_px,
        "fps": fps,
        "warmup_frames": warmup_frames,
        "timeout_s": timeout_s,
        "encoding": encoding,
        "jpeg_quality": jpeg_quality,
    }
    body = {key: value for key, value in wishes.items() if value is not None}
    with agent(context) as connection:
        document = connection.send("PUT", f"/cameras/{quoted(name)}", json=body)
    emit_json(document) if as_json else emit_facts(document)


@app.command()
def remove(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Forgets a camera; pictures taken with it stay."""
    with agent(context) as connection:
        connection.send("DELETE", f"/cameras/{quoted(name)}")
    emit_json({"removed": name}) if as_json else print(f"{name} is forgotten")


@app.command()
def capture(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Takes one picture into a file; it is stored nowhere else."""
    with agent(context) as connection:
        data = connection.post(f"/cameras/{quoted(name)}/capture")
    write_new(file, data)
    facts = {"file": str(file), "size_bytes": len(data)}
    emit_json(facts) if as_json else emit_facts(facts)
