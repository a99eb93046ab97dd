"""From a `pipeline/1` document to a plan: every fault at once, each at its JSON pointer.

Rules of this file:
- A pure function of the document, the models and the assets at hand; a bad one yields no plan at all.
- A fault is reported where it stands and once: what depends on a faulty part is not reported again.
- No code, no URLs, no paths: a step is a type from the catalogue, a picture is a `sha256:…` asset.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.documents import canonical_bytes, pointer_of, problems_of, read_json, sha256_of
from edge_agent.inference.plan import ModelInfo, ModelKey, ModelNeed, Plan, PlannedStep, Source
from edge_agent.inference.steps.catalogue import STEP_TYPES, Kind, Port, StepType
from edge_agent.inference.steps.parameters import ModelUse, Parameters

MAX_BYTES = 64 * 1024
MAX_STEPS = 64
PHOTOGRAPH = Source(None, "image")
_SELECTOR = re.compile(r"\$([a-z][a-z0-9_]{0,31})\.([a-z][a-z0-9_]{0,31})")
_OUTPUTS = {"verdict": Kind.VERDICT, "overlay": Kind.IMAGE, "heatmap": Kind.HEATMAP}
_PREDECESSOR = frozenset({"step_id", "service", "method", "depends_on"})

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$")]
StepId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class _Inputs(BaseModel):
    model_config = ConfigDict(extra="forbid")
    image: Literal["image"]


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid")
    schema_: Literal["pipeline/1"] = Field(alias="schema")
    code: Name
    version: Version
    inputs: _Inputs
    steps: list[Any] = Field(min_length=1, max_length=MAX_STEPS)
    outputs: dict[str, Any]


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: StepId
    type: str
    inputs: dict[str, str] = Field(alias="in")
    parameters: dict[str, Any] = Field(default_factory=dict, alias="with")
    timeout_ms: int | None = Field(None, ge=1, le=600_000, strict=True)


class _Compilation:
    """One document on its way; collects problems while the parts that are sound are read on."""

    def __init__(self, models: Mapping[ModelKey, ModelInfo], assets: Collection[str], file: str) -> None:
        self.models = models
        self.assets = assets
        self.file = file
        self.problems: list[Problem] = []
        self.named: dict[str, StepType | None] = {}
        self.parsed: dict[str, PlannedStep] = {}

    def fault(self, pointer: str, code: str, message: str) -> None:
        self.problems.append(Problem(self.file, pointer, code, message))

    def read(self, document: Mapping[str, Any]) -> Mapping[str, Source]:
        """Checks everything, fills `parsed`, returns the plan's outputs as far as they are sound."""
        self._check_head(document)
        steps = list(self._read_steps(document.get("steps")))
        for pointer, step in steps:
            self._plan_step(pointer, step)
        if not any(problem.code == "predecessor-shape" for problem in self.problems):
            self._check_cycles(steps)
            return self._read_outputs(document.get("outputs"))
        return {}

    def _check_head(self, document: Mapping[str, Any]) -> None:
        try:
            _Head.model_validate(document)
        except ValidationError as error:
            self.problems += problems_of(error, self.file, "")

    def _read_steps(self, documents: Any) -> Iterator[tuple[str, _Step]]:
        """The steps of the right shape with their places; knows all ids before any selector is looked at."""
        read = []
        for index, document in enumerate(documents[:MAX_STEPS] if isinstance(documents, list) else ()):
            step = self._read_step(f"/steps/{index}", document)
            if step is not None:
                read.append((f"/steps/{index}", step))
        yield from read

    def _read_step(self, pointer: str, document: Any) -> _Step | None:
        if isinstance(document, dict) and "step_id" in document and "type" not in document:
            self.fault(pointer, "predecessor-shape", _predecessor_message(document))
            return None
        claimed = document.get("id") if isinstance(document, dict) else None
        name = claimed if isinstance(claimed, str) else ""
        twice = name in self.named
        if twice:
            self.fault(f"{pointer}/id", "duplicate-id", f"the id {name!r} is used by an earlier step")
        elif name == "in":
            self.fault(f"{pointer}/id", "reserved-id", "`in` means the pipeline's own inputs")
        try:
            step = _Step.model_validate(document)
        except ValidationError as error:
            self.problems += problems_of(error, self.file, pointer)
            step = None
        if not twice:
            self.named[name] = STEP_TYPES.get(step.type) if step else None
        return None if twice else step

    def _plan_step(self, pointer: str, step: _Step) -> None:
        signature = self.named[step.id]
        if signature is None:
            self.fault(f"{pointer}/type", "unknown-step", _unknown(step.type, STEP_TYPES))
            return
        parameters = self._read_parameters(pointer, signature, step.parameters)
        inputs = self._read_inputs(pointer, signature, step.inputs)
        for name in _unwired(signature, parameters, step.inputs):
            self.fault(f"{pointer}/in", "missing-input", f"{signature.name} needs {name}")
        if parameters is not None:
            self.parsed[step.id] = PlannedStep(
                step.id, step.type, MappingProxyType(inputs), parameters, step.timeout_ms
            )

    def _read_parameters(
        self, pointer: str, signature: StepType, document: dict[str, Any]
    ) -> Parameters | None:
        try:
            parameters = signature.parse(document)
        except ValidationError as error:
            tagged = len(signature.variants) > 1 and "method" in document
            self.problems += problems_of(error, self.file, f"{pointer}/with", tagged)
            return None
        if isinstance(parameters, ModelUse):
            self._check_model(f"{pointer}/with/model", signature, parameters)
        for name, asset in parameters.assets().items():
            if asset.removeprefix("sha256:") not in self.assets:
                self.fault(f"{pointer}/with/{name}", "missing-asset", f"there is no asset {asset}")
        return parameters

    def _check_model(self, pointer: str, signature: StepType, used: ModelUse) -> None:
        info = self.models.get((used.model, used.version))
        if info is None:
            self.fault(pointer, "missing-model", f"model {used.model} {used.version} is not installed")
        elif info.task != signature.task:
            message = (
                f"{used.model} {used.version} is for {info.task}, {signature.name} needs {signature.task}"
            )
            self.fault(pointer, "wrong-task", message)

    def _read_inputs(self, pointer: str, signature: StepType, wiring: Mapping[str, str]) -> dict[str, Source]:
        sources = {}
        for name, selector in wiring.items():
            place = pointer_of([name], f"{pointer}/in")
            port = signature.inputs.get(name)
            if port is None:
                self.fault(place, "unknown-input", f"{signature.name}: {_unknown(name, signature.inputs)}")
            elif (source := self._resolve(place, selector, port.kind)) is not None:
                sources[name] = source
                self._check_order(place, signature, source)
        return sources

    def _check_order(self, pointer: str, signature: StepType, source: Source) -> None:
        origin = self.named.get(source.step or "")
        if origin is not None and origin.draws and not signature.draws:
            message = f"{origin.name} draws after the verdict; {signature.name} runs before it"
            self.fault(pointer, "drawn-too-late", message)

    def _resolve(self, pointer: str, selector: str, wanted: Kind) -> Source | None:
        """The source `selector` names, if it exists and is of the kind wanted; None after reporting."""
        found = _SELECTOR.fullmatch(selector)
        if found is None:
            message = f"{selector[:80]!r} is no selector: write $in.image or $STEP.OUTPUT"
            self.fault(pointer, "bad-selector", message)
            return None
        step, output = found.groups()
        outputs = self._outputs_of(pointer, step)
        if outputs is None:
            return None
        if output not in outputs:
            self.fault(pointer, "unresolved", f"{selector}: {_unknown(output, outputs)}")
            return None
        kind = outputs[output].kind
        if kind != wanted:
            self.fault(pointer, "kind-mismatch", f"{selector} is of kind {kind}, {wanted} is needed here")
            return None
        return Source(None if step == "in" else step, output)

    def _outputs_of(self, pointer: str, step: str) -> Mapping[str, Port] | None:
        """The outputs of the step called so; None if there are none to check against (reported, if new)."""
        if step == "in":
            return {"image": Port(Kind.IMAGE, "the photograph")}
        if step not in self.named:
            self.fault(pointer, "unresolved", f"there is no step {step!r}")
            return None
        signature = self.named[step]
        return signature.outputs if signature else None

    def _check_cycles(self, steps: list[tuple[str, _Step]]) -> None:
        circular = _circular({step.id: _mentioned(step.inputs.values()) for _, step in steps})
        for pointer, step in steps:
            if step.id in circular:
                self.fault(pointer, "cycle", f"step {step.id!r} needs its own result, through its inputs")

    def _read_outputs(self, document: Any) -> Mapping[str, Source]:
        if not isinstance(document, dict):
            return {}
        if "verdict" not in document:
            self.fault("/outputs", "no-verdict", "the pipeline has no output `verdict`")
        sources = {}
        for name, selector in document.items():
            place = pointer_of([name], "/outputs")
            if name not in _OUTPUTS:
                self.fault(place, "unknown-output", _unknown(name, _OUTPUTS))
            elif not isinstance(selector, str):
                self.fault(place, "bad-selector", "an output is a selector: $STEP.OUTPUT")
            elif (source := self._resolve(place, selector, _OUTPUTS[name])) is not None:
                sources[name] = source
        return sources


