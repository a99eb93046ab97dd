"""The parameters of every step type, with their units, limits and defaults.

Rules of this file:
- Only pydantic models: the daemon compiles pipelines with them and must not load OpenCV or numpy.
- Unknown keys are refused; every field has a description, which `docs/steps.md` prints.
- A unit is in the name (`_px`, `_ms`) or in the description. Rectangles are `[x, y, width, height]`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] >= pair[1]:
        raise ValueError("must be [low, high] with low < high")
    return pair


Fraction = Annotated[float, Field(ge=0, le=1)]
Coordinate = Annotated[float, Field(ge=-100_000, le=100_000)]
Level = Annotated[float, Field(ge=0, le=10_000)]
Interval = Annotated[tuple[Level, Level], AfterValidator(_rising)]
Lightness = Annotated[float, Field(ge=0, le=100)]
Chroma = Annotated[float, Field(ge=-128, le=128)]
Side = Annotated[int, Field(ge=1, le=20_000)]
Point = tuple[Coordinate, Coordinate]
Size = tuple[Side, Side]
Offset = Annotated[int, Field(ge=0, le=100_000)]
Rect = tuple[Offset, Offset, Side, Side]
Label = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Asset = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Motion = Literal["none", "translation", "euclidean", "affine"]
CodeFormat = Literal[
    "QRCode", "MicroQRCode", "DataMatrix", "Code128", "Code39", "EAN13", "EAN8",
    "UPCA", "ITF", "PDF417", "Aztec",
]  # fmt: skip
Dictionary = Literal["4X4_50", "4X4_100", "4X4_250", "5X5_50", "5X5_100", "5X5_250", "6X6_50", "6X6_250"]


class Parameters(BaseModel):
    """The `with` of one step. `needs`: optional inputs that this form of the step cannot do without."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    needs: ClassVar[tuple[str, ...]] = ()

    def assets(self) -> dict[str, str]:
        """Parameter name → `sha256:…` of each asset it uses."""
        return {}


class Crop(Parameters):
    rect_px: Rect = Field(description="the part to keep, in pixels of the input; it must lie inside")


class Gray(Parameters):
    channel: Literal["luma", "red", "green", "blue", "hue", "saturation", "lightness"] = Field(
        "luma", description="what the gray value is; hue is 0–179 (2° each), lightness is L* × 2.55"
    )


class Enhance(Parameters):
    """Applied in this order: median, gamma, contrast, sharpen."""

    median_px: Literal[0, 3, 5, 7] = Field(0, description="median filter's side in pixels, 0 = off")
    gamma: float = Field(1.0, ge=0.1, le=10, description="output = 255 · (input / 255)^gamma, 1 = off")
    clahe_clip: float = Field(
        0.0, ge=0, le=40, description="clip limit of local contrast (CLAHE on L*), 0 = off"
    )
    clahe_tiles: int = Field(8, ge=1, le=64, description="CLAHE tiles per side")
    sharpen: float = Field(0.0, ge=0, le=5, description="unsharp mask: amount added, 0 = off")


class Quality(Parameters):
    min_sharpness: float = Field(
        50.0, ge=0, description="variance of the Laplacian of the gray image, in squared gray levels"
    )
    brightness: Interval = Field((30.0, 225.0), description="allowed range of the mean gray level, 0–255")
    max_clipped: Fraction = Field(0.25, description="allowed share of pixels at 0–2 or at 253–255")


class TemplateAlignment(Parameters):
    template: Asset = Field(description="the reference picture; the output has its size and coordinates")
    min_score: Fraction = Field(0.7, description="least correlation with the template, else the step fails")
    motion: Literal["translation", "euclidean", "affine"] = Field(
        "translation", description="what may differ: shift · shift and rotation · any affine map"
    )
    search_px: int = Field(64, ge=0, le=4096, description="how far the template may lie outside the picture")

    def assets(self) -> dict[str, str]:
        return {"template": self.template}


class Marker(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    id: int = Field(ge=0, le=999, description="number of the marker in its dictionary")
    corner_px: Point = Field(description="where its top-left corner shall be in the output")
    side_px: float = Field(gt=0, le=20_000, description="how long its side shall be in the output")


class MarkerAlignment(Parameters):
    dictionary: Dictionary = Field("4X4_50", description="ArUco dictionary")
    markers: tuple[Marker, ...] = Field(
        min_length=1, max_length=32, description="the markers and where they belong"
    )
    min_markers: int = Field(
        0, ge=0, le=32, description="how many must be found, else the step fails; 0 = all"
    )
    size_px: Size = Field(description="width and height of the output")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({marker.id for marker in self.markers}) < len(self.markers):
            raise ValueError("a marker id is given twice")
        if self.min_markers > len(self.markers):
            raise ValueError("min_markers is more than there are markers")
        return self


class Perspective(Parameters):
    corners_px: tuple[Point, Point, Point, Point] | None = Field(
        None,
        description="top-left, top-right, bottom-right, bottom-left in the input; "
        "without it the largest four-cornered shape that stands out from its ground is found",
    )
    size_px: Size = Field(description="width and height of the output")
    min_area: Fraction = Field(0.1, description="least share of the picture a found shape must cover")


class ModelUse(Parameters):
    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="name of the model package")
    version: str = Field(
        pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$", description="version of the model package"
    )


