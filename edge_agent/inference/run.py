"""One pipeline run on one photograph: evidence, verdict, and pictures when asked for.

Rules of this file:
- Any failure of any step is ERROR: a person must look. Nothing here can turn a failure into OK.
- The verdict comes first; drawing waits until `RunResult.pictures` is called.
- Clock, models, templates and text reader are lent by the caller; nothing outlives the run but the result.
- A step's `timeout_ms` is checked when it returns; stopping one that hangs is up to the process's owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from edge_agent.errors import AgentError, InferenceFailed
from edge_agent.inference.criteria import ReadCriteria
from edge_agent.inference.plan import ModelKey, Plan, PlannedStep, Source
from edge_agent.inference.report import listed, summary, unsound
from edge_agent.inference.steps.base import Environment, Located, TextReader, failed
from edge_agent.inference.steps.drawing import in_photograph
from edge_agent.inference.steps.reading import load_text_reader
from edge_agent.inference.steps.registry import IMPLEMENTATIONS
from edge_agent.inference.values import Frame, Model, Pictures, Pixels, RunContext, RunResult, Verdict
from edge_agent.models import AiResult

_LISTS = ("objects", "codes", "classes", "scores", "measurements", "texts")


def run(
    plan: Plan,
    pixels: Pixels,
    context: RunContext,
    *,
    models: Mapping[ModelKey, Model],
    assets: Callable[[str], Pixels],
    monotonic: Callable[[], float],
    render: bool = True,
    text_reader: Callable[[], TextReader] = load_text_reader,
    read_criteria: Callable[[Mapping[str, Any]], ReadCriteria] = ReadCriteria,
) -> RunResult:
    """The result of `plan` on a photograph (H×W×3 BGR or H×W gray, uint8). Never raises for what a step does.

    `assets` gives a template's pixels by its sha256 (hex). `render` False: `pictures` draws nothing.
    `text_reader` gives the OCR engine when a step needs it; pass a cached one, loading takes about a second.
    `read_criteria` may give those it has read before.
    """
    env = Environment(context, read_criteria(context.criteria), models, assets, text_reader)
    return _Run(plan, env, monotonic).result(pixels, render)


class _Run:
    """The values of one run, by the source that names them."""

    def __init__(self, plan: Plan, env: Environment, monotonic: Callable[[], float]) -> None:
        self.plan = plan
        self.env = env
        self.monotonic = monotonic
        self.values: dict[Source, Any] = {}
        self.steps: list[dict[str, Any]] = []
        self.lists: dict[str, list[dict[str, Any]]] = {name: [] for name in _LISTS}

    def result(self, pixels: Pixels, render: bool) -> RunResult:
        started = self.monotonic()
        verdict = self._verdict(pixels)
        return RunResult(
            overall_result=verdict.result,
            confidence=verdict.confidence,
            processing_time=self.monotonic() - started,
            detailed_results=self._document(verdict),
            model_sha256s=tuple(need.sha256 for need in self.plan.models),
            pictures=self.pictures if render else Pictures,
        )

    def _verdict(self, pixels: Pixels) -> Verdict:
        try:
            self._begin(pixels)
        except InferenceFailed as error:
            return _error_verdict(error, None)
        for step in self.plan.evidence:
            try:
                self._measured(step)
            except AgentError as error:
                return _error_verdict(error, step.id)
        verdict: Verdict = self.values[self.plan.outputs["verdict"]]
        return verdict

    def _begin(self, pixels: Pixels) -> None:
        """Takes the photograph; refuses one that is no picture, and models that are not those planned."""
        if pixels.dtype != np.uint8 or not _is_picture(pixels.shape):
            raise failed(
                "bad-pixels", f"no picture: {pixels.dtype} {pixels.shape}", "Take the picture again."
            )
        for need in self.plan.models:
            model = self.env.models.get((need.name, need.version))
            if model is None or model.sha256 != need.sha256:
                detail = f"model {need.name} {need.version} is not the one the pipeline was compiled with"
                raise failed("model-changed", detail, "Import the master data again.")
        self.values[Source(None, "image")] = Frame(pixels)

    def _measured(self, step: PlannedStep) -> None:
        """Runs one step, and keeps its outputs if it kept its time and they are sound."""
        record: dict[str, Any] = {"id": step.id, "type": step.type, "ms": 0.0, "ok": False, "summary": {}}
        self.steps.append(record)
        started = self.monotonic()
        try:
            outputs = self._outputs(step)
        finally:
            record["ms"] = ms = round((self.monotonic() - started) * 1000, 3)
        if step.timeout_ms is not None and ms > step.timeout_ms:
            detail = f"step {step.id} took longer than its {step.timeout_ms} ms"
            raise failed(
                "step-timeout", detail, "Inspect the image again; if it stays slow, call a technician."
            )
        for name, port in step.signature.outputs.items():
            value = outputs[name]
            record["summary"][name] = summary(port.kind, value)
            for title, entries in listed(step.id, port.kind, value).items():
                self.lists[title] += entries
            self.values[Source(step.id, name)] = value
        record["ok"] = True

    def _outputs(self, step: PlannedStep) -> Mapping[str, Any]:
        """The step's sound outputs. Foreign exceptions become InferenceFailed."""
        inputs = {name: self.values[source] for name, source in step.inputs.items() if source in self.values}
        try:
            outputs = IMPLEMENTATIONS[step.type](step.parameters, self.env, **inputs)
        except AgentError:
            raise
        except Exception as error:  # native libraries raise what they like; all of it means: not judged
            detail = f"{step.type} failed: {type(error).__name__}: {str(error)[:300]}"
            raise failed("step-crashed", detail, InferenceFailed.hint) from error
        for name, value in outputs.items():
            if fault := unsound(value):
                detail = f"output {name} of step {step.id} is {fault.replace('-', ' ')}"
                raise failed(fault, detail, "Check the model package with its golden samples.")
        return outputs

    def _document(self, verdict: Verdict) -> Mapping[str, Any]:
        plan = self.plan
        return {
            "schema": "result/1",
            "pipeline": {"code": plan.code, "version": plan.version, "sha256": plan.sha256},
            "criteria_sha256": self.env.criteria.sha256,
            "verdict": {"result": str(verdict.result), "confidence": round(verdict.confidence, 6)},
            "reasons": [dict(reason) for reason in verdict.reasons],
            "steps": self.steps,
            **self.lists,
        }

    def pictures(self) -> Pictures:
        """Draws. Of a run that failed, what was found until then. Raises InferenceFailed if drawing fails."""
        for step in self._drawable():
            for name, value in self._outputs(step).items():
                self.values[Source(step.id, name)] = value
        overlay, heatmap = self._output("overlay"), self._output("heatmap")
        return Pictures(
            overlay=overlay.pixels if isinstance(overlay, Frame) else None,
            heatmap=in_photograph(heatmap, self._size_px()) if isinstance(heatmap, Located) else None,
        )

    def _drawable(self) -> Iterable[PlannedStep]:
        for step in self.plan.drawings:
            if step.inputs["image"] in self.values:
                yield step

    def _output(self, name: str) -> Any:
        source = self.plan.outputs.get(name)
        return None if source is None else self.values.get(source)

    def _size_px(self) -> tuple[int, int]:
        height, width = self.values[Source(None, "image")].pixels.shape[:2]
        return width, height


def _is_picture(shape: tuple[int, ...]) -> bool:
    return min(shape, default=0) > 0 and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))


def _error_verdict(error: AgentError, step: str | None) -> Verdict:
    reason = {"code": error.code_, "step": step, "detail": error.detail, "hint": error.hint_}
    return Verdict(AiResult.ERROR, 0.0, (reason,))
