"""Everything the routers call, as one value that the daemon builds.

Rules of this file:
- Only names: nothing is constructed or decided here.
- The parts that import much are named for the type checker only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.events import Events
from edge_agent.models import Finding
from edge_agent.store.database import Database

if TYPE_CHECKING:
    from edge_agent.capture.cameras import Cameras
    from edge_agent.capture.folders import Folders
    from edge_agent.inference.worker import InferencePool
    from edge_agent.inspection.intake import Intake
    from edge_agent.inspection.sessions import Sessions
    from edge_agent.masters.importer import Masters
    from edge_agent.sync.jobs import Jobs
    from edge_agent.sync.sync import Sync
    from edge_agent.sync.work import Bench


class MakeBackup(Protocol):
    def __call__(self, elsewhere: Path | None = None) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """`findings` is what is wrong right now (cheap), `check` looks at everything (slow), `make_backup`
    writes a verified backup (into a folder named or its own) and describes it, `scheduled` runs the
    periodic jobs while its block does, `jobs` what people start on the synchronisation with what is on `bench`."""

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
    sync: Sync
    bench: Bench
    jobs: Jobs
    findings: Callable[[], list[Finding]]
    check: Callable[[], Iterable[Finding]]
    make_backup: MakeBackup
    scheduled: Callable[[], AbstractContextManager[None]]
    install_token: str
