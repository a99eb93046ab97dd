"""`edge-agent`: the technician's and the scripts' way to the agent.

Rules of this file:
- Starts fast: nothing heavy is imported before a command runs (`edge-agent --help` under 0.3 s).
- Every command takes `--json`; errors are one line on standard error and an exit code (`exits.py`).
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from edge_agent.cli import (
    audit,
    calibrate,
    cameras,
    demo,
    doctor,
    enroll,
    folders,
    inspection,
    masters,
    models,
    serve,
    sessions,
    status,
    sync,
    upkeep,
    users,
)
from edge_agent.cli.connection import Refused
from edge_agent.cli.exits import Exit
from edge_agent.cli.options import Options
from edge_agent.cli.output import complain
from edge_agent.errors import AgentError, BadDefinition

app = typer.Typer(
    name="edge-agent",
    help="Offline-first visual inspection: capture, judge, confirm, keep.",
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
        typer.Option("--data-dir", envvar="EDGE_AGENT_DATA_DIR", help="Where the agent keeps its data."),
    ] = None,
) -> None:
    """Offline-first visual inspection: capture, judge, confirm, keep."""
    context.obj = Options(data_dir)


app.command()(serve.run)
app.command()(status.status)
app.command()(demo.demo)
app.command()(inspection.inspect)
for name, group in {
    "session": sessions.app,
    "master": masters.app,
    "model": models.app,
    "sync": sync.app,
    "folder": folders.app,
    "camera": cameras.app,
    "calibrate": calibrate.app,
    "user": users.app,
    "audit": audit.app,
}.items():
    app.add_typer(group, name=name)
app.command()(enroll.enroll)
app.command()(upkeep.check)
app.command()(upkeep.backup)
app.command()(upkeep.restore)
app.command()(doctor.doctor)
app.command()(doctor.version)


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. Every expected failure has become a line by then."""
    as_json = "--json" in arguments
    try:
        result = app(args=arguments, prog_name="edge-agent", standalone_mode=False)
    except AgentError as error:
        complain(error.code_, error.detail, error.hint_, problems_of(error), as_json=as_json)
        return error.exit_status if isinstance(error, Refused) else error.exit_code
    except TyperException as error:
        complain("usage", error.format_message(), "See `edge-agent --help`.", as_json=as_json)
        return Exit.USAGE
    except typer.Abort:
        result = Exit.INTERRUPTED
    except SystemExit:  # so typer ends when whoever read standard output has seen enough
        return Exit.DONE
    if result == Exit.INTERRUPTED:
        complain("interrupted", "Interrupted.", "Nothing is left half-done; run it again.", as_json=as_json)
    return int(result) if isinstance(result, int) else Exit.DONE


def problems_of(error: AgentError) -> list[str]:
    """Every fault with its place, as lines."""
    if isinstance(error, Refused):
        return error.problems
    return [str(problem) for problem in error.problems] if isinstance(error, BadDefinition) else []


def main() -> None:
    """The console script."""
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.DONE
    except Exception as error:
        logging.basicConfig(stream=sys.stderr, force=True)
        logging.getLogger(__name__).exception("unforeseen")
        complain("internal", f"An error nobody foresaw ({error!r}).", AgentError.hint)
        code = Exit.INTERNAL
    sys.exit(code)
