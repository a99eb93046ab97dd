"""One file of a hot folder as a picture ready to be taken, and what may become of it.

Rules of this file:
- A file is a candidate when it still is what was listed once it has been read, and the whole picture is there.
- What can never be used is BadInput; what is gone or still being written is simply none yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_agent.capture.binding import MAX_SIDECAR_BYTES, SIDECAR_SUFFIX, Binding, FolderConfig, bind
from edge_agent.capture.files import read_regular
from edge_agent.capture.listing import Sighting
from edge_agent.capture.quarantine import shown
from edge_agent.capture.removal import Identity, identity_of
from edge_agent.errors import BadImage, BadInput
from edge_agent.images import ImageInfo, check_complete, probe


@dataclass(frozen=True, slots=True)
class Candidate:
    """A whole picture ready to be made durable. `name` is fit to be stored and shown, `path` is where it
    lies, `modified_at_s` seconds since the epoch, `folder` the hot folder's name."""

    folder: str
    path: Path
    name: str
    data: bytes
    sha256: str
    modified_at_s: float
    info: ImageInfo
    binding: Binding


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a candidate: `taken` and `duplicate` delete the source, `rejected` puts it in
    quarantine with `code`, `detail` and `hint`, `later` leaves it for another try."""

    kind: Literal["taken", "duplicate", "rejected", "later"]
    code: str = ""
    detail: str = ""
    hint: str = ""


Finish = Callable[[], Sequence[Outcome]]
"""Makes the candidates begun durable and answers one outcome each, in their order. An AgentError means: none
of them was taken, they may be brought again."""
Ingest = Callable[[Sequence[Candidate]], Finish]
"""Begins to take candidates. It may be given the same bytes again after a crash; the answer then is
`duplicate`."""


def read_candidate(
    name: str, seen: Sighting, config: FolderConfig, *, max_bytes: int, max_pixels: int
) -> tuple[Candidate, Identity] | None:
    """The file of that name in the folder; None if it is gone or still being written. Raises BadInput."""
    if seen.size > max_bytes:
        raise _too_large(seen.size, max_bytes)
    path = config.path / name
    try:
        data, status = read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(error) from error
    if not seen.looks_like(status) or len(data) != seen.size:
        return None
    info = probe(data, name, max_bytes=max_bytes, max_pixels=max_pixels)
    check_complete(data, info)
    binding = bind(name, _sidecar(path) if config.sidecar else None, config)
    sha256 = hashlib.sha256(data).hexdigest()
    candidate = Candidate(config.name, path, shown(name), data, sha256, status.st_mtime, info, binding)
    return candidate, identity_of(status)


def _sidecar(path: Path) -> bytes | None:
    try:
        return read_regular(path.with_name(path.name + SIDECAR_SUFFIX), MAX_SIDECAR_BYTES + 1)[0]
    except OSError:
        return None


def _too_large(size: int, limit: int) -> BadImage:
    return BadImage(
        f"The file has {size:,} bytes; at most {limit:,} are allowed.",
        code="too-large",
        hint="Save the picture smaller or as JPEG, then drop it again.",
        size_bytes=size,
    )


def _unreadable(error: OSError) -> BadInput:
    return BadInput(
        f"The file cannot be read: {error.strerror or error}.",
        code="unreadable",
        hint="Give the agent permission to read the file, then retry it from the quarantine.",
    )
