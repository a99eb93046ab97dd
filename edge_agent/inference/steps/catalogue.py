"""Every step type's signature: what goes in, what comes out, which parameters.

Rules of this file:
- Signatures only; the code that runs is in the sibling modules, found by name in `registry`.
- Importable without OpenCV and numpy: the daemon compiles pipelines, the worker runs them.
- An output called like its kind is the plain case; units and shapes stand in the description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from edge_agent.inference.documents import validated
from edge_agent.inference.steps import parameters as p


class Kind(StrEnum):
    IMAGE = "image"
    MASK = "mask"
    HEATMAP = "heatmap"
    OBJECTS = "objects"
    CLASSES = "classes"
    SCORE = "score"
    QUANTITY = "quantity"
    TEXT = "text"
    CODES = "codes"
    TRANSFORM = "transform"
    VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output: its kind, what it means, and (inputs) whether it must be wired."""

    kind: Kind
    about: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class StepType:
    """`variants`: one parameter model, or several told apart by `method`. `task`: of the model it uses.

    `one_of`: at least one of these inputs must be wired. `draws`: runs only after the verdict is known.
    """

    name: str
    about: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    variants: tuple[type[p.Parameters], ...]
    one_of: tuple[str, ...] = ()
    task: str | None = None
    draws: bool = False
    _adapter: TypeAdapter[p.Parameters] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_adapter", _adapter_of(self.variants))

    def parse(self, document: Any) -> p.Parameters:
        """The parameters in `document`; raises pydantic.ValidationError with all faults."""
        return validated(self._adapter, document)


def _adapter_of(variants: tuple[type[p.Parameters], ...]) -> TypeAdapter[p.Parameters]:
    if len(variants) == 1:
        return TypeAdapter(variants[0])
    union: Any = variants[0]
    for variant in variants[1:]:
        union = union | variant
    return TypeAdapter(Annotated[union, Field(discriminator="method")])


def _optional(kind: Kind, about: str) -> Port:
    return Port(kind, about, required=False)


_IMAGE_IN = {"image": Port(Kind.IMAGE, "the picture")}
_GEOMETRY_OUT = {
    "image": Port(Kind.IMAGE, "the picture in the new coordinates"),
    "transform": Port(Kind.TRANSFORM, "3×3, from the output's pixels to the photograph's"),
}
_ALIGNED_OUT = {**_GEOMETRY_OUT, "score": Port(Kind.SCORE, "correlation with the template, 0–1")}
_OBJECTS_OUT = {"objects": Port(Kind.OBJECTS, "what was found, in pixels of the picture")}

