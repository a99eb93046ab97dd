"""What requests say and answers hold, where it is not a record of `edge_agent.models` as it is.

Rules of this file:
- Requests are pydantic models that refuse unknown fields and bound every text; answers are dataclasses.
- Field names are those of the columns; instants RFC 3339, seconds unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from edge_agent.api.problems import ProblemPlace
from edge_agent.capture.binding import FolderConfig
from edge_agent.capture.camera import CameraStatus
from edge_agent.capture.driver import CameraConfig
from edge_agent.capture.folder import FolderStatus
from edge_agent.inspection.scan import Scan, ScanMapping
from edge_agent.inspection.statistics import Agreement, Yield
from edge_agent.models import (
    AiInspection,
    AiResult,
    FinalResult,
    Finding,
    Image,
    Item,
    ItemVerdict,
    ModelPackage,
    Pipeline,
    Product,
    Role,
    SessionStatus,
    SnapshotItem,
    Target,
    User,
    Verification,
)
from edge_agent.store.audit import AuditEntry
from edge_agent.store.queue import Lane, QueueEntry
from edge_agent.store.results import ReviewEntry
from edge_agent.store.sessions import SessionSummary

MAX_INT = 2**53 - 1

Id = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="A UUID.")]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
VERSION = r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$"
Name = Annotated[str, Path(pattern=NAME)]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]
Day = Annotated[str | None, Query(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
Instant = Annotated[
    str | None,
    Query(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="RFC 3339, UTC, milliseconds."),
]
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]
Short = Annotated[str, StringConstraints(max_length=200)]
Note = Annotated[str, StringConstraints(max_length=4000)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


# ── people ─────────────────────────────────────────────────────────────────────────────────────────────


class LoginRequest(Request):
    """`cookie`: keep the login in a cookie that scripts cannot read (the console), and return no token."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    password: Password
    cookie: bool = False


@dataclass(frozen=True, slots=True)
class LoginReply:
    """`token` goes into `Authorization: Bearer …`; null when a cookie holds it."""

    token: str | None
    expires_at: str
    user: User


@dataclass(frozen=True, slots=True)
class Me:
    """Who is asking. `user` is null for the CLI's install token; `is_blind`: the AI verdict comes last."""

    name: str
    role: Role
    user: User | None
    is_blind: bool


class PasswordRequest(Request):
    old_password: Password
    new_password: Password


class NewUser(Request):
    username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    password: Password
    role: Role
    full_name: Short
    email: Short | None = None


class UserChange(Request):
    """Only the fields sent are changed."""

    role: Role | None = None
    full_name: Short | None = None
    email: Short | None = None
    is_active: bool | None = None
    password: Password | None = None


# ── scans and sessions ─────────────────────────────────────────────────────────────────────────────────


class ScanRequest(Request):
    text: Annotated[str, StringConstraints(max_length=8192)]


@dataclass(frozen=True, slots=True)
class SessionHead:
    """One session without its items."""

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
    version: int
    updated_at: str


@dataclass(frozen=True, slots=True)
class ScanReply:
    """What a code means here; `open_session` can be resumed."""

    scan: Scan
    product: Product
    items: list[Item]
    target: Target | None
    open_session: SessionHead | None


@dataclass(frozen=True, slots=True)
class ReadCode:
    """`box_px` [x, y, width, height] pixels of the upright picture."""

    format: str
    text: str
    box_px: list[float]


@dataclass(frozen=True, slots=True)
class PictureScanReply:
    """Every code in the picture; `answer` is what the first one that names a known product means."""

    codes: list[ReadCode]
    answer: ScanReply | None


class SessionRequest(Request):
    """`text` is the code as scanned; `lot` and `serial` where the code does not carry them.

    `accept_ai_ok`: an AI OK needs no person (supervisors, technicians and administrators only).
    """

    text: Annotated[str, StringConstraints(max_length=8192)]
    lot: Short | None = None
    serial: Short | None = None
    accept_ai_ok: bool = False


class ReasonRequest(Request):
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


@dataclass(frozen=True, slots=True)
class ItemBody:
    """One item of a session: `verdict` is what now holds, None while nobody has judged.

    `is_withheld`: there may be an AI verdict, shown once the inspector has decided (blind mode).
    """

    item: SnapshotItem
    verdict: ItemVerdict | None
    images: list[Image]
    is_withheld: bool


@dataclass(frozen=True, slots=True)
class SessionBody:
    """One session with its items in the order in which they are inspected.

    `missing`: codes of the items still undecided; `can_complete`: it may be completed now.
    """

    session: SessionHead
    target: Target
    items: list[ItemBody]
    missing: list[str]
    can_complete: bool


@dataclass(frozen=True, slots=True)
class SessionPage:
    sessions: list[SessionSummary]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class TargetPage:
    targets: list[Target]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class TargetBody:
    """One target with its sessions, newest first."""

    target: Target
    sessions: list[SessionHead]


@dataclass(frozen=True, slots=True)
class SessionTrace:
    """Everything recorded about one session: who, when, by which versions."""

    session: SessionHead
    images: list[Image]
    ai_results: list[AiInspection]
    verifications: list[Verification]
    audit: list[AuditEntry]


