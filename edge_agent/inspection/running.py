"""The masters in force: compiled pipelines and the models they use, as one immutable value.

Rules of this file:
- Pure. A change of masters or models builds a new `Running` and swaps it in; nobody edits one.
- A pipeline that does not compile is left out and named in `problems`: its items go to people.
- A pipeline that names a model without a version means the active one; it is pinned before it is compiled,
  so the plan, the inference process and the record all name the exact version.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.definition import compile_pipeline, pin
from edge_agent.inference.plan import ModelKey, Plan
from edge_agent.models import Finding, ModelPackage, Pipeline


@dataclass(frozen=True, slots=True)
class RunningPipeline:
    """`sha256` of the definition as verified; `definition` is JSON text with every model version pinned,
    and `plan.sha256` its identity."""

    id: str
    code: str
    definition_version: str
    sha256: str
    definition: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Running:
    """`models` and `assets` are what the inference processes hold: (name, version) and sha256 → place.

    `calibrations`: name → scale (name, um_per_px, valid_until). `problems`: pipeline code → why it is not in
    force. `findings` say the same, and what was found damaged, to the technician.
    """

    pipelines: Mapping[str, RunningPipeline]
    models: Mapping[ModelKey, Path]
    assets: Mapping[str, Path]
    calibrations: Mapping[str, Mapping[str, Any]]
    problems: Mapping[str, tuple[Problem, ...]]
    findings: tuple[Finding, ...] = ()

    @property
    def reads_text(self) -> bool:
        """Whether any pipeline needs the text reader."""
        return any(step.type == "text.read" for p in self.pipelines.values() for step in p.plan.steps)


@dataclass(frozen=True, slots=True)
class Info:
    """What the compiler must know of a model package; see `plan.ModelInfo`."""

    task: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Parts:
    """What pipelines are compiled against: installed models, the active version of each, assets (sha256)."""

    models: Mapping[ModelKey, Info]
    active: Mapping[str, str]
    assets: Collection[str]


def parts_of(packages: Collection[ModelPackage], assets: Collection[str]) -> Parts:
    """What pipelines may name: every package given, and which version of each is the active one."""
    infos = {(p.name, p.version): Info(p.task, p.model_sha256) for p in packages}
    return Parts(infos, {p.name: p.version for p in packages if p.is_active}, assets)


def compile_one(definition: Any, parts: Parts, file: str = "") -> tuple[Any, Plan]:
    """The definition with its versions pinned, and its plan. Raises BadDefinition with every problem."""
    pinned = pin(definition, parts.active)
    return pinned, compile_pipeline(pinned, parts.models, parts.assets, file)


def compile_all(
    pipelines: Collection[Pipeline], parts: Parts
) -> tuple[dict[str, RunningPipeline], dict[str, tuple[Problem, ...]]]:
    """By id those that compile, by code the problems of those that do not."""
    running: dict[str, RunningPipeline] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    for pipeline in pipelines:
        try:
            running[pipeline.id] = _running(pipeline, parts)
        except BadDefinition as error:
            problems[pipeline.code] = tuple(error.problems)
    return running, problems


def _running(pipeline: Pipeline, parts: Parts) -> RunningPipeline:
    pinned, plan = compile_one(pipeline.definition, parts)
    return RunningPipeline(
        id=pipeline.id,
        code=pipeline.code,
        definition_version=pipeline.definition_version,
        sha256=pipeline.sha256,
        definition=json.dumps(pinned, ensure_ascii=False),
        plan=plan,
    )
