"""`master`: all masters at once, as bundles; `asset`: files that pipelines name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from central_server.cli.options import WHO, AsJson, office
from edge_agent.cli.exits import Exit
from edge_agent.cli.output import emit_facts, emit_json, emit_table
from edge_agent.cli.progress import bar

app = typer.Typer(help="All masters at once: bundles in and out.", no_args_is_help=True)
assets = typer.Typer(help="Files that pipelines name.", no_args_is_help=True)


@app.command("import")
def import_bundle(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: folder or zip.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list every problem with its place; exit 3 if there are.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Takes in a bundle after full verification; a bad one changes nothing."""
    from central_server.masters.bundles import report_document

    with office(context) as has, bar("Importing") as told:
        done = has.bundles.import_bundle(bundle, WHO, dry_run=dry_run, progress=told)
    report = report_document(done)
    emit_json(report) if as_json else _emit_report(report)
    return Exit.BAD_INPUT if report["problems"] else Exit.DONE


@app.command("export")
def export_bundle(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The zip or folder to write; must not exist.")],
    name: Annotated[str, typer.Option(help="The bundle's name.")] = "export",
    version: Annotated[str, typer.Option(help="The bundle's version.")] = "1.0.0",
    with_users: Annotated[bool, typer.Option("--with-users", help="With password hashes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Writes every active master as a bundle that a device or another centre can import."""
    with office(context) as has:
        names = has.bundles.export_bundle(file, name=name, version=version, with_users=with_users)
    emit_json({"file": str(file), "files": names}) if as_json else print(f"{file}: {len(names)} files")


@assets.command("put")
def put_asset(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A template, a reference picture.")],
    as_json: AsJson = False,
) -> None:
    """Takes in a file; pipelines name it as sha256:..."""
    with office(context) as has:
        facts = {"sha256": has.packages.put_asset(file, WHO), "size": file.stat().st_size}
    emit_json(facts) if as_json else emit_facts(facts)


def _emit_report(report: Mapping[str, Any]) -> None:
    verb = "Would import" if report["dry_run"] else "Imported"
    print(f"{verb} {report['name']} {report['version']}")
    rows = [{"what": name, **counts} for name, counts in report["counts"].items()]
    emit_table(("what", "added", "changed", "unchanged"), rows)
    for name in report["deactivated"]:
        print(f"no longer in the bundle, switched off: {name}")
    for name, version in report["activated"].items():
        print(f"active model: {name} {version}")
    for kind in ("warnings", "problems"):
        for one in report[kind]:
            print(f"{kind[:-1]}: {one['file']}#{one['pointer']}: {one['message']} [{one['code']}]")