class VerificationRequest(Request):
    """A person's verdict on one item, or on the whole session where `item_id` is null.

    `verification_time` seconds from showing the item to the decision; `region` [x, y, width, height] pixels
    of the original image; `checks` the answers to a FUNCTION item's checklist.
    """

    final_result: FinalResult
    item_id: Uuid | None = None
    image_id: Uuid | None = None
    reason_code: Annotated[str, StringConstraints(max_length=64)] | None = None
    notes: Note | None = None
    verification_time: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 0.0
    saw_ai: bool = True
    checks: dict[Annotated[str, StringConstraints(max_length=64)], bool | float | Short] | None = Field(
        None, max_length=200
    )
    region: (
        tuple[
            Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)],
            Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)],
            Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)],
            Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)],
        ]
        | None
    ) = None


@dataclass(frozen=True, slots=True)
class VerificationReply:
    """The new verdict's id, and the session as it stands now."""

    id: str
    session: SessionBody


@dataclass(frozen=True, slots=True)
class VerificationList:
    verifications: list[Verification]


# ── images and results ─────────────────────────────────────────────────────────────────────────────────


class VerdictState(StrEnum):
    """`none`: people only · `pending`: look again at the Location · `withheld`: decide first (blind mode)."""

    READY = "ready"
    PENDING = "pending"
    NONE = "none"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class ImageReply:
    """A stored image and its AI verdict. `is_duplicate`: these bytes were here already."""

    image: Image
    verdict: AiInspection | None
    verdict_state: VerdictState
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class ImageBody:
    """One image and every AI result on it, oldest first."""

    image: Image
    ai_results: list[AiInspection]
    is_withheld: bool


class CaptureRequest(Request):
    camera: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


@dataclass(frozen=True, slots=True)
class ReviewPage:
    reviews: list[ReviewEntry]
    next_cursor: str | None


# ── audit, sync, system ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AuditPage:
    entries: list[AuditEntry]
    next_before_seq: int | None


@dataclass(frozen=True, slots=True)
class AuditProof:
    """`faults`: a sentence for every broken link, at most 100."""

    is_whole: bool
    entries: int
    faults: list[str]


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """What waits on this device. `is_configured`: there is a central server to send it to."""

    is_configured: bool
    oldest_at: str | None
    lanes: list[Lane]


@dataclass(frozen=True, slots=True)
class QueuePage:
    entries: list[QueueEntry]
    next_after_id: int | None


@dataclass(frozen=True, slots=True)
class SystemInfo:
    version: str
    device_id: str
    device_type: str
    data_dir: str
    sqlite_version: str
    python_version: str
    started_at: str
    uptime_s: float
    now: str
    time_zone: str
    is_blind_mode: bool


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """Bytes. `min_free_bytes`: below this no new session starts."""

    total_bytes: int
    free_bytes: int
    min_free_bytes: int
    database_bytes: int
    is_enough: bool


@dataclass(frozen=True, slots=True)
class Health:
    status: Literal["ok", "not-ready"]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counters since the start, and how things are now; bytes where the name says so."""

    open_sessions: int
    database_commits: int
    database_bytes: int
    image_fsyncs: int
    disk_free_bytes: int
    inference_state: str
    inference_workers: int
    inference_restarts: int
    inference_waiting: int
    inference_running: int
    inference_rss_bytes: int | None
    event_streams: int


@dataclass(frozen=True, slots=True)
class FindingList:
    findings: list[Finding]


class BackupRequest(Request):
    """`folder`: where to make the backup, an absolute path; null: among the agent's own."""

    folder: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None


# ── users, settings, statistics ────────────────────────────────────────────────────────────────────────

UserName = Annotated[str, Path(max_length=64)]


@dataclass(frozen=True, slots=True)
class UserList:
    users: list[User]


class ScanTrial(Request):
    text: Annotated[str, StringConstraints(max_length=8192)]
    mapping: ScanMapping


@dataclass(frozen=True, slots=True)
class AgreementGroup:
    """`group`: the day, ISO week, month, product id, item id or local user id (0 = nobody)."""

    group: str
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class AgreementTable:
    total: Agreement
    groups: list[AgreementGroup]


@dataclass(frozen=True, slots=True)
class YieldGroup:
    """`group`: the day, ISO week, month, product id or local user id (0 = hot folder)."""

    group: str
    results: Yield


@dataclass(frozen=True, slots=True)
class YieldTable:
    total: Yield
    groups: list[YieldGroup]


@dataclass(frozen=True, slots=True)
class ReasonCount:
    reason_code: str
    item_id: str
    verdict_count: int


@dataclass(frozen=True, slots=True)
class ReasonTable:
    reasons: list[ReasonCount]


# ── masters, models, pipelines, folders ────────────────────────────────────────────────────────────────

ProductCode = Annotated[str, Path(max_length=200)]
SettingName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


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


@dataclass(frozen=True, slots=True)
class CameraList:
    cameras: list[CameraStatus]


class CalibrationRequest(Request):
    """`um_per_px` micrometres per pixel of the original image; `detail` says how it was found."""

    um_per_px: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    valid_until: Annotated[str, StringConstraints(max_length=40)]
    method: Annotated[str, StringConstraints(max_length=40)] = "given"
    detail: dict[str, Any] = {}


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
