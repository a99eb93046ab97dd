"""`model`: model packages; installed beside the one in force, put in force, rolled back.

Rules of this file:
- The agent runs the golden samples on this machine; this only sends and shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli.connection import quoted
from edge_agent.cli.exits import Exit
from edge_agent.cli.options import AsJson, agent
from edge_agent.cli.output import emit_facts, emit_json, emit_table
from edge_agent.cli.packages import as_package
from edge_agent.cli.progress import waiting

app = typer.Typer(help="Model packages: install, put in force, go back, test.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="An installed version.")]


@app.command("list")
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """Every installed version, and which one is in force."""
    with agent(context) as connection:
        document = connection.get("/models")
    if as_json:
        emit_json(document)
        return
    rows = [{**one, "golden": len(one["golden_results"])} for one in document["models"]]
    emit_table(("name", "version", "task", "is_active", "golden", "installed_at"), rows, empty="no models")


@app.command()
def install(
    context: typer.Context,
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="Folder, zip or exported .onnx.")],
    name: Annotated[str | None, typer.Option(help="Name, for a bare .onnx.")] = None,
    version: Annotated[str | None, typer.Option(help="Version, for a bare .onnx.")] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Put it in force at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Installs a package after its golden samples agree on this machine."""
    params = {"name": name, "version": version, "activate": activate}
    with as_package(package) as sent, agent(context) as connection, waiting(f"Verifying {package.name}"):
        document = connection.post(
            "/models/install",
            params={key: value for key, value in params.items() if value is not None},
            content=sent.content,
            headers={"Content-Type": sent.content_type},
            answer_s=None,
        )
    _emit(document, as_json=as_json)


@app.command()
def activate(context: typer.Context, name: Name, version: Version, as_json: AsJson = False) -> None:
    """Puts a version in force after its golden samples agree once more."""
    with agent(context) as connection, waiting(f"Testing {name} {version}"):
        document = connection.post(f"/models/{quoted(name)}/activate", {"version": version}, answer_s=None)
    _emit(document, as_json=as_json)


@app.command()
def rollback(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Puts the version that was in force before back in force."""
    with agent(context) as connection, waiting(f"Rolling back {name}"):
        document = connection.post(f"/models/{quoted(name)}/rollback", answer_s=None)
    _emit(document, as_json=as_json)


@app.command("test")
def try_model(context: typer.Context, name: Name, version: Version, as_json: AsJson = False) -> int:
    """Runs a version's golden samples again on this machine. Exit 9 when they disagree."""
    with agent(context) as connection, waiting(f"Testing {name} {version}"):
        document = connection.post(f"/models/{quoted(name)}/test", {"version": version}, answer_s=None)
    if as_json:
        emit_json(document)
    else:
        print(f"{name} {version}: {'agrees' if document['agrees'] else 'DISAGREES with its golden samples'}")
        for one in document["problems"]:
            print(f"  {one['file']}#{one['pointer']}: {one['message']} [{one['code']}]")
    return Exit.DONE if document["agrees"] else Exit.FINDINGS


def _emit(document: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(document)
        return
    names = ("name", "version", "task", "model_sha256", "is_active", "activated_at")
    emit_facts({name: document[name] for name in names} | {"golden": len(document["golden_results"])})
