"""What an inference process holds and does: models, assets, plans; one job or request at a time.

Rules of this file:
- Heavy imports live here; `child.py` brings it up once its output is safe.
- Equipment is replaced as one value; a model whose folder and manifest did not change stays loaded.
- A picture is decoded once; verdict, overlay and thumbnail share its pixels.
- A pipeline that does not fit the equipment is a failure of the job, never a verdict.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import cv2

from edge_agent.errors import AgentError, BadDefinition, InferenceFailed
from edge_agent.images import decode, probe
from edge_agent.inference.criteria import ReadCriteria
from edge_agent.inference.definition import compile_pipeline
from edge_agent.inference.package import read_package
from edge_agent.inference.pictures import write_pictures
from edge_agent.inference.plan import ModelKey, Plan
from edge_agent.inference.run import run
from edge_agent.inference.runtime import PROVIDER, OnnxModel, load_model
from edge_agent.inference.steps.base import TextReader
from edge_agent.inference.steps.reading import load_text_reader
from edge_agent.inference.values import Calibration, Pictures, Pixels, RunContext, RunResult
from edge_agent.inference.wire import Message, encode

MAX_DEFINITIONS = 256
MAX_CRITERIA = 256


@dataclass(frozen=True, slots=True)
class Drawing:
    """Pictures still to be made of a job whose verdict is out.

    `is_spare`: only a thumbnail, which can be made again when somebody asks for it.
    """

    serial: int
    prefix: Path
    pixels: Pixels
    pictures: Callable[[], Pictures]
    is_spare: bool

    def write(self) -> list[str]:
        """The paths written; raises InferenceFailed or OSError."""
        drawn = self.pictures()
        return list(write_pictures(self.prefix, self.pixels, drawn.overlay, drawn.heatmap))


class Workbench:
    """`threads` per network; `cache_dir` keeps optimised graphs (None: none are kept)."""

    def __init__(self, threads: int = 1, cache_dir: Path | None = None) -> None:
        cv2.setNumThreads(threads)
        self.threads = threads
        self.cache_dir = cache_dir
        self._models: Mapping[ModelKey, OnnxModel] = {}
        self._folders: Mapping[ModelKey, str] = {}
        self._assets: Mapping[str, str] = {}
        self._templates: dict[str, Pixels] = {}
        self._definitions: OrderedDict[str, str] = OrderedDict()
        self._plans: dict[str, Plan] = {}
        self._text_reader: TextReader | None = None
        self._criteria: OrderedDict[bytes, ReadCriteria] = OrderedDict()

    def configure(self, message: Message) -> list[list[str]]:
        """Takes over models and assets; the packages that cannot be loaded, as [name, version, why]."""
        models: dict[ModelKey, OnnxModel] = {}
        folders: dict[ModelKey, str] = {}
        faults = []
        for name, version, folder in message["models"]:
            try:
                models[name, version] = self._model(name, version, Path(folder))
                folders[name, version] = folder
            except (AgentError, OSError) as error:
                faults.append([name, version, _why(error)])
        self._models, self._folders, self._assets = models, folders, dict(message["assets"])
        self._plans.clear()
        self._templates = {key: value for key, value in self._templates.items() if key in self._assets}
        if message.get("reads_text"):
            with suppress(InferenceFailed):  # not installed: every run that needs it says so
                self._read_text()
        return faults

    def _model(self, name: str, version: str, folder: Path) -> OnnxModel:
        package = read_package(folder)
        if (package.manifest.name, package.manifest.version) != (name, version):
            stated = f"{package.manifest.name} {package.manifest.version}"
            raise InferenceFailed(f"{folder.name} holds {stated}, not {name} {version}")
        held = self._models.get((name, version))
        if held is not None and held.manifest == package.manifest:
            return held
        return load_model(folder, package.manifest, self.threads, self.cache_dir)

    def decode_job(self, message: Message) -> Pixels:
        """The job's picture, H×W×3 BGR; raises BadImage, or InferenceFailed when no file is there.

        Its pipeline is learned first: the daemon sends it once, be the picture it came with good or bad.
        """
        if message.get("plan") is not None:
            self._learn(message["plan_sha256"], message["plan"])
        data = message.get("picture") or _read(message["path"])
        return decode(data, probe(data))

    def judge(self, serial: int, pixels: Pixels, message: Message) -> tuple[Message | None, Drawing | None]:
        """The result document (None without a plan), and the pictures still to be drawn."""
        result = self._run(pixels, message) if message["plan_sha256"] else None
        drawing = None
        if message["derived"]:
            pictures = result.pictures if result else Pictures
            drawing = Drawing(serial, Path(message["derived"]), pixels, pictures, self._is_spare(message))
        return (result_document(result) if result else None), drawing

    def _is_spare(self, message: Message) -> bool:
        plan = self._plans.get(message["plan_sha256"] or "")
        return plan is not None and plan.outputs.keys().isdisjoint(("overlay", "heatmap"))

    def _run(self, pixels: Pixels, message: Message) -> RunResult:
        stated = message["calibration"]
        context = RunContext(
            criteria=message["criteria"],
            scan=message["scan"],
            calibration=_calibration(stated) if stated else None,
            now=message["now"],
        )
        return run(
            self._plan(message["plan_sha256"]),
            pixels,
            context,
            models=self._models,
            assets=self.template,
            monotonic=monotonic,
            render=message["derived"] is not None,
            text_reader=self._read_text,
            read_criteria=self._read_criteria,
        )

    def _read_criteria(self, document: Mapping[str, Any]) -> ReadCriteria:
        """Those of an item, which come with each of its pictures, are read once."""
        key = encode(document)
        if key not in self._criteria:
            self._criteria[key] = ReadCriteria(document)
            if len(self._criteria) > MAX_CRITERIA:
                self._criteria.popitem(last=False)
        return self._criteria[key]

    def _learn(self, sha256: str, definition: str) -> None:
        """Keeps a pipeline's definition; the daemon sends it the first time, and again after a while."""
        self._definitions[sha256] = definition
        if len(self._definitions) > MAX_DEFINITIONS:
            self._plans.pop(self._definitions.popitem(last=False)[0], None)

    def _plan(self, sha256: str) -> Plan:
        """The compiled plan of a definition learned before."""
        if sha256 not in self._plans:
            self._plans[sha256] = self._compile(sha256)
        return self._plans[sha256]

    def _compile(self, sha256: str) -> Plan:
        try:
            plan = self.compile(self._definitions[sha256].encode())
        except BadDefinition as error:
            raise InferenceFailed(_why(error), code="pipeline-unusable") from error
        if plan.sha256 != sha256:
            raise InferenceFailed("the pipeline is not the one it claims to be", code="pipeline-unusable")
        return plan

    def compile(self, definition: bytes) -> Plan:
        """The plan of a definition with the present equipment; raises BadDefinition."""
        return compile_pipeline(definition, self._models, self._assets.keys())

    def template(self, sha256: str) -> Pixels:
        """The pixels of an asset, verified against its name when first used; raises InferenceFailed."""
        if sha256 not in self._templates:
            data = _read(self._assets.get(sha256))
            if hashlib.sha256(data).hexdigest() != sha256:
                raise InferenceFailed(f"the asset {sha256} is damaged", code="asset-damaged")
            self._templates[sha256] = decode(data, probe(data))
        return self._templates[sha256]

    def _read_text(self) -> TextReader:
        """The reader, loaded when it is first needed. Raises InferenceFailed."""
        if self._text_reader is None:
            self._text_reader = load_text_reader()
        return self._text_reader


def result_document(result: RunResult) -> Message:
    """A run's result as it travels."""
    return {
        "overall_result": str(result.overall_result),
        "confidence": float(result.confidence),
        "processing_time": result.processing_time,
        "detailed_results": result.detailed_results,
        "model_sha256s": list(result.model_sha256s),
        "provider": PROVIDER,
    }


def _why(error: Exception) -> str:
    """One sentence, with the first of a definition's problems."""
    problems = error.problems[:3] if isinstance(error, BadDefinition) else []
    return ": ".join([str(error), *(["; ".join(map(str, problems))] if problems else [])])


def _read(path: str | None) -> bytes:
    """The bytes of the file; None stands for one that is not known at all."""
    try:
        if path is not None:
            return Path(path).read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InferenceFailed(f"{path} cannot be read: {error}", code="image-unreadable") from error
    raise InferenceFailed(
        f"this file is not there: {path or '(no path)'}",
        code="image-missing",
        hint="Run `edge-agent check`; it lists every image whose file is gone.",
    )


def _calibration(row: Message) -> Calibration:
    """Of all that is known of a calibration, what a run needs."""
    return Calibration(row["name"], row["um_per_px"], row["valid_until"])