def compile_pipeline(
    document: Mapping[str, Any] | bytes,
    models: Mapping[ModelKey, ModelInfo],
    assets: Collection[str],
    file: str = "",
) -> Plan:
    """The plan of a `pipeline/1` document, given the installed models and the sha256 (hex) of the assets.

    Raises BadDefinition with every problem (at most 64 KiB of document, 64 steps), each at its JSON pointer
    in `file`.
    """
    if isinstance(document, bytes):
        document = read_json(document, MAX_BYTES, file)
    size = len(canonical_bytes(document, file))
    if not isinstance(document, Mapping) or size > MAX_BYTES:
        fault = ("bad-value", "a pipeline is a JSON object") if size <= MAX_BYTES else _too_large(size)
        raise BadDefinition("the pipeline cannot be compiled", [Problem(file, "", *fault)])
    compilation = _Compilation(models, assets, file)
    outputs = compilation.read(document)
    if compilation.problems:
        problems = sorted(compilation.problems, key=lambda problem: _natural(problem.pointer))
        raise BadDefinition(f"the pipeline has {len(problems)} problem(s)", problems)
    return _assemble(document, compilation.parsed, outputs, models)


def pin(document: Any, active: Mapping[str, str]) -> Any:
    """The same definition with a version for every model that is named without one: the active version.

    `active`: model name → version. What cannot be pinned stays as it is and is reported when compiled.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("steps"), list):
        return document
    return {**document, "steps": [_pinned(step, active) for step in document["steps"]]}


def _pinned(step: Any, active: Mapping[str, str]) -> Any:
    used = step.get("with") if isinstance(step, Mapping) else None
    if not isinstance(used, Mapping) or "model" not in used or "version" in used:
        return step
    name = used["model"]
    version = active.get(name) if isinstance(name, str) else None
    return step if version is None else {**step, "with": {**used, "version": version}}


def _assemble(
    document: Mapping[str, Any],
    parsed: Mapping[str, PlannedStep],
    outputs: Mapping[str, Source],
    models: Mapping[ModelKey, ModelInfo],
) -> Plan:
    needs = {name: {s.step for s in step.inputs.values() if s.step} for name, step in parsed.items()}
    steps = tuple(parsed[name] for name in _in_order(needs))
    keys = sorted({step.model_key for step in steps if step.model_key})
    return Plan(
        code=document["code"],
        version=document["version"],
        sha256=sha256_of(document),
        steps=steps,
        outputs=MappingProxyType(dict(outputs)),
        models=tuple(ModelNeed(*key, models[key].task, models[key].sha256) for key in keys),
        assets=tuple(
            sorted({a.removeprefix("sha256:") for s in steps for a in s.parameters.assets().values()})
        ),
    )


def _unwired(signature: StepType, parameters: Parameters | None, wiring: Collection[str]) -> list[str]:
    """The inputs that must be wired and are not, as words."""
    required = [name for name, port in signature.inputs.items() if port.required]
    required += parameters.needs if parameters else ()
    missing = [f"input {name!r}" for name in required if name not in wiring]
    if signature.one_of and not set(signature.one_of) & set(wiring):
        missing.append(f"one of the inputs {', '.join(signature.one_of)}")
    return missing


def _mentioned(selectors: Iterable[str]) -> set[str]:
    found = (_SELECTOR.fullmatch(selector) for selector in selectors)
    return {match.group(1) for match in found if match}


def _in_order(needs: Mapping[str, set[str]]) -> Iterator[str]:
    """The ids so that each follows those it needs, otherwise as written; those in a cycle never come."""
    waiting = dict(needs)
    while ready := next((name for name, before in waiting.items() if not before & waiting.keys()), None):
        del waiting[ready]
        yield ready


def _circular(needs: Mapping[str, set[str]]) -> set[str]:
    """The ids on a cycle (or between two): neither startable from the front nor from the back."""
    left = needs.keys() - set(_in_order(needs))
    while ends := left - {before for name in left for before in needs[name]}:
        left -= ends
    return left


def _unknown(name: str, known: Collection[str]) -> str:
    return f"{name[:80]!r} is unknown; there is {', '.join(known)}"


def _predecessor_message(document: Mapping[str, Any]) -> str:
    keys = ", ".join(sorted(_PREDECESSOR & document.keys()))
    return (
        f"this is the predecessor system's shape ({keys}); write id, type, in, with as in docs/formats.md "
        "and let inputs name the steps they come from instead of depends_on"
    )


def _too_large(size: int) -> tuple[str, str]:
    return "too-large", f"{size} bytes; at most {MAX_BYTES} are allowed"


def _natural(pointer: str) -> list[tuple[int, str]]:
    """Sort key: /steps/2 before /steps/10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in pointer.split("/")]
