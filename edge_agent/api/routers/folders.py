"""Hot folders, and the files they could not use."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ValidationError

from edge_agent.api.auth import Anyone, Has, Principal, Technician
from edge_agent.api.bodies.equipment import (
    FolderBody,
    FolderList,
    FolderSettings,
    QuarantineBody,
    QuarantineList,
)
from edge_agent.api.bodies.fields import Id, Limit, SettingName
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.services import Services
from edge_agent.capture.binding import FolderConfig
from edge_agent.capture.quarantine import QuarantineEntry
from edge_agent.errors import Conflict, NotFound
from edge_agent.store import audit, settings

router = APIRouter(prefix="/folders", tags=["folders"], route_class=KeyedRoute)


@router.get("")
def list_folders(_who: Anyone, has: Has) -> FolderList:
    """Every hot folder: its settings, and how it is doing."""
    with has.database.read() as reader:
        stored = settings.under(reader, "folder")
    running = {status.name: status for status in has.folders.status()}
    configs = [config for value in stored.values() if (config := _usable(value)) is not None]
    return FolderList([FolderBody(config, running.get(config.name)) for config in configs])


@router.get("/quarantine")
def list_quarantine(
    _who: Anyone,
    has: Has,
    folder: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 100,
) -> QuarantineList:
    """Files set aside, newest first, each with the reason."""
    found = has.folders.quarantined(folder, limit)
    return QuarantineList([quarantine_body(entry) for entry in found], has.folders.quarantine_count())


@router.post("/quarantine/{entry_id}/retry")
def retry_quarantined(entry_id: Id, who: Technician, has: Has) -> QuarantineBody:
    """Puts the file back into its folder, to be taken again."""
    entry = has.folders.retry(entry_id)
    _record(has, who, "quarantine.retry", entry)
    return quarantine_body(entry)


@router.post("/quarantine/{entry_id}/discard")
def discard_quarantined(entry_id: Id, who: Technician, has: Has) -> QuarantineBody:
    """Deletes the file for ever."""
    entry = has.folders.discard(entry_id)
    _record(has, who, "quarantine.discard", entry)
    return quarantine_body(entry)


@router.put("/{name}")
def put_folder(name: SettingName, body: FolderSettings, who: Technician, has: Has) -> FolderConfig:
    """Makes or changes a hot folder; it is watched at once."""
    config = FolderConfig.model_validate({**body.model_dump(), "name": name})
    _check_free(has, config)
    value = config.model_dump(mode="json")
    with has.database.write(who.actor) as tx:
        settings.put(tx, f"folder.{name}", value, has.clock.now())
        audit.append(tx, "settings", "system_config", f"folder.{name}", value)
    has.folders.reload()
    return config


@router.delete("/{name}", status_code=204)
def remove_folder(name: SettingName, who: Technician, has: Has) -> None:
    """Stops watching a folder; its files stay where they are."""
    with has.database.write(who.actor) as tx:
        if not settings.remove(tx, f"folder.{name}"):
            raise _unknown(name)
        audit.append(tx, "settings", "system_config", f"folder.{name}", {"removed": True})
    has.folders.reload()


def quarantine_body(entry: QuarantineEntry) -> QuarantineBody:
    return QuarantineBody(**{name: getattr(entry, name) for name in QuarantineBody.__slots__})


def _check_free(has: Services, config: FolderConfig) -> None:
    """Raises Conflict (`folder-taken`): two folders, or a folder and our own data, must not overlap."""
    with has.database.read() as reader:
        others = {name: value["path"] for name, value in settings.under(reader, "folder").items()}
    others.pop(config.name, None)
    taken = {**others, "the agent's data": str(has.config.data_dir)}
    for name, path in taken.items():
        if config.path.is_relative_to(path) or has.config.data_dir.is_relative_to(config.path):
            raise Conflict(
                f"{config.path} overlaps with {name} ({path}).",
                code="folder-taken",
                hint="Choose a directory of its own for every hot folder, outside the data directory.",
            )


def _record(has: Services, who: Principal, action: str, entry: QuarantineEntry) -> None:
    with has.database.write(who.actor) as tx:
        audit.append(tx, action, "quarantine", entry.id, {"name": entry.name, "code": entry.code})


def _usable(value: Any) -> FolderConfig | None:
    """Stored settings; None for those of an older version that cannot be used (a finding names them)."""
    try:
        return FolderConfig.model_validate(value)
    except ValidationError:
        return None


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no hot folder {name!r}.", code="unknown-folder")
