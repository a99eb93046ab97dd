"""Which image bytes are sent next, how many at a time, and what follows when some do not arrive.

Rules of this file:
- Pure: instants and chances are arguments.
- A picture of something NG goes before one of something OK, unless that one has waited an hour longer.
- What is wrong with the bytes here is final and told to a person; everything else is tried again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from edge_agent.clock import from_rfc3339, to_rfc3339
from edge_agent.store.uploads import DueBlob, Trouble
from edge_agent.sync import backoff
from edge_agent.sync.lane import Kind, SyncFailed

NG_LANE = 2
NG_AHEAD_S = 3600.0
ONE_PUT_BYTES = 8 << 20
ROUND_BYTES = 64 << 20
FIRST, FEWEST, MOST = 64, 8, 128
STEP_S, ROUND_S, GROWTH = 5.0, 1.5, 8
MAX_DETAIL = 500
FINAL = ("image-missing", "image-changed", "blob-too-large")


class LocalFault(Exception):
    """The bytes cannot be had here, or are not those that were photographed."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def changed(one: DueBlob) -> LocalFault:
    return LocalFault("image-changed", f"{one.file_path} is not the picture that was taken.")


@dataclass(frozen=True, slots=True)
class Round:
    """What is sent together: several small blobs, or a large one alone. `is_more`: others are due besides."""

    blobs: tuple[DueBlob, ...]
    is_more: bool

    @property
    def is_large(self) -> bool:
        return len(self.blobs) == 1 and self.blobs[0].file_size > ONE_PUT_BYTES


def plan_round(due: Sequence[DueBlob], most: int, under_way: Collection[str] = ()) -> Round:
    """The next of what is due, by urgency, each sha256 once, and none of `under_way`."""
    unique: dict[str, DueBlob] = {}
    for one in sorted(due, key=_urgency):
        if one.sha256 not in under_way:
            unique.setdefault(one.sha256, one)
    ordered = list(unique.values())
    if ordered and ordered[0].file_size > ONE_PUT_BYTES:
        return Round((ordered[0],), len(due) > 1)
    chosen = tuple(_fitting(ordered, most))
    return Round(chosen, len(chosen) < len(ordered) or len(due) > most + len(under_way))


def _urgency(one: DueBlob) -> tuple[float, str]:
    head_start_s = NG_AHEAD_S if one.upload_lane == NG_LANE else 0.0
    return from_rfc3339(one.created_at) - head_start_s, one.image_id


def _fitting(ordered: Sequence[DueBlob], most: int) -> Iterator[DueBlob]:
    count, size = 0, 0
    for one in ordered:
        if one.file_size > ONE_PUT_BYTES:
            continue  # alone, when its turn comes
        count, size = count + 1, size + one.file_size
        if count > most or (size > ROUND_BYTES and count > 1):
            return
        yield one


def next_count(sent: int, elapsed_s: float) -> int:
    """How many the next round may have, so that it is proven about a second after its question."""
    wanted = int(sent * ROUND_S / max(elapsed_s, 0.001))
    return min(MOST, max(FEWEST, min(wanted, sent * GROWTH)))


def trouble(one: DueBlob, code: str, detail: str, now_s: float, share: float) -> Trouble:
    """What is remembered of an attempt that failed."""
    again_at = None
    if code not in FINAL:
        again_at = to_rfc3339(now_s + backoff.delay_s(Kind.TRANSIENT, one.retry_count + 1, share))
    return Trouble(one.sha256, code, detail[:MAX_DETAIL], again_at)


def is_about_the_blob(failure: SyncFailed) -> bool:
    """Whether the store was reached and did not want this very request: an expired ticket, damaged bytes."""
    return failure.code_ in ("blob-differs", "blob-missing", *FINAL) or failure.code_.startswith("store-4")


def as_the_lanes(failure: SyncFailed) -> SyncFailed:
    """A store that cannot be reached is this lane's trouble: the server was there a moment ago, and rows go on."""
    if failure.kind is not Kind.OFFLINE:
        return failure
    return SyncFailed(Kind.TRANSIENT, failure.code_, failure.detail, failure.retry_after)
