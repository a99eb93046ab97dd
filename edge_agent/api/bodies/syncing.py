"""Bodies about the synchronisation: queue, dead letters, conflicts, long work.

Rules of this file:
- Bytes and seconds where the name says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from edge_agent.api.bodies.fields import Request
from edge_agent.messages import Message
from edge_agent.store.conflicts import Conflict
from edge_agent.store.dead import DeadEntry, Held
from edge_agent.store.queue import QueueEntry
from edge_agent.store.uploads import DeadBlob

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]


@dataclass(frozen=True, slots=True)
class QueuePage:
    entries: list[QueueEntry]
    next_after_id: int | None


@dataclass(frozen=True, slots=True)
class DeadPage:
    """`images`: photographs that cannot be sent, the longest so first; only with the first page.
    `reasons`: what each code among them means and what to do about it, in the language asked for."""

    entries: list[DeadEntry]
    images: list[DeadBlob]
    reasons: dict[str, Message]
    next_after_id: int | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`held`: entries that cannot be sent before this one, at most 100."""

    entry: DeadEntry
    held: list[Held]


class RetryRequest(Request):
    """Which dead letters to queue again: those with one reason, or all of them (null)."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")] | None = None


@dataclass(frozen=True, slots=True)
class RetryReply:
    queued: int


@dataclass(frozen=True, slots=True)
class ConflictPage:
    conflicts: list[Conflict]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PauseReply:
    is_paused: bool


class EnrolRequest(Request):
    """`server`: https://HOST[:PORT]; `code`: the one-time code from the server's operator."""

    server: Annotated[str, Field(min_length=1, max_length=500)]
    code: Annotated[str, Field(min_length=1, max_length=100)]


class VerifyRequest(Request):
    """`deep`: recompute our side's checksums from the rows instead of trusting those stored."""

    deep: bool = False


class RepairRequest(Request):
    """`dry_run`: say what would be done, and do nothing."""

    dry_run: bool = False


class ResyncRequest(Request):
    """Which tables to fetch anew from the server; null: all of them."""

    tables: Annotated[list[TableName], Field(min_length=1, max_length=20)] | None = None


class ExportRequest(Request):
    """`file`: where to write the unsent queue, an absolute path that is not there yet."""

    file: Annotated[str, StringConstraints(min_length=1, max_length=4096)]


@dataclass(frozen=True, slots=True)
class AckReply:
    """What an acknowledgement file settled. `settled`: entries now known to be at the server; `refused`:
    entries that became dead letters; `images`: photographs now known to be in the object store."""

    settled: int
    refused: int
    waiting: int
    images: int


JsonObject = dict[str, Any]
