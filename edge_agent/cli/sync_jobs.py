"""Long work on the synchronisation from the command line: begun, watched with a live bar, stopped by Ctrl-C.

Rules of this file:
- The work is the agent's, whether it runs by itself or inside this process; here it is only watched. Ctrl-C asks it
  to stop and waits until its step has ended.
- Progress goes to standard error: a bar on a terminal, with `--json` one line per change, else nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from edge_agent.cli.connection import Connection, Refused, quoted
from edge_agent.cli.exits import Exit
from edge_agent.cli.sync_words import age, size

WATCH_S = 10.0
RUNNING, CANCELLED, FAILED = "running", "cancelled", "failed"


def carry_out(
    connection: Connection, path: str, body: Any, text: str, *, as_json: bool = False
) -> Mapping[str, Any] | None:
    """The result of the job that POST /sync/PATH begins; None: it was stopped. Raises Refused as it failed."""
    job = connection.post(f"/sync/{path}", body)
    with nullcontext(_told) if as_json else bar(text) as show:
        try:
            job = _watched(connection, job, show)
        except KeyboardInterrupt:
            connection.post(f"/sync/jobs/{quoted(job['id'])}/cancel")
            job = _watched(connection, job, show)
    if job["phase"] == FAILED:
        raise Refused(503, job["error"])
    return None if job["phase"] == CANCELLED else job["result"]


def exit_of(result: object) -> int:
    """130 for a job that was stopped."""
    return Exit.INTERRUPTED if result is None else Exit.DONE


def _watched(
    connection: Connection, job: Mapping[str, Any], show: Callable[[Any], None]
) -> Mapping[str, Any]:
    while job["phase"] == RUNNING:
        show(job["progress"])
        job = connection.get(
            f"/sync/jobs/{quoted(job['id'])}", after_revision=job["revision"], wait_s=WATCH_S
        )
    return job


def _told(progress: Mapping[str, Any]) -> None:
    """One line for a program that waits; nothing before the first step."""
    if progress["step"]:
        print(json.dumps({"progress": progress}, ensure_ascii=False), file=sys.stderr, flush=True)


@contextmanager
def bar(text: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A progress bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(text, total=None, more="")

        def show(progress: Mapping[str, Any]) -> None:
            description = f"{text}: {progress['step']}" if progress["step"] else text
            shown.update(
                task,
                description=description,
                completed=progress["done"],
                total=progress["of"],
                more=" · ".join(details(progress)),
            )

        yield show


def details(progress: Mapping[str, Any]) -> Iterator[str]:
    """What stands beside the bar: bytes, rates, what is left to wait."""
    if progress["bytes_done"] or progress["bytes_of"]:
        of = f" of {size(progress['bytes_of'])}" if progress["bytes_of"] else ""
        yield f"{size(progress['bytes_done'])}{of}"
    if progress["rows_per_s"]:
        yield f"{progress['rows_per_s']:,.0f} rows/s"
    if progress["bytes_per_s"]:
        yield f"{size(progress['bytes_per_s'])}/s"
    if progress["eta_s"] is not None:
        yield f"{age(progress['eta_s'])} left"
    if progress["oldest_at"]:
        yield f"oldest {progress['oldest_at']}"
