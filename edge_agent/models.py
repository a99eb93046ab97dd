"""The words of the inspection domain that every layer shares.

Rules of this file:
- Only names and plain immutable values: no I/O, no decisions.
- A field is called what the SQL column, the wire field and the API field are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
