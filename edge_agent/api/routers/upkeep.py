"""Is this installation sound, and is there a copy of it."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from edge_agent.api.auth import Has, Language, Senior, Technician
from edge_agent.api.bodies.figures import BackupReply, BackupRequest, FindingList
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.errors import BadInput
from edge_agent.messages import in_language

router = APIRouter(tags=["upkeep"], route_class=KeyedRoute)


@router.post("/check")
def run_check(_who: Senior, has: Has, language: Language) -> FindingList:
    """Looks at everything: database, files against their hashes, queue, audit chain, models, pipelines."""
    return FindingList([in_language(one, language) for one in has.check()])


@router.post("/backup", status_code=201)
def make_backup(_who: Technician, has: Has, body: BackupRequest | None = None) -> BackupReply:
    """Writes a consistent, verified copy while work goes on."""
    folder = Path(body.folder) if body and body.folder else None
    if folder is not None and (not folder.is_absolute() or folder.is_relative_to(has.config.data_dir)):
        raise BadInput(
            f"{folder} is no absolute path outside the data directory.",
            code="backup-folder",
            hint="Name a folder on another disk by its full path, or none at all.",
        )
    return BackupReply(**has.make_backup(folder))
