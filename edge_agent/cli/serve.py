"""`run`: the agent as a process in the foreground, for a service manager or a terminal.

Rules of this file:
- Logs go to standard error; standard output holds only where the agent answers.
- SIGTERM is the normal end (exit 0), Ctrl-C an interruption (130); both finish what is under way.
"""

from __future__ import annotations

import gc
import json
import os
from typing import Annotated

import typer

from edge_agent.cli.options import AsJson, settings
from edge_agent.cli.process import ended_by_sigterm, start_logging


def run(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: settings]")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.  [default: settings]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Runs the agent until it is told to stop (Ctrl-C, SIGTERM)."""
    config = settings(context, host=host, port=port)
    start_logging(config.log_level)

    def ready(url: str) -> None:
        line = json.dumps({"url": url, "pid": os.getpid()}) if as_json else f"The agent answers at {url}"
        print(line, flush=True)

    gc.disable()  # everything loaded now stays; `heap.started` freezes it and collects from then on
    with ended_by_sigterm():
        from edge_agent.clock import Clock
        from edge_agent.serving import serve

        serve(config, Clock(), ready)