class CodeReading(Parameters):
    formats: tuple[CodeFormat, ...] = Field(
        ("QRCode", "MicroQRCode", "DataMatrix", "Code128", "Code39", "EAN13", "EAN8"),
        min_length=1,
        description="symbologies looked for; fewer is faster",
    )
    try_harder: bool = Field(
        True, description="also rotated, inverted and reduced; false = quick look at an upright code"
    )


class TextReading(Parameters):
    find_lines: bool = Field(
        False, description="false: the picture is one line · true: find the lines, read them top to bottom"
    )


class _Measure(Parameters):
    unit: Literal["px", "mm"] = Field(
        "mm", description="mm needs the item's calibration; without it the value stays in px"
    )


class CircleDiameter(_Measure):
    """Diameter of a circle fitted to sub-pixel edge points on rays from its centre."""

    needs: ClassVar[tuple[str, ...]] = ("image",)
    method: Literal["circle"]
    center_px: Point = Field(description="where the centre is expected")
    radius_px: Interval = Field(description="least and greatest radius searched")
    edge: Literal["dark-inside", "bright-inside", "any"] = Field(
        "any", description="what the circle encloses"
    )
    rays: int = Field(72, ge=12, le=720, description="number of rays")
    min_contrast: float = Field(10.0, ge=0, le=255, description="least step at the edge, gray levels")
    min_found: Fraction = Field(0.6, description="least share of rays with an edge on the circle")
    max_residual_px: float = Field(1.0, gt=0, le=100, description="greatest RMS distance of the edge points")


class EdgeToEdge(_Measure):
    """Distance between the first and the last edge along a line (a caliper)."""

    needs: ClassVar[tuple[str, ...]] = ("image",)
    method: Literal["caliper"]
    line_px: tuple[Coordinate, Coordinate, Coordinate, Coordinate] = Field(description="x1, y1, x2, y2")
    width_px: int = Field(9, ge=1, le=501, description="the profile is the mean over this width")
    first: Literal["dark-to-bright", "bright-to-dark", "any"] = Field("any", description="the first edge")
    last: Literal["dark-to-bright", "bright-to-dark", "any"] = Field("any", description="the last edge")
    min_contrast: float = Field(10.0, gt=0, le=255, description="least step at an edge, gray levels")


class BetweenObjects(_Measure):
    """Distance between the centres of two detected objects (the surest one of each label)."""

    needs: ClassVar[tuple[str, ...]] = ("objects",)
    method: Literal["objects"]
    labels: tuple[Label, Label] = Field(description="the two labels; the same twice = its two surest objects")


class Area(Parameters):
    unit: Literal["px2", "mm2"] = Field(
        "mm2", description="mm2 needs the item's calibration; without it the value stays in px2"
    )
    label: Label | None = Field(None, description="count only objects of this label (input `objects`)")


class Color(Parameters):
    reference: tuple[Lightness, Chroma, Chroma] = Field(
        description="CIE L*, a*, b* (D65) of the colour it should be"
    )
    rect_px: Rect | None = Field(None, description="the part looked at; the whole picture without it")


class TemplateDifference(Parameters):
    template: Asset = Field(
        description="the golden sample, of the size of the picture or of its aligned part"
    )
    align: Motion = Field("translation", description="what is corrected before comparing; none = nothing")
    search_px: int = Field(16, ge=0, le=4096, description="how far the golden sample may be displaced")
    min_score: Fraction = Field(0.5, description="least correlation after aligning, else the step fails")
    blur_px: int = Field(3, ge=0, le=51, description="both are smoothed over this many pixels; 0 = off")
    threshold: int = Field(40, ge=1, le=255, description="gray levels above which a pixel differs")
    min_area_px: int = Field(9, ge=0, description="smaller differing regions do not count")

    def assets(self) -> dict[str, str]:
        return {"template": self.template}


class Judging(Parameters):
    quality_min: Fraction = Field(
        1.0, description="with input `quality` below this the verdict is REVIEW, whatever else was seen"
    )


class Overlay(Parameters):
    line_px: int = Field(0, ge=0, le=50, description="thickness of lines; 0 = by the size of the picture")
    heatmap_opacity: Fraction = Field(0.4, description="how strongly heatmap and mask cover the picture")
    labels: bool = Field(True, description="write label and confidence beside each box")
