"""`check`, `backup`, `restore`: is the installation sound, is there a copy, and back from it.

Rules of this file:
- `check` of an agent that does not run reads the directory as it is: it starts nothing, changes nothing, and
  works on a damaged database.
- `restore` needs the directory for itself; what was there is kept beside it.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.connection import connect, running_url
from edge_agent.cli.language import spoken
from edge_agent.cli.options import AsJson, Yes, agent, confirm, settings
from edge_agent.cli.output import emit_facts, emit_findings, emit_json
from edge_agent.cli.progress import Report, bar, waiting
from edge_agent.cli.status import worst
from edge_agent.errors import AgentError, NotFound
from edge_agent.messages import in_language

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from edge_agent.config import Config
    from edge_agent.errors import Problem


def check(context: typer.Context, as_json: AsJson = False) -> int:
    """Compares every row, file and digest with what it must be. Exit 9 on findings of severity error."""
    config = settings(context)
    if running_url(config.data_dir) is not None:
        with connect(config) as connection, waiting("Checking"):
            found = connection.post("/check", answer_s=None)["findings"]
    else:
        with bar("Checking") as report:
            found = check_alone(config, report)
    emit_json({"findings": found}) if as_json else emit_findings(found)
    return worst(found)


def check_alone(config: Config, report: Report) -> list[dict[str, Any]]:
    """The check of a directory nobody works on. Raises NotFound (`no-installation`), Busy, Unavailable."""
    from edge_agent.check import run_check
    from edge_agent.clock import Clock
    from edge_agent.lock import already_running, is_running
    from edge_agent.store.database import connect_reader, mapped_errors

    if not config.database_path.is_file():
        raise NotFound(
            f"There is no installation in {config.data_dir}.",
            code="no-installation",
            hint="Name the data directory with --data-dir, or start the agent there once.",
        )
    if os.access(config.data_dir, os.W_OK) and is_running(config.data_dir):
        raise already_running(config.data_dir)
    with mapped_errors(), closing(connect_reader(config.database_path)) as reader:
        faults = _compile_problems(reader, config.data_dir)
        found = run_check(config, reader, now_s=Clock().time(), problems=faults, progress=report)
        return [asdict(in_language(one, spoken())) for one in found]


def _compile_problems(reader: sqlite3.Connection, data_dir: Path) -> Mapping[str, Sequence[Problem]]:
    """Why pipelines do not compile; nothing when the database cannot say, which is found elsewhere."""
    from edge_agent.masters.loading import load_running
    from edge_agent.store.database import mapped_errors

    with suppress(AgentError), mapped_errors():
        return load_running(reader, data_dir).problems
    return {}


def backup(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Make it in this folder, best on another disk."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes a consistent, verified copy while work goes on (default: into `backups/` of the data)."""
    body = {"folder": str(folder.expanduser().absolute())} if folder else {}
    with agent(context) as connection, waiting("Copying and verifying"):
        document = connection.post("/backup", body, answer_s=None)
    emit_json(document) if as_json else emit_facts(document)


def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="The folder `backup` made.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Makes a backup the installation; the agent must not run. What was there is kept in `replaced-…`."""
    from edge_agent import __version__
    from edge_agent.backup import restore as bring_back
    from edge_agent.clock import Clock

    config = settings(context)
    confirm(f"Replace what is in {config.data_dir} by {source}?", yes=yes)
    with bar("Restoring") as report:
        done = bring_back(
            source.expanduser().absolute(),
            config.data_dir,
            clock=Clock(),
            pid=os.getpid(),
            device_type=config.device_type,
            app_version=__version__,
            progress=report,
        )
    facts = {
        "restored": str(source),
        "made_at": done.manifest.created_at,
        "files": len(done.manifest.files),
        "replaced": str(done.replaced) if done.replaced else None,
    }
    emit_json(facts) if as_json else emit_facts(facts)
