"""`product`, `item`, `pipeline`, `component`, `user`, `model`: one kind of masters each, with the same commands.

Rules of this file:
- Works on the database directly, through the functions the HTTP API uses: whoever may read the server's settings owns
  it, and masters can be mended while no server answers.
- What `show --json` prints is what `put` reads. A change names the version it was made on (`row_version`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from central_server.cli.options import WHO, AsJson, office
from edge_agent.cli.output import emit_facts, emit_json, emit_table
from edge_agent.cli.progress import waiting
from edge_agent.errors import BadInput

if TYPE_CHECKING:
    from central_server.masters.resources import KindName

COLUMNS: Mapping[KindName, tuple[str, ...]] = {
    "product": ("product_code", "product_name", "version", "is_active", "row_version"),
    "item": (
        "product_code",
        "item_code",
        "item_name",
        "inspection_type",
        "ai_enabled",
        "pipeline",
        "is_active",
    ),
    "pipeline": ("code", "name", "definition_version", "version", "is_active", "row_version"),
    "component": ("name", "version", "docker_image", "is_active", "row_version"),
    "user": ("username", "full_name", "role", "can_log_in", "is_active", "row_version"),
    "model": ("name", "version", "task", "is_active", "archive_size", "row_version"),
}
KEYS = {
    "product": "CODE",
    "item": "PRODUCT/ITEM",
    "pipeline": "CODE",
    "component": "NAME/VERSION",
    "user": "USERNAME",
    "model": "NAME/VERSION",
}
HELP = {
    "product": "Products that can be inspected.",
    "item": "What is looked at on a product.",
    "pipeline": "How pictures are judged.",
    "component": "What pipelines at the centre are made of.",
    "user": "People who may log in, here and at every device.",
    "model": "Model packages.",
}
KeyText = Annotated[str, typer.Argument(metavar="KEY", help="CODE, USERNAME, PRODUCT/ITEM or NAME/VERSION.")]
Given = Annotated[Path, typer.Argument(metavar="FILE", help="A JSON document; - reads standard input.")]
Everything = Annotated[bool, typer.Option("--all", help="Also what is switched off.")]
Force = Annotated[bool, typer.Option("--force", help="Whatever version is there.")]
AskPassword = Annotated[bool, typer.Option("--password", help="Ask for a password (user).")]


def groups() -> dict[KindName, typer.Typer]:
    """Name → the group of its commands."""
    found = {kind: _group(kind) for kind in COLUMNS}
    found["model"].command("install")(install)
    return found


def _group(kind: KindName) -> typer.Typer:
    app = typer.Typer(help=HELP[kind], no_args_is_help=True)

    @app.command("list", help=f"Every {kind}, by its key.")
    def list_all(context: typer.Context, everything: Everything = False, as_json: AsJson = False) -> None:
        with office(context) as has:
            documents = has.masters.list(kind, with_inactive=everything)
        emit_json({f"{kind}s": documents}) if as_json else emit_table(COLUMNS[kind], documents)

    @app.command(help=f"One {kind} ({KEYS[kind]}), whole.")
    def show(context: typer.Context, key: KeyText, as_json: AsJson = False) -> None:
        with office(context) as has:
            _emit(has.masters.get(kind, key_in(kind, key)), as_json=as_json)

    @app.command(help=f"Switches the {kind} ({KEYS[kind]}) off; it is kept, because history points at it.")
    def deactivate(context: typer.Context, key: KeyText, as_json: AsJson = False) -> None:
        with office(context) as has:
            parts = key_in(kind, key)
            done = has.masters.set_active(kind, parts, WHO, None, is_active=False)
        _emit(done, as_json=as_json)

    @app.command(help=f"Switches the {kind} ({KEYS[kind]}) on, if everything that it needs is there.")
    def activate(context: typer.Context, key: KeyText, as_json: AsJson = False) -> None:
        with office(context) as has:
            parts = key_in(kind, key)
            done = has.masters.set_active(kind, parts, WHO, None, is_active=True)
        _emit(done, as_json=as_json)

    if kind == "model":
        return app

    @app.command(help=f"Creates or changes the {kind} that a JSON document describes; nothing bad is stored.")
    def put(
        context: typer.Context,
        file: Given,
        force: Force = False,
        password: AskPassword = False,
        as_json: AsJson = False,
    ) -> None:
        document = read_document(file)
        if password:
            document["password"] = typer.prompt(
                "Password", hide_input=True, confirmation_prompt=True, err=True
            )
        with office(context) as has:
            key = key_of(kind, document)
            stored, warnings = has.masters.put(kind, key, document, WHO, "any" if force else None)
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        _emit(stored, as_json=as_json)

    return app


def install(
    context: typer.Context,
    package: Annotated[Path, typer.Argument(help="A package: folder, zip or exported .onnx.")],
    name: Annotated[str | None, typer.Option(help="Of an export without model.json.")] = None,
    version: Annotated[str | None, typer.Option(help="Of an export without model.json.")] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Also make it the active version.")] = False,
    as_json: AsJson = False,
) -> None:
    """Takes in a package that loads here and agrees with its golden samples."""
    with office(context) as has, waiting("Trying the package"):
        key = has.packages.upload(package, WHO, name=name, version=version, activate=activate)
        _emit(has.masters.get("model", key), as_json=as_json)


def key_in(kind: str, text: str) -> tuple[str, ...]:
    """The parts of a key. Raises BadInput (`bad-key`)."""
    count = KEYS[kind].count("/") + 1
    parts = tuple(text.split("/"))
    if len(parts) != count or not all(parts):
        raise BadInput(f"{text!r} is no {KEYS[kind]}.", code="bad-key", hint=f"Write {KEYS[kind]}.")
    return parts


def key_of(kind: str, document: Mapping[str, Any]) -> tuple[str, ...]:
    """What a document is called. Raises BadInput (`bad-key`)."""
    from central_server.masters.resources import KINDS

    source = document.get("definition") if kind == "pipeline" else document
    names = KINDS[kind].key
    values = [source.get(name) if isinstance(source, dict) else None for name in names]
    if not all(isinstance(value, str) and value for value in values):
        raise BadInput(
            f"The document has no {' and no '.join(names)}.",
            code="bad-key",
            hint=f"A {kind} is called by {KEYS[kind]}.",
        )
    return tuple(str(value) for value in values)


def read_document(file: Path) -> dict[str, Any]:
    """Raises BadDefinition, BadInput (`unreadable`)."""
    from edge_agent.inference.documents import read_json

    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror}).", code="unreadable") from None
    document = read_json(data, 1 << 24, file.name)
    if not isinstance(document, dict):
        raise BadInput(f"{file} is no JSON object.", code="bad-value")
    return document


def _emit(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(document)
        return
    emit_facts(
        {
            name: json.dumps(v, ensure_ascii=False) if isinstance(v, dict) else v
            for name, v in document.items()
        }
    )
