"""`doctor` and `version`: what this machine and program are, without any agent.

Rules of this file:
- Nothing here may fail: what does not work is what is reported.
"""

from __future__ import annotations

from dataclasses import asdict

import typer

from edge_agent.cli.language import spoken
from edge_agent.cli.options import AsJson, Options
from edge_agent.cli.output import emit_facts, emit_findings, emit_json
from edge_agent.cli.progress import waiting
from edge_agent.cli.status import worst
from edge_agent.messages import in_language


def doctor(context: typer.Context, as_json: AsJson = False) -> int:
    """Whether this machine is fit for the agent: a report to send along. Exit 9 on errors found."""
    from edge_agent.clock import Clock
    from edge_agent.doctor import diagnose

    options: Options = context.obj
    with waiting("Looking"):
        diagnosis = diagnose(options.data_dir, Clock())
    found = [asdict(in_language(one, spoken())) for one in diagnosis.findings]
    if as_json:
        emit_json({"facts": diagnosis.facts, "findings": found})
    else:
        emit_facts(diagnosis.facts)
        emit_findings(found)
    return worst(found)


def version(as_json: AsJson = False) -> None:
    """The program's version."""
    import platform

    from edge_agent import __version__

    facts = {"version": __version__, "python": platform.python_version(), "os": platform.platform()}
    emit_json(facts) if as_json else print(f"edge-agent {__version__}")
