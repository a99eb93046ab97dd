"""`edge-agent`: the technician's and the scripts' way to the agent.

Rules of this file:
- Starts fast: nothing heavy is imported before a command runs (`edge-agent --help` under 0.3 s).
- Every command takes `--json`; errors are one line on standard error and an exit code:
  0 done · 1 internal · 2 usage · 3 bad input · 4 not found · 5 conflict · 6 denied · 7 unavailable ·
  8 damaged · 9 done, but findings of severity error · 130 interrupted.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from edge_agent.cli.connection import Refused
from edge_agent.cli.output import complain
from edge_agent.errors import AgentError, BadDefinition

USAGE = 2
FINDINGS = 9
INTERRUPTED = 130

app = typer.Typer(
    name="edge-agent",
    help="Offline-first visual inspection: capture, judge, confirm, keep.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


@dataclass(slots=True)
class Options:
    """What was given before the command."""

    data_dir: Path | None


@app.callback()
def options(
    context: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", envvar="EDGE_AGENT_DATA_DIR", help="Where the agent keeps its data."),
    ] = None,
) -> None:
    context.obj = Options(data_dir)


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. Every expected failure has become a line by then."""
    as_json = "--json" in arguments
    try:
        result = app(args=arguments, standalone_mode=False)
    except Refused as error:
        complain(error.code_, error.detail, error.hint_, error.problems, as_json=as_json)
        return error.exit_status
    except AgentError as error:
        problems = [str(problem) for problem in error.problems] if isinstance(error, BadDefinition) else []
        complain(error.code_, error.detail, error.hint_, problems, as_json=as_json)
        return error.exit_code
    except TyperException as error:
        complain("usage", error.format_message(), "See `edge-agent --help`.", as_json=as_json)
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted", "Interrupted.", "Nothing is left half-done; run it again.", as_json=as_json)
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