_TYPES = (
    StepType("image.crop", "Keeps a rectangle of the picture.", _IMAGE_IN, _GEOMETRY_OUT, (p.Crop,)),
    StepType(
        "image.gray",
        "Turns the picture into one channel.",
        _IMAGE_IN,
        {"image": Port(Kind.IMAGE, "H×W gray")},
        (p.Gray,),
    ),
    StepType(
        "image.enhance",
        "Evens out noise, brightness, contrast and sharpness.",
        _IMAGE_IN,
        {"image": Port(Kind.IMAGE, "same size and channels")},
        (p.Enhance,),
    ),
    StepType(
        "image.quality",
        "Says whether the photograph is fit to be judged: sharp and well exposed.",
        _IMAGE_IN,
        {
            "quality": Port(Kind.SCORE, "1 = every limit kept; less = the worst value relative to its limit"),
            "sharpness": Port(Kind.QUANTITY, "variance of the Laplacian, unit `gray2`"),
            "brightness": Port(Kind.QUANTITY, "mean gray level, unit `gray`"),
            "clipped": Port(Kind.QUANTITY, "share of clipped pixels, unit `ratio`"),
        },
        (p.Quality,),
    ),
    StepType(
        "align.template",
        "Finds a reference picture and shows it in the reference's coordinates.",
        _IMAGE_IN,
        _ALIGNED_OUT,
        (p.TemplateAlignment,),
    ),
    StepType(
        "align.markers",
        "Straightens the picture by ArUco markers at known places.",
        _IMAGE_IN,
        _GEOMETRY_OUT,
        (p.MarkerAlignment,),
    ),
    StepType(
        "align.perspective",
        "Straightens a four-cornered area seen at an angle.",
        _IMAGE_IN,
        _GEOMETRY_OUT,
        (p.Perspective,),
    ),
    StepType(
        "model.classify",
        "Asks a classification model.",
        _IMAGE_IN,
        {"classes": Port(Kind.CLASSES, "best first")},
        (p.ModelUse,),
        task="classify",
    ),
    StepType(
        "model.detect", "Asks a detection model.", _IMAGE_IN, _OBJECTS_OUT, (p.ModelUse,), task="detect"
    ),
    StepType(
        "model.segment",
        "Asks a segmentation model.",
        _IMAGE_IN,
        {"mask": Port(Kind.MASK, "255 where any defect class is"), **_OBJECTS_OUT},
        (p.ModelUse,),
        task="segment",
    ),
    StepType(
        "model.anomaly",
        "Asks an anomaly model.",
        _IMAGE_IN,
        {
            "score": Port(Kind.SCORE, "0–1, 0.5 = the training threshold"),
            "heatmap": Port(Kind.HEATMAP, "0–1 per pixel"),
        },
        (p.ModelUse,),
        task="anomaly",
    ),
    StepType(
        "code.read",
        "Reads QR codes, DataMatrix and barcodes.",
        _IMAGE_IN,
        {"codes": Port(Kind.CODES, "all that were read; none is not an error")},
        (p.CodeReading,),
    ),
    StepType(
        "text.read",
        "Reads printed text (needs the `ocr` extra). Crop to the text first.",
        _IMAGE_IN,
        {"text": Port(Kind.TEXT, "the text; confidence of its worst line, 0–1")},
        (p.TextReading,),
    ),
    StepType(
        "measure.distance",
        "Measures a diameter or a distance to a fraction of a pixel, in pixels of the photograph or in mm.",
        {
            "image": _optional(Kind.IMAGE, "the picture (methods circle, caliper)"),
            "objects": _optional(Kind.OBJECTS, "detected objects (method objects)"),
        },
        {
            "quantity": Port(Kind.QUANTITY, "unit `px` or `mm`"),
            "objects": Port(Kind.OBJECTS, "what was measured, for the overlay"),
        },
        (p.CircleDiameter, p.EdgeToEdge, p.BetweenObjects),
    ),
    StepType(
        "measure.area",
        "Measures the area of a mask or of objects.",
        {
            "mask": _optional(Kind.MASK, "counted where 255"),
            "objects": _optional(Kind.OBJECTS, "their masks, or their boxes where there is no mask"),
        },
        {"quantity": Port(Kind.QUANTITY, "unit `px2` (of the photograph) or `mm2`")},
        (p.Area,),
        one_of=("mask", "objects"),
    ),
    StepType(
        "measure.color",
        "Measures how far the mean colour is from a reference (CIEDE2000).",
        {**_IMAGE_IN, "mask": _optional(Kind.MASK, "only where 255; of the picture's size")},
        {
            "quantity": Port(Kind.QUANTITY, "ΔE00, unit `dE`"),
            "lightness": Port(Kind.QUANTITY, "L* found, unit `L*`"),
            "green_red": Port(Kind.QUANTITY, "a* found, unit `a*`"),
            "blue_yellow": Port(Kind.QUANTITY, "b* found, unit `b*`"),
        },
        (p.Color,),
    ),
    StepType(
        "diff.template",
        "Compares with a golden sample.",
        _IMAGE_IN,
        {
            "score": Port(Kind.SCORE, "share of pixels that differ, 0–1"),
            "heatmap": Port(Kind.HEATMAP, "gray difference / 255, in the golden sample's coordinates"),
            "mask": Port(Kind.MASK, "255 where it differs, in the golden sample's coordinates"),
            "image": Port(Kind.IMAGE, "the aligned picture"),
        },
        (p.TemplateDifference,),
    ),
    StepType(
        "judge",
        "Applies the item's criteria. What they need must be wired, else the result is ERROR.",
        {
            "classes": _optional(Kind.CLASSES, "for rule class"),
            "objects": _optional(Kind.OBJECTS, "for rule objects"),
            "score": _optional(Kind.SCORE, "for rules anomaly and difference"),
            "heatmap": _optional(Kind.HEATMAP, "for rule anomaly with max_area_px: counted from ng_from up"),
            "mask": _optional(Kind.MASK, "for rule anomaly with max_area_px: counted where 255"),
            "quantity": _optional(Kind.QUANTITY, "for rules range and color"),
            "text": _optional(Kind.TEXT, "for rule match"),
            "codes": _optional(Kind.CODES, "for rule code"),
            "quality": _optional(Kind.SCORE, "of image.quality: an unfit photograph is REVIEW"),
        },
        {"verdict": Port(Kind.VERDICT, "OK, NG, REVIEW or ERROR, with reasons")},
        (p.Judging,),
        one_of=("classes", "objects", "score", "quantity", "text", "codes"),
    ),
    StepType(
        "draw.overlay",
        "Draws what was found on a picture. Runs after the verdict has been given.",
        {
            **_IMAGE_IN,
            "objects": _optional(Kind.OBJECTS, "boxes and outlines"),
            "codes": _optional(Kind.CODES, "boxes with the text read"),
            "heatmap": _optional(Kind.HEATMAP, "as colours"),
            "mask": _optional(Kind.MASK, "as a red veil"),
            "verdict": _optional(Kind.VERDICT, "as a coloured frame"),
        },
        {"image": Port(Kind.IMAGE, "H×W×3")},
        (p.Overlay,),
        draws=True,
    ),
)

STEP_TYPES: Mapping[str, StepType] = MappingProxyType({step.name: step for step in _TYPES})
