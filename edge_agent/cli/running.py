"""From a command line to an exit code: what both programs' entries share.

Rules of this file:
- Every expected failure becomes one line (`output.complain`) and an exit code; only the unforeseen has a traceback.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import typer
from typer.exceptions import TyperException

from edge_agent.cli.exits import Exit
from edge_agent.cli.language import spoken
from edge_agent.cli.output import complain
from edge_agent.messages import Catalogue, Message

Expected = TypeVar("Expected", bound=Exception)


@dataclass(frozen=True, slots=True)
class Complaint:
    """An expected failure as people are told it."""

    code: str
    detail: str
    message: Message
    exit_code: int
    problems: Sequence[str] = ()


def run_command(
    app: typer.Typer,
    program: str,
    arguments: list[str],
    expected: tuple[type[Expected], ...],
    complaint_of: Callable[[Expected], Complaint],
    messages: Callable[[], Catalogue],
) -> int:
    """Runs one command; its exit code. What is not `expected` is raised."""
    as_json = "--json" in arguments
    try:
        result = app(args=arguments, prog_name=program, standalone_mode=False)
    except TyperException as error:
        complain("usage", error.format_message(), messages()["usage"][spoken()], as_json=as_json)
        return Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        result = Exit.INTERRUPTED
    except SystemExit:  # so typer ends when whoever read standard output has seen enough
        return Exit.DONE
    except expected as error:
        told = complaint_of(error)
        complain(told.code, told.detail, told.message, told.problems, as_json=as_json)
        return told.exit_code
    if result == Exit.INTERRUPTED:
        complain("interrupted", "Interrupted.", messages()["interrupted"][spoken()], as_json=as_json)
    return int(result) if isinstance(result, int) else Exit.DONE


def run_program(run: Callable[[list[str]], int], messages: Callable[[], Catalogue]) -> None:
    """The console script: runs the command line's command and ends the process."""
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.DONE
    except Exception as error:  # the outermost boundary: nobody above could say what happened
        logging.basicConfig(stream=sys.stderr, force=True)
        logging.getLogger(__name__).exception("unforeseen")
        complain("internal", f"An error nobody foresaw ({error!r}).", messages()["internal"][spoken()])
        code = Exit.INTERNAL
    sys.exit(code)
