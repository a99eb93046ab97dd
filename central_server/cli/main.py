"""`central-server`: the operator's way to the server.

Rules of this file:
- Starts fast: nothing heavy is imported before a command runs.
- Every command takes `--json`; errors are one line on standard error and an exit code (`edge_agent.cli.exits`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from central_server.cli import counts, devices, kinds, log, masters, review, serve, state, sync
from central_server.cli.options import Options
from central_server.errors import ServerError, Unavailable
from central_server.messages import catalogue, message_of
from edge_agent.cli.exits import Exit
from edge_agent.cli.language import spoken
from edge_agent.cli.running import Complaint, run_command, run_program
from edge_agent.errors import AgentError, BadDefinition

EXPECTED: tuple[type[ServerError | AgentError], ...] = (ServerError, AgentError)

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
app.command()(log.log)
app.add_typer(review.group("rejected"), name="rejected")
app.add_typer(review.group("conflict"), name="conflict")
app.add_typer(counts.app, name="counts")
app.add_typer(sync.app, name="sync")
app.add_typer(state.epoch, name="epoch")


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. Every expected failure has become a line by then."""
    return run_command(app, "central-server", arguments, EXPECTED, complaint_of, catalogue)


def complaint_of(error: ServerError | AgentError) -> Complaint:
    """What people are told of an expected failure: every fault with its place."""
    message = message_of(error, spoken())
    match error:
        case ServerError():
            exit_code = Exit.UNAVAILABLE if isinstance(error, Unavailable) else Exit.BAD_INPUT
            return Complaint(error.code.code, error.detail, message, exit_code)
        case BadDefinition():
            problems = [str(problem) for problem in error.problems]
            return Complaint(error.code_, error.detail, message, error.exit_code, problems)
        case _:
            return Complaint(error.code_, error.detail, message, error.exit_code)


def main() -> None:
    """The console script."""
    run_program(run, catalogue)
