"""`migrate`, `status`, `epoch`: the database and the history it tells."""

from __future__ import annotations

from typing import Annotated

import typer

from central_server.cli.options import WHO, AsJson, database, objects, settings
from edge_agent.cli.exits import Exit
from edge_agent.cli.output import emit_facts, emit_json
from edge_agent.errors import BadInput

epoch = typer.Typer(help="The history that the server tells.", no_args_is_help=True)


def migrate(context: typer.Context, as_json: AsJson = False) -> None:
    """Brings the database to this program's schema; `run` does so too. Safe from several machines at once."""
    from central_server.daemon.backends import found_backends
    from central_server.store import migrations

    applied = migrations.migrate(found_backends(settings(context)).database_url)
    if as_json:
        emit_json({"applied": applied})
    else:
        print("\n".join(applied) or "The database is up to date.")


def status(context: typer.Context, as_json: AsJson = False) -> int:
    """Where the server answers, what its database holds, whether the object store takes images, and what waits for a
    person. Exit 9 when the store takes none."""
    from central_server.daemon.backends import announced_url
    from central_server.store.state import figures
    from central_server.watch import StoreWatch

    with database(context) as opened, opened.snapshot() as tx:
        found = {"url": announced_url(settings(context).data_dir)} | figures(tx)
    with objects(context) as store:
        watch = StoreWatch(store)
        watch.step()
    trouble = watch.trouble
    found["object_store"] = f"{trouble.code.code}: {trouble.detail} {trouble.hint}" if trouble else "well"
    emit_json(found) if as_json else emit_facts(found)
    return Exit.FINDINGS if trouble else Exit.DONE


@epoch.command()
def renew(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """After the database was restored from a backup: every device pulls afresh and sends again what is missing."""
    from central_server.store import operator_log
    from central_server.store.state import renew_epoch

    if not yes and not typer.confirm(
        "Every device will pull everything again. Was the database restored?", err=True
    ):
        raise BadInput("It was not confirmed.", code="not-confirmed", hint="Confirm it, or give --yes.")
    with database(context) as opened, opened.write() as tx:
        server_epoch = renew_epoch(tx)
        operator_log.note(tx, WHO, "epoch.renew", server_epoch)
    emit_json({"server_epoch": server_epoch}) if as_json else print(f"The history is now {server_epoch}.")
