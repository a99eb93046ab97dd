"""`edge-agent`: the technician's and the scripts' way to the agent.

Rules of this file:
- Starts fast: nothing heavy is imported before a command runs (`edge-agent --help` under 0.3 s).
- Every command takes `--json`; errors are one line on standard error and an exit code (`exits.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
from edge_agent.cli.language import spoken
from edge_agent.cli.options import Options
from edge_agent.cli.running import Complaint, run_command, run_program
from edge_agent.errors import AgentError, BadDefinition
from edge_agent.messages import catalogue, message_of

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
    return run_command(app, "edge-agent", arguments, (AgentError,), complaint_of, catalogue)


def complaint_of(error: AgentError) -> Complaint:
    """What people are told of an expected failure: every fault with its place."""
    message = message_of(error, spoken())
    match error:
        case Refused():
            exit_code, problems, message = error.exit_status, error.problems, error.message
        case BadDefinition():
            exit_code, problems = error.exit_code, [str(problem) for problem in error.problems]
        case _:
            exit_code, problems = error.exit_code, []
    return Complaint(error.code_, error.detail, message, exit_code, problems)


def main() -> None:
    """The console script."""
    run_program(run, catalogue)
