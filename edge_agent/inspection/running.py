"""The masters in force: compiled pipelines and the models they use, as one immutable value.

Rules of this file:
- A change of masters or models builds a new `Running` and swaps it in; nobody edits one.
- A pipeline that does not compile is left out and named in `problems`: its items go to people.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.definition import ModelInfo, Plan, compile_pipeline
from edge_agent.models import ModelPackage, Pipeline
from edge_agent.store import masters


@dataclass(frozen=True, slots=True)
class RunningPipeline:
    id: str
    code: str
    definition_version: str
    definition: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Running:
    """`models` and `assets` are what the inference processes may load: (name, version) and sha256 → place."""

    pipelines: Mapping[str, RunningPipeline]
    models: Mapping[tuple[str, str], Path]
    assets: Mapping[str, Path]
    calibrations: Mapping[str, Mapping[str, Any]]
    problems: Mapping[str, tuple[Problem, ...]]


def model_infos(packages: Collection[ModelPackage]) -> dict[tuple[str, str | None], ModelInfo]:
    """What pipelines may name: every installed version, and (name, None) = the active one."""
    infos: dict[tuple[str, str | None], ModelInfo] = {}
    for package in packages:
        info = ModelInfo(package.name, package.version, package.task, package.model_sha256)
        infos[package.name, package.version] = info
        if package.is_active:
            infos[package.name, None] = info
    return infos


def load_running(reader: sqlite3.Connection, data_dir: Path) -> Running:
    """Compiles every active pipeline of the store against the installed models and assets."""
    packages = masters.list_models(reader)
    models = {(p.name, p.version): data_dir / "models" / f"{p.name}-{p.version}" for p in packages}
    assets = {path.name: path for path in (data_dir / "assets").glob("*") if path.is_file()}
    infos = model_infos(packages)
    pipelines: dict[str, RunningPipeline] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    for pipeline in masters.list_pipelines(reader):
        try:
            pipelines[pipeline.id] = _compile(pipeline, infos, assets)
        except BadDefinition as error:
            problems[pipeline.code] = tuple(error.problems)
    calibrations = {row["name"]: row for row in masters.list_calibrations(reader)}
    return Running(pipelines, models, assets, calibrations, problems)


def _compile(
    pipeline: Pipeline, infos: Mapping[tuple[str, str | None], ModelInfo], assets: Collection[str]
) -> RunningPipeline:
    plan = compile_pipeline(pipeline.definition, infos, assets)
    definition = json.dumps(pipeline.definition, ensure_ascii=False)
    return RunningPipeline(pipeline.id, pipeline.code, pipeline.definition_version, definition, plan)
