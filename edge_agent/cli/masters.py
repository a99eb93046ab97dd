"""`master`: products, items, pipelines, people and models, in and out as bundles.

Rules of this file:
- The agent verifies; this only sends, fetches and shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli.connection import quoted
from edge_agent.cli.exits import Exit
from edge_agent.cli.options import AsJson, agent, write_new
from edge_agent.cli.output import emit_facts, emit_findings, emit_json, emit_table
from edge_agent.cli.packages import as_package
from edge_agent.cli.progress import waiting
from edge_agent.cli.status import worst

app = typer.Typer(help="Products, items, pipelines, people: bundles in and out.", no_args_is_help=True)


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
    with as_package(bundle) as package, agent(context) as connection, waiting(f"Verifying {bundle.name}"):
        report = connection.post(
            "/masters/import",
            params={"dry_run": dry_run},
            content=package.content,
            headers={"Content-Type": package.content_type},
            answer_s=None,
        )
    emit_json(report) if as_json else _emit_report(report)
    return Exit.BAD_INPUT if report["problems"] else Exit.DONE


def _emit_report(report: Mapping[str, Any]) -> None:
    verb = "Would import" if report["dry_run"] else "Imported"
    print(f"{verb} {report['name']} {report['version']}")
    rows = [{"what": name, **counts} for name, counts in report["counts"].items()]
    emit_table(("what", "added", "changed", "unchanged"), rows)
    for name in report["deactivated"]:
        print(f"no longer in the bundle, deactivated: {name}")
    for name, version in report["activated"].items():
        print(f"model in force: {name} {version}")
    for kind in ("warnings", "problems"):
        for one in report[kind]:
            print(f"{kind[:-1]}: {one['file']}#{one['pointer']}: {one['message']} [{one['code']}]")


@app.command("export")
def export_bundle(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The zip to write; must not exist.")],
    with_users: Annotated[bool, typer.Option("--with-users", help="With password hashes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Writes everything in force as a bundle that another agent can import."""
    with agent(context) as connection, waiting("Collecting"):
        data = connection.send("GET", "/masters/export", params={"with_users": with_users}, answer_s=None)
    write_new(file, data)
    facts = {"file": str(file), "size_bytes": len(data)}
    emit_json(facts) if as_json else emit_facts(facts)


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> int:
    """What is in force, and what of it cannot be used."""
    with agent(context) as connection:
        document = connection.get("/masters/status")
    if as_json:
        emit_json(document)
    else:
        names = ("products", "items", "pipelines", "users", "calibrations")
        facts = {name: document[name] for name in names}
        emit_facts(facts | {"running": ", ".join(document["running"]), "imported": document["imported"]})
        emit_findings(document["findings"])
    return worst(document["findings"])


@app.command()
def products(
    context: typer.Context,
    product: Annotated[str | None, typer.Argument(metavar="[PRODUCT]", help="Its items instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every active product, or one product's items."""
    with agent(context) as connection:
        if product is None:
            document = connection.get("/masters/products")
        else:
            document = connection.get(f"/masters/products/{quoted(product)}/items")
    if as_json:
        emit_json(document)
    elif product is None:
        emit_table(("product_code", "product_name", "version"), document["products"], empty="no products")
    else:
        columns = ("order_sequence", "item_code", "item_name", "inspection_type", "ai_enabled", "required")
        emit_table(columns, document["items"], empty="no items")
