"""What the store and the disk hold, read as values: the masters in force, and what an import is planned on.

Rules of this file:
- Reads only. A network or asset whose bytes are no longer those that were verified is left out and named
  in a finding; what needs it goes to people.
- Only what some pipeline uses is hashed and given to the inference processes.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_agent.errors import Problem
from edge_agent.inference.plan import ModelKey
from edge_agent.inspection.running import Running, RunningPipeline, compile_all, parts_of
from edge_agent.masters.changes import KEYS, MODELS, Present, key_of
from edge_agent.masters.packages import file_sha256, is_whole, model_folder
from edge_agent.models import Finding, Severity
from edge_agent.store import masters, settings

_SHA256 = re.compile(r"[0-9a-f]{64}")
IMPORTED = "imported"


def asset_files(data_dir: Path) -> dict[str, Path]:
    """sha256 → file of every asset there is, by name; not hashed."""
    return {path.name: path for path in (data_dir / "assets").glob("*") if _SHA256.fullmatch(path.name)}


def read_present(reader: sqlite3.Connection, data_dir: Path) -> Present:
    """What an import is planned on."""
    tables = {
        table: {key_of(table, row): row for row in masters.rows(reader, table)}
        for table in KEYS
        if table != MODELS
    }
    return Present(
        tables={**tables, MODELS: {}},
        packages=masters.list_models(reader),
        imported=settings.under(reader, IMPORTED),
        assets=frozenset(asset_files(data_dir)),
    )


def load_running(reader: sqlite3.Connection, data_dir: Path) -> Running:
    """Compiles every active pipeline of the store against the models and assets that are whole."""
    packages = masters.list_models(reader)
    assets = asset_files(data_dir)
    pipelines = masters.list_pipelines(reader)
    running, problems = compile_all(pipelines, parts_of(packages, assets.keys()))
    models, used_assets = _needed(running)
    torn = {
        (package.name, package.version)
        for package in packages
        if (package.name, package.version) in models and not is_whole(data_dir, package)
    }
    altered = {sha256 for sha256 in used_assets if file_sha256(assets[sha256]) != sha256}
    if torn or altered:
        whole = [package for package in packages if (package.name, package.version) not in torn]
        running, problems = compile_all(pipelines, parts_of(whole, assets.keys() - altered))
        models, used_assets = _needed(running)
    return Running(
        pipelines=running,
        models={(name, version): model_folder(data_dir, name, version) for name, version in sorted(models)},
        assets={sha256: assets[sha256] for sha256 in sorted(used_assets)},
        calibrations={row["name"]: _scale(row) for row in masters.list_calibrations(reader)},
        problems=problems,
        findings=tuple(_findings(torn, altered, problems)),
    )


def _needed(running: Mapping[str, RunningPipeline]) -> tuple[set[ModelKey], set[str]]:
    plans = [pipeline.plan for pipeline in running.values()]
    models = {(model.name, model.version) for plan in plans for model in plan.models}
    return models, {asset for plan in plans for asset in plan.assets}


def _findings(
    torn: set[ModelKey], altered: set[str], problems: Mapping[str, tuple[Problem, ...]]
) -> Iterator[Finding]:
    for name, version in sorted(torn):
        yield Finding(
            "model-damaged",
            Severity.ERROR,
            f"models/{name}-{version}",
            f"The network of {name} {version} is missing or no longer the one that was verified.",
            "Import its bundle or install the package again to put the files back; until then people judge.",
        )
    for sha256 in sorted(altered):
        yield Finding(
            "asset-damaged",
            Severity.ERROR,
            f"assets/{sha256}",
            "The file is no longer the one that was imported.",
            "Import the bundle again: the file is then put back; until then people judge.",
        )
    for code, faults in sorted(problems.items()):
        yield Finding(
            "pipeline-not-running",
            Severity.ERROR,
            f"pipelines/{code}",
            "; ".join(str(fault) for fault in faults),
            "Import a bundle that has every model and asset of this pipeline; until then people judge.",
        )


def _scale(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a run needs of a calibration."""
    return {name: row[name] for name in ("name", "um_per_px", "valid_until")}
