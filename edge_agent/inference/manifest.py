"""`model.json`: what a model package promises about its network (docs/formats.md, `model/1`).

Rules of this file:
- Pure and light: text in, values or problems out; no disk, no numpy.
- A parsed manifest is complete: what the author left out was filled in by `metadata.py` before
  validation, so no later code asks "is it set?".
- Every fault is reported at once, each with its JSON pointer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.documents import problems_of, read_json

MANIFEST_NAME = "model.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_SIDE_PX = 8192

Task = Literal["classify", "detect", "segment", "anomaly"]
Decoder = Literal[
    "classify", "yolov5", "yolov8", "yolo-end2end", "yolov8-seg", "semantic", "anomalib", "anomaly-map"
]

DECODERS: Mapping[str, tuple[str, ...]] = {
    "classify": ("classify",),
    "detect": ("yolov5", "yolov8", "yolo-end2end"),
    "segment": ("yolov8-seg", "semantic"),
    "anomaly": ("anomalib", "anomaly-map"),
}
"""The decoders each task may name."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Version = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
Channel = Annotated[float, Field(ge=-1e6, le=1e6)]
Spread = Annotated[float, Field(gt=1e-9, le=1e6)]
Label = Annotated[str, Field(min_length=1, max_length=128)]
PerChannel = Annotated[tuple[Channel, ...], Field(min_length=1, max_length=3)]
PerChannelSpread = Annotated[tuple[Spread, ...], Field(min_length=1, max_length=3)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Input(_Frozen):
    """How a picture becomes the network's tensor: `(value * scale - mean[c]) / std[c]`."""

    name: str = Field(min_length=1, max_length=256)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32", "uint8"] = "float32"
    size_px: tuple[Side, Side]
    """Width, height."""
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    resize: Literal["stretch", "letterbox", "center-crop"] = "stretch"
    interpolation: Literal["nearest", "linear", "area", "cubic"] = "linear"
    pad_value: int = Field(default=114, ge=0, le=255)
    scale: Spread = 1 / 255
    mean: PerChannel = (0.0,)
    std: PerChannelSpread = (1.0,)

    @property
    def channels(self) -> int:
        return 1 if self.colour == "GRAY" else 3

    @model_validator(mode="after")
    def _fits_the_channels(self) -> Input:
        if self.dtype == "uint8" and (self.scale != 1 or any(self.mean) or set(self.std) != {1.0}):
            raise ValueError("a uint8 pixel enters as it is: leave out scale, mean and std")
        if any(len(values) not in (1, self.channels) for values in (self.mean, self.std)):
            raise ValueError(f"mean and std take 1 or {self.channels} numbers for {self.colour}")
        return self


class Nms(_Frozen):
    """`conf` the least confidence reported, `iou` the overlap that makes two boxes one, `max` boxes kept."""

    iou: Share = 0.45
    conf: Share = 0.25
    max: int = Field(default=300, ge=1, le=10_000)


class Output(_Frozen):
    decoder: Decoder
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    classes: tuple[Label, ...] = Field(default=(), max_length=10_000)
    nms: Nms = Nms()

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes):
            raise ValueError("two classes have the same name")
        return classes


class Thresholds(_Frozen):
    score: float = Field(default=0.5, gt=0, le=1e6)


class ExpectedObject(_Frozen):
    label: Label = Field(alias="class")
    box: tuple[float, float, float, float]
    confidence: Share


class Expectation(_Frozen):
    """What a golden image must give; only the fields written are compared."""

    label: Label | None = Field(default=None, alias="class")
    confidence: Share | None = None
    objects: tuple[ExpectedObject, ...] | None = None
    area_px: dict[str, Annotated[float, Field(ge=0)]] | None = None
    score: Share | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Expectation:
        if all(value is None for value in (self.label, self.objects, self.area_px, self.score)):
            raise ValueError("expects nothing: name a class, objects, area_px or score")
        return self


class Golden(_Frozen):
    image: str
    expect: Expectation
    tolerance: Share = 0.02

    @field_validator("image")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        return inner_path(path)


class Manifest(_Frozen):
    """One version of one model, complete."""

    schema_: Literal["model/1"] = Field(alias="schema")
    name: Name
    version: Version
    task: Task
    file: str = "model.onnx"
    sha256: Sha256
    size_bytes: int | None = Field(default=None, ge=1)
    licence: str | None = Field(default=None, max_length=200)
    input: Input
    output: Output
    thresholds: Thresholds = Thresholds()
    golden: tuple[Golden, ...] = Field(default=(), max_length=100)

    @field_validator("file")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        return inner_path(path)

    def document(self) -> dict[str, Any]:
        """The manifest as it is written to `model.json`."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def inner_path(path: str) -> str:
    """`path` when it is relative, plain and stays inside its folder; ValueError otherwise."""
    parts = path.split("/")
    if (
        not 1 <= len(path) <= 200
        or any(part in ("", ".", "..") for part in parts)
        or re.search(r'[\x00-\x1f\\:*?"<>|]', path)
    ):
        raise ValueError("must be a relative path inside the package, with / between its parts")
    return path


def read_document(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`; raises BadDefinition when it is none."""
    document = read_json(text, MAX_MANIFEST_BYTES, MANIFEST_NAME)
    if not isinstance(document, dict):
        problem = Problem(MANIFEST_NAME, "", "not-an-object", "must be a JSON object")
        raise BadDefinition(f"{MANIFEST_NAME} is no JSON object", [problem])
    return document


def parse_manifest(document: Mapping[str, Any], file: str = MANIFEST_NAME) -> Manifest:
    """A complete manifest from its document; raises BadDefinition listing every problem."""
    try:
        manifest = Manifest.model_validate_json(json.dumps(_with_scale(document)))
    except ValidationError as error:
        problems = problems_of(error, file, "")
        raise BadDefinition(f"{file} has {len(problems)} problem(s)", problems) from None
    problems = list(_contradictions(manifest, file))
    if problems:
        raise BadDefinition(f"{file} has {len(problems)} problem(s)", problems)
    return manifest


def _contradictions(manifest: Manifest, file: str) -> list[Problem]:
    output = manifest.output
    found = []
    if output.decoder not in DECODERS[manifest.task]:
        allowed = ", ".join(DECODERS[manifest.task])
        message = f"{output.decoder} does not decode the task {manifest.task}; use one of: {allowed}"
        found.append(Problem(file, "/output/decoder", "decoder-task", message))
    if output.activation == "softmax" and output.decoder not in ("classify", "semantic"):
        message = f"softmax does not belong to {output.decoder}; use sigmoid or none"
        found.append(Problem(file, "/output/activation", "activation-decoder", message))
    if manifest.task != "anomaly" and not output.classes:
        message = "class names are neither here nor in the ONNX metadata"
        found.append(Problem(file, "/output/classes", "missing", message))
    for index, golden in enumerate(manifest.golden):
        named = [golden.expect.label, *(golden.expect.area_px or ())]
        named += [expected.label for expected in golden.expect.objects or ()]
        for label in sorted({label for label in named if label and label not in output.classes}):
            message = f"expects the class {label!r}, which the model does not have"
            found.append(Problem(file, f"/golden/{index}/expect", "unknown-class", message))
    return found


def _with_scale(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """uint8 pixels enter as they are, so the usual scale is not theirs."""
    entry = document.get("input")
    if isinstance(entry, Mapping) and entry.get("dtype") == "uint8":
        return {**document, "input": {"scale": 1.0, **entry}}
    return document
