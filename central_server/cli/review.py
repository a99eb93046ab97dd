"""`rejected` and `conflict`: what waits for a person at the centre.

Rules of this file:
- Works on the database directly, through the functions the HTTP API uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from central_server.cli.options import WHO, AsJson, database
from edge_agent.cli.output import emit_facts, emit_json, emit_table

if TYPE_CHECKING:
    from central_server.store.review import Kind

COLUMNS = {
    "rejected": ("op_id", "device_id", "entity_type", "operation", "code", "detail", "attempts", "last_at"),
    "conflict": ("id", "device_id", "entity_type", "entity_id", "kept", "created_at"),
}
HELP = {
    "rejected": "Operations of devices that were refused for good.",
    "conflict": "Changes of a session that met another; both sides are kept.",
}
PLURAL = {"rejected": "rejections", "conflict": "conflicts"}
Ids = Annotated[list[UUID], typer.Argument(metavar="ID...", help="As `list` shows them.")]
Device = Annotated[str | None, typer.Option("--device", metavar="DEVICE_ID", help="Only of this device.")]
Entity = Annotated[
    str | None, typer.Option("--entity", metavar="ID", help="Only of this row, e.g. a session.")
]
Everything = Annotated[bool, typer.Option("--all", help="Also what a person has seen.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]


def group(kind: Kind) -> typer.Typer:
    """The commands of one kind."""
    app = typer.Typer(help=HELP[kind], no_args_is_help=True)

    @app.command("list", help=f"{HELP[kind]} What has waited longest comes first.")
    def list_open(
        context: typer.Context,
        device: Device = None,
        entity: Entity = None,
        everything: Everything = False,
        limit: Limit = 50,
        as_json: AsJson = False,
    ) -> None:
        from central_server.store.review import ReviewFilter, listed

        wanted = ReviewFilter(device, entity, None, everything)
        with database(context) as opened, opened.snapshot() as tx:
            found = listed(tx, kind, wanted, None, limit)
        emit_json({PLURAL[kind]: found}) if as_json else emit_table(COLUMNS[kind], found, empty="nothing")

    @app.command(help="One of them, with what was sent. Exit 4 if there is no such one.")
    def show(
        context: typer.Context,
        wanted: Annotated[UUID, typer.Argument(metavar="ID", help="As `list` shows it.")],
        as_json: AsJson = False,
    ) -> None:
        from central_server.store.review import one

        with database(context) as opened, opened.snapshot() as tx:
            found = one(tx, kind, str(wanted))
        emit_json(found) if as_json else emit_facts(found)

    @app.command(
        help="A person has seen these: they are listed no more, and nothing else changes. All or none: exit 4 if "
        "there is no such one."
    )
    def resolve(context: typer.Context, wanted: Ids, as_json: AsJson = False) -> None:
        from central_server.store import review

        with database(context) as opened, opened.write() as tx:
            found = [review.resolve(tx, kind, str(one), WHO, None) for one in wanted]
        emit_json({PLURAL[kind]: found}) if as_json else print(f"Resolved: {len(found)}.")

    return app
