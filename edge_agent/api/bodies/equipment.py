"""Bodies about what inspects: masters, models, pipelines, cameras, folders, calibrations.

Rules of this file:
- Requests refuse unknown fields and bound every text; answers are dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from edge_agent.api.bodies.fields import VERSION, Request
from edge_agent.api.problems import ProblemPlace
from edge_agent.capture.binding import FolderConfig
from edge_agent.capture.camera import CameraStatus
from edge_agent.capture.driver import CameraConfig, Source
from edge_agent.capture.folder import FolderStatus
from edge_agent.inspection.scan import ScanMapping
from edge_agent.models import (
    AiResult,
    Item,
    ModelPackage,
    Pipeline,
    Product,
)


class ScanTrial(Request):
    text: Annotated[str, StringConstraints(max_length=8192)]
    mapping: ScanMapping


@dataclass(frozen=True, slots=True)
class ProductList:
    products: list[Product]


@dataclass(frozen=True, slots=True)
class ItemList:
    product: Product
    items: list[Item]


@dataclass(frozen=True, slots=True)
class ModelList:
    models: list[ModelPackage]


class VersionRequest(Request):
    version: Annotated[str, StringConstraints(pattern=VERSION)]


@dataclass(frozen=True, slots=True)
class PipelineBody:
    """`is_in_force`: it compiled against the models installed; else `problems` says why not."""

    pipeline: Pipeline
    is_in_force: bool
    problems: list[ProblemPlace]


@dataclass(frozen=True, slots=True)
class PipelineList:
    pipelines: list[PipelineBody]


@dataclass(frozen=True, slots=True)
class ValidationReply:
    is_valid: bool
    problems: list[ProblemPlace]


@dataclass(frozen=True, slots=True)
class DryRun:
    """As an AI result, but nothing is stored; `pictures`: overlay, heatmap, thumbnail as base64 JPEG."""

    overall_result: AiResult
    confidence: float
    processing_time: float
    detailed_results: dict[str, Any]
    pictures: dict[str, str]


@dataclass(frozen=True, slots=True)
class CalibrationBody:
    """`um_per_px` micrometres per pixel of the original image."""

    name: str
    um_per_px: float
    valid_until: str
    method: str
    detail: dict[str, Any]
    created_at: str


@dataclass(frozen=True, slots=True)
class CalibrationList:
    calibrations: list[CalibrationBody]

    @staticmethod
    def of(rows: list[dict[str, Any]]) -> CalibrationList:
        names = CalibrationBody.__slots__
        return CalibrationList([CalibrationBody(**{name: row[name] for name in names}) for row in rows])


class FolderSettings(FolderConfig):
    """A hot folder's settings; its name is in the path."""

    name: Annotated[str, Field(exclude=True)] = "folder"


class CameraSettings(CameraConfig):
    """A camera's settings; its name is in the path."""

    name: Annotated[str, Field(exclude=True)] = "camera"


class CameraChange(CameraSettings):
    """Only the fields sent are changed: a source that is not sent keeps its password."""

    source: Annotated[Source, Field(default_factory=int)]


@dataclass(frozen=True, slots=True)
class CameraList:
    cameras: list[CameraStatus]


class CalibrationRequest(Request):
    """`um_per_px` micrometres per pixel of the original image; `detail` says how it was found."""

    um_per_px: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    valid_until: Annotated[str, StringConstraints(max_length=40)]
    method: Annotated[str, StringConstraints(max_length=40)] = "given"
    detail: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FolderBody:
    """`status` is null while the folder is not watched."""

    config: FolderConfig
    status: FolderStatus | None


@dataclass(frozen=True, slots=True)
class FolderList:
    folders: list[FolderBody]


@dataclass(frozen=True, slots=True)
class QuarantineBody:
    """One file set aside: `code`, `detail`, `hint` say why and what to do."""

    id: str
    folder: str
    name: str
    code: str
    detail: str
    hint: str
    quarantined_at: str
    modified_at: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class QuarantineList:
    entries: list[QuarantineBody]
    count: int
