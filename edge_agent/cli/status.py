"""`status`: is the agent running, and how is it doing.

Rules of this file:
- Asks only; starts nothing, not even the agent's parts in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from edge_agent.cli.connection import Connection, connect, running_url
from edge_agent.cli.exits import Exit
from edge_agent.cli.options import AsJson, settings
from edge_agent.cli.output import emit_facts, emit_findings, emit_json


def status(context: typer.Context, as_json: AsJson = False) -> int:
    """Whether the agent runs, where, what is wrong, what waits. Exit 7 when it does not run."""
    config = settings(context)
    url = running_url(config.data_dir)
    if url is None:
        document: dict[str, Any] = {
            "is_running": False,
            "data_dir": str(config.data_dir),
            **_disk(config.data_dir),
        }
        emit_json(document) if as_json else emit_facts(document)
        return Exit.UNAVAILABLE
    with connect(config) as agent:
        document = {"is_running": True, "url": url, **asked(agent)}
    if as_json:
        emit_json(document)
    else:
        emit_facts(flat(document))
        emit_findings(document["findings"])
    return worst(document["findings"])


def asked(agent: Connection) -> dict[str, Any]:
    """Everything a technician looks at first."""
    info, sync, figures = agent.get("/system/info"), agent.get("/sync/status"), agent.get("/system/metrics")
    masters = agent.get("/masters/status")
    return {
        **{name: info[name] for name in ("version", "device_id", "data_dir", "started_at", "uptime_s")},
        "open_sessions": figures["open_sessions"],
        "inference": {
            name.removeprefix("inference_"): value
            for name, value in figures.items()
            if name.startswith("inference_")
        },
        "masters": {
            name: masters[name] for name in ("products", "items", "pipelines", "running", "imported")
        },
        "queue": sync,
        "disk": agent.get("/system/disk"),
        "findings": agent.get("/system/findings")["findings"],
    }


def flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same as one line per fact."""
    disk, inference = document["disk"], document["inference"]
    waiting = [f"{lane['waiting']}{'+' if lane['is_more'] else ''}" for lane in document["queue"]["lanes"]]
    shown = ("is_running", "url", "version", "device_id", "data_dir", "started_at", "open_sessions")
    return {
        **{name: document[name] for name in shown},
        "inference": f"{inference['state']}, {inference['waiting']} waiting, {inference['running']} running",
        "pipelines": ", ".join(document["masters"]["running"]) or "none in force",
        "not yet sent": " + ".join(waiting) or "0",
        "disk free": f"{disk['free_bytes'] / 2**30:.1f} GiB{'' if disk['is_enough'] else ' (too little)'}",
    }


def worst(findings: Iterable[Mapping[str, Any]]) -> int:
    """9 when something is found that needs a person now, else 0."""
    return Exit.FINDINGS if any(one["severity"] == "error" for one in findings) else Exit.DONE


def _disk(data_dir: Path) -> dict[str, Any]:
    import shutil

    place = next(path for path in (data_dir, *data_dir.parents) if path.is_dir())
    return {"disk_free_bytes": shutil.disk_usage(place).free}
