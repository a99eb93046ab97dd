"""A compiled pipeline: what the worker runs, step by step, and what it needs for that.

Rules of this file:
- Immutable and complete: every selector is resolved, every parameter parsed, every model and asset named.
- Nothing here imports OpenCV or numpy, so the daemon can hold plans without loading them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from edge_agent.errors import Problem
from edge_agent.inference.criteria import (
    AnomalyRule,
    ClassRule,
    Criteria,
    ObjectsRule,
)
from edge_agent.inference.steps.catalogue import STEP_TYPES, StepType
from edge_agent.inference.steps.parameters import ModelUse, Parameters

ModelKey: TypeAlias = tuple[str, str]
"""Name and version of a model package."""


class ModelInfo(Protocol):
    """What the compiler must know of an installed model package."""

    @property
    def task(self) -> str: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where an input comes from: `step` None is the photograph itself."""

    step: str | None
    output: str


@dataclass(frozen=True, slots=True)
class PlannedStep:
    id: str
    type: str
    inputs: Mapping[str, Source]
    parameters: Parameters
    timeout_ms: int | None = None

    @property
    def signature(self) -> StepType:
        return STEP_TYPES[self.type]

    @property
    def model_key(self) -> ModelKey | None:
        used = self.parameters
        return (used.model, used.version) if isinstance(used, ModelUse) else None


@dataclass(frozen=True, slots=True)
class ModelNeed:
    name: str
    version: str
    task: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` in an order that satisfies every input; `sha256` of the definition's canonical JSON.

    `models` and `assets` (hex sha256) are what the worker must load before it can run the plan.
    """

    code: str
    version: str
    sha256: str
    steps: tuple[PlannedStep, ...]
    outputs: Mapping[str, Source]
    models: tuple[ModelNeed, ...]
    assets: tuple[str, ...]

    @property
    def evidence(self) -> tuple[PlannedStep, ...]:
        """The steps that run before the verdict."""
        return tuple(step for step in self.steps if not step.signature.draws)

    @property
    def drawings(self) -> tuple[PlannedStep, ...]:
        """The steps that only make pictures, after it."""
        return tuple(step for step in self.steps if step.signature.draws)

    @property
    def judge(self) -> PlannedStep:
        """The step whose verdict is the plan's."""
        return next(step for step in self.steps if step.id == self.outputs["verdict"].step)


def fit(
    plan: Plan,
    criteria: Criteria,
    classes: Mapping[ModelKey, Collection[str]] | None = None,
    file: str = "",
    pointer: str = "",
) -> list[Problem]:
    """What keeps `plan` from judging by `criteria`: evidence not given, labels its model does not know.

    `classes`: class names per model, where known. An empty list means they fit.
    """
    problems = [Problem(file, pointer, "missing-evidence", message) for message in _missing(plan, criteria)]
    known = _known_labels(plan, criteria, classes or {})
    strange = sorted(_labels(criteria) - known) if known is not None else []
    return problems + [
        Problem(file, pointer, "unknown-label", f"no model of pipeline {plan.code} knows the class {label!r}")
        for label in strange
    ]


def needed_inputs(criteria: Criteria) -> tuple[tuple[str, ...], ...]:
    """The judge inputs that `criteria` cannot do without: one of each group."""
    if isinstance(criteria, AnomalyRule) and criteria.max_area_px is not None:
        return (("score",), ("mask", "heatmap"))
    return _NEEDED[criteria.rule]


_NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "anomaly": (("score",),),
    "objects": (("objects",),),
    "class": (("classes",),),
    "difference": (("score",),),
    "color": (("quantity",),),
    "range": (("quantity",),),
    "match": (("text",),),
    "code": (("codes",),),
    "checklist": (),
}


def _missing(plan: Plan, criteria: Criteria) -> list[str]:
    wired = plan.judge.inputs.keys()
    return [
        f"rule {criteria.rule} needs {' or '.join(group)}, but step {plan.judge.id} of pipeline {plan.code} "
        f"is not given it"
        for group in needed_inputs(criteria)
        if not wired & set(group)
    ]


def _labels(criteria: Criteria) -> set[str]:
    if isinstance(criteria, ObjectsRule):
        return {*criteria.forbid, *criteria.require}
    return set(criteria.accept) if isinstance(criteria, ClassRule) else set()


def _known_labels(
    plan: Plan, criteria: Criteria, classes: Mapping[ModelKey, Collection[str]]
) -> set[str] | None:
    """The labels that can reach the judge; None if they cannot be told."""
    source = plan.judge.inputs.get("objects" if isinstance(criteria, ObjectsRule) else "classes")
    step = next((step for step in plan.steps if source and step.id == source.step), None)
    key = step.model_key if step else None
    return set(classes[key]) if key in classes and key is not None else None
