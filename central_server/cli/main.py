"""`central-server`: the operator's way to the server.

Rules of this file:
- Starts fast: nothing heavy is imported before a command runs.
- Every command takes `--json`; errors are one line on standard error and an exit code (`edge_agent.cli.exits`).
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from central_server.cli import counts, devices, kinds, masters, serve, state, sync
from central_server.cli.options import Options
from central_server.errors import ServerError, Unavailable
from edge_agent.cli.exits import Exit
from edge_agent.cli.output import complain
from edge_agent.errors import AgentError, BadDefinition

app = typer.Typer(
    name="central-server",
    help="The central server: owns the masters, takes in the records of every device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def options(
    context: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", envvar="CENTRAL_SERVER_DATA_DIR", help="Where the server keeps its data."),
    ] = None,
) -> None:
    """The central server: owns the masters, takes in the records of every device."""
    context.obj = Options(data_dir)


app.command()(serve.run)
app.command()(state.migrate)
app.command()(state.status)
app.add_typer(devices.app, name="device")
app.add_typer(masters.app, name="master")
for name, group in kinds.groups().items():
    app.add_typer(group, name=name)
app.add_typer(masters.assets, name="asset")
app.add_typer(counts.app, name="counts")
app.add_typer(sync.app, name="sync")
app.add_typer(state.epoch, name="epoch")


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. Every expected failure has become a line by then."""
    as_json = "--json" in arguments
    try:
        result = app(args=arguments, prog_name="central-server", standalone_mode=False)
    except ServerError as error:
        complain(error.code.code, error.detail, error.hint, as_json=as_json)
        return Exit.UNAVAILABLE if isinstance(error, Unavailable) else Exit.BAD_INPUT
    except AgentError as error:
        faults = [str(fault) for fault in error.problems] if isinstance(error, BadDefinition) else []
        complain(error.code_, error.detail, error.hint_, faults, as_json=as_json)
        return error.exit_code
    except TyperException as error:
        complain("usage", error.format_message(), "See `central-server --help`.", as_json=as_json)
        return Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        result = Exit.INTERRUPTED
    except SystemExit:
        return Exit.DONE
    if result == Exit.INTERRUPTED:
        complain("interrupted", "Interrupted.", "Nothing is left half-done; run it again.", as_json=as_json)
    return int(result) if isinstance(result, int) else Exit.DONE


def main() -> None:
    """The console script."""
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except Exception as error:
        logging.basicConfig(stream=sys.stderr, force=True)
        logging.getLogger(__name__).exception("unforeseen")
        complain(
            "internal", f"An error nobody foresaw ({error!r}).", "Send what was logged to the maintainers."
        )
        code = Exit.INTERNAL
    sys.exit(code)
