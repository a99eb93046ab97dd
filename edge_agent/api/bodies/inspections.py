"""Bodies of scans, sessions, images, verdicts and reviews.

Rules of this file:
- Requests refuse unknown fields and bound every text; answers are dataclasses named as the columns.
- Instants are RFC 3339; durations are seconds unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from edge_agent.api.bodies.fields import Note, Request, Short, Uuid
from edge_agent.inspection.scan import Scan
from edge_agent.models import (
    AiInspection,
    CentralDecision,
    FinalResult,
    Image,
    Item,
    ItemVerdict,
    Product,
    SessionStatus,
    SnapshotItem,
    Target,
    Verification,
)
from edge_agent.store.audit import AuditEntry
from edge_agent.store.results import ReviewEntry
from edge_agent.store.sessions import SessionSummary


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

    `missing`: codes of the items still undecided; `can_complete`: it may be completed now. `decisions`: what
    supervisors at the centre decided about it, the newest of each item and of the session.
    """

    session: SessionHead
    target: Target
    items: list[ItemBody]
    missing: list[str]
    can_complete: bool
    decisions: list[CentralDecision]


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
    decisions: list[CentralDecision]
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
