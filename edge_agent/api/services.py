"""Everything the routers call, as one value that the daemon builds.

Rules of this file:
- Only names: nothing is constructed or decided here.
- What a router needs of a part is written down as a protocol where more than one thing can be that part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.events import Events
from edge_agent.models import Actor, Finding
from edge_agent.store.database import Database

if TYPE_CHECKING:
    from edge_agent.capture.folder import FolderStatus
    from edge_agent.capture.quarantine import Quarantine
    from edge_agent.inference.worker import InferencePool
    from edge_agent.inspection.intake import Intake
    from edge_agent.inspection.running import Running
    from edge_agent.inspection.sessions import Sessions


class Masters(Protocol):
    """Masters and models: verified, then in force."""

    @property
    def running(self) -> Running: ...
    def import_bundle(self, path: Path, actor: Actor, dry_run: bool = False) -> Any: ...
    def export_bundle(self, path: Path) -> Any: ...
    def install_model(self, path: Path, actor: Actor) -> Any: ...
    def activate_model(self, name: str, version: str, actor: Actor) -> Any: ...
    def rollback_model(self, name: str, actor: Actor) -> Any: ...
    def test_model(self, name: str, version: str) -> Any: ...
    def status(self) -> Any: ...


class Cameras(Protocol):
    """The configured cameras, by name. `capture` raises NotFound, Busy, Unavailable."""

    def reload(self) -> None: ...
    def capture(self, name: str) -> bytes: ...
    def preview(self, name: str) -> Iterator[bytes]: ...
    def status(self) -> Sequence[Any]: ...


class Folders(Protocol):
    """The hot folders. `reload` follows the settings and has every folder look again."""

    def reload(self) -> None: ...
    def status(self) -> Sequence[FolderStatus]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """`findings` is what is wrong right now (cheap), `check` looks at everything (slow), `make_backup`
    writes a verified backup and describes it, `running` gives the masters in force."""

    config: Config
    clock: Clock
    database: Database
    blobs: Blobs
    events: Events
    pool: InferencePool
    sessions: Sessions
    intake: Intake
    masters: Masters
    cameras: Cameras
    folders: Folders
    quarantine: Quarantine
    findings: Callable[[], list[Finding]]
    check: Callable[[], list[Finding]]
    make_backup: Callable[[], Mapping[str, Any]]
    install_token: str
