"""The words of the inspection domain that every layer shares.

Rules of this file:
- Only names and plain immutable values: no I/O, no decisions.
- A field is called what the SQL column, the wire field and the API field are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class InspectionType(StrEnum):
    VISUAL = "VISUAL"
    DIMENSION = "DIMENSION"
    FUNCTION = "FUNCTION"
    TEXT = "TEXT"


class AiResult(StrEnum):
    """What the AI says of one image. REVIEW and ERROR both mean: a person must look."""

    OK = "OK"
    NG = "NG"
    REVIEW = "REVIEW"
    ERROR = "ERROR"


class FinalResult(StrEnum):
    """What a person says of one item or one session."""

    OK = "OK"
    NG = "NG"
    HOLD = "HOLD"


class SessionStatus(StrEnum):
    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    AI_COMPLETED = "AI_COMPLETED"
    HUMAN_REVIEW = "HUMAN_REVIEW"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class ImageState(StrEnum):
    """captured → inspecting → inspected | failed; an image without AI stays captured."""

    CAPTURED = "captured"
    INSPECTING = "inspecting"
    INSPECTED = "inspected"
    FAILED = "failed"


class ImageSource(StrEnum):
    CAMERA = "camera"
    FOLDER = "folder"
    UPLOAD = "upload"


class Role(StrEnum):
    INSPECTOR = "inspector"
    SUPERVISOR = "supervisor"
    TECHNICIAN = "technician"
    ADMIN = "admin"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing `check`, `doctor` or health noticed.

    `code` is kebab-case; `subject` names the row, file or setting; `hint` says how to mend it.
    """

    code: str
    severity: Severity
    subject: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, for the audit trail: `user_id` is local (`users.id`), None for the agent itself.

    `request_key` is the caller's Idempotency-Key: one key changes the database at most once.
    """

    name: str
    user_id: int | None = None
    role: Role | None = None
    request_key: str | None = None


AGENT = Actor(name="agent")


# ── records: one row each, as the store returns them; JSON columns are parsed ──────────────────────────


@dataclass(frozen=True, slots=True)
class User:
    id: int
    username: str
    full_name: str | None
    email: str | None
    role: Role
    is_active: bool
    server_id: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Product:
    id: str
    product_code: str
    product_name: str
    version: str
    description: str | None
    is_active: bool
    row_version: int
    updated_at: str


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    target_id: str
    item_code: str
    item_name: str
    inspection_type: InspectionType
    ai_enabled: bool
    pipeline_id: str | None
    criteria: dict[str, Any]
    order_sequence: int
    required: bool
    is_active: bool


@dataclass(frozen=True, slots=True)
class Pipeline:
    id: str
    code: str
    name: str
    definition: dict[str, Any]
    sha256: str
    definition_version: str
    version: int
    is_active: bool
    updated_at: str


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """`model_sha256` is of the ONNX file; `golden_results` what the golden samples gave on this machine."""

    name: str
    version: str
    task: str
    model_sha256: str
    manifest: dict[str, Any]
    golden_results: list[dict[str, Any]]
    installed_at: str
    activated_at: str | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class Target:
    id: str
    product_id: str
    product_code: str
    batch_id: str
    serial_no: str
    qr_code: str
    created_at: str


@dataclass(frozen=True, slots=True)
class SnapshotItem:
    """One item as it was when the session started: later masters never rewrite history."""

    id: str
    item_code: str
    item_name: str
    inspection_type: InspectionType
    ai_enabled: bool
    pipeline_id: str | None
    criteria: dict[str, Any]
    order_sequence: int
    required: bool


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    target_id: str
    product_id: str
    user_id: int | None
    status: SessionStatus
    source: str
    accept_ai_ok: bool
    started_at: str
    completed_at: str | None
    work_day: str
    final_result: str | None
    reason: str | None
    master_version: str
    criteria_snapshot: list[dict[str, Any]]
    version: int
    updated_at: str


@dataclass(frozen=True, slots=True)
class Image:
    """`file_path` is relative to the data directory; `file_size` in bytes; `evicted_at`: since then the bytes are at
    the centre only."""

    id: str
    session_id: str
    item_id: str
    file_path: str
    file_size: int
    sha256: str
    mime_type: str
    width_px: int
    height_px: int
    captured_at: str
    captured_by: int | None
    source: ImageSource
    origin: str
    state: ImageState
    attempts: int
    failure: str | None
    evicted_at: str | None = None


@dataclass(frozen=True, slots=True)
class AiInspection:
    """`processing_time` in seconds; `confidence` 0–1."""

    id: str
    session_id: str
    item_id: str
    image_id: str
    overall_result: AiResult
    confidence: float
    processing_time: float
    detailed_results: dict[str, Any]
    pipeline_id: str | None
    pipeline_version: str | None
    pipeline_sha256: str | None
    criteria_sha256: str
    model_sha256s: list[str]
    provider: str | None
    sample_weight: float | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Verification:
    """`verification_time` in seconds; `region` [x, y, w, h] pixels of the original image."""

    id: str
    session_id: str
    item_id: str | None
    image_id: str | None
    user_id: int
    final_result: FinalResult
    reason_code: str | None
    notes: str | None
    verification_time: float
    saw_ai: bool
    checks: dict[str, Any] | None
    region: list[float] | None
    supersedes: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class ItemVerdict:
    """What now holds for one item of one session; '' where there is none yet."""

    session_id: str
    item_id: str
    image_id: str | None
    ai_result_id: str | None
    ai_result: str
    human_result_id: str | None
    human_result: str
    reason_code: str
    review: str | None
    updated_at: str


@dataclass(frozen=True, slots=True)
class CentralDecision:
    """A supervisor's override at the centre; `item_id` None: the whole session. `decided_by`: the person's name,
    or the identity where nobody of it is known here."""

    id: str
    item_id: str | None
    final_result: str
    reason: str
    decided_by: str
    decided_at: str
    version: int
