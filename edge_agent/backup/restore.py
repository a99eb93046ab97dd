"""Bringing a backup back: verified first, swapped in by renames, nothing of the old deleted.

Rules of this file:
- The backup is copied beside the data, verified again there and opened (migrated, the restore written into
  its audit trail) before anything in use is touched. Until then an interruption changes nothing.
- The swap is a list of renames written down in `restore.json` first: whatever interrupts it, `finish_restore`
  goes on where it stopped. The daemon calls it at start, under the lock, before it opens the database.
- Replaced files go to `replaced-TIME/` in the data directory, not beside it: it may be a mount point or lie
  in a directory the agent may not write to, and renames must not cross disks.
- Quarantine, tokens and backups are no part of a backup and stay where they are. A backup without images
  leaves the images in place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.backup.make import sweep
from edge_agent.backup.manifest import DATABASE_FILE, Manifest, Progress, damaged, file_faults, verify_backup
from edge_agent.clock import Clock
from edge_agent.disk import disk_errors, sync_directory, sync_file
from edge_agent.errors import Damaged
from edge_agent.lock import data_dir_lock
from edge_agent.models import AGENT, Actor
from edge_agent.store import audit
from edge_agent.store.schema import open_database

JOURNAL = "restore.json"
STAGED = ".restore.partial"
LOGS = ("edge.db-wal", "edge.db-shm")


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """`replaced`: where the data that was there before lies now; None if there was none."""

    manifest: Manifest
    replaced: Path | None


def restore(
    source: Path,
    data_dir: Path,
    *,
    clock: Clock,
    pid: int,
    device_type: str,
    app_version: str,
    actor: Actor = AGENT,
    progress: Progress = lambda step, done, of: None,
) -> RestoreReport:
    """Makes the backup in `source` the installation in `data_dir`.

    `progress` may raise to stop: before the step `swap` nothing has changed; from it on, the next start or
    restore finishes it. Raises Busy (`already-running`), NotFound, Damaged (`backup-damaged`), Unavailable
    (`backup-newer`, `disk-full`).
    """
    manifest = verify_backup(source, progress)
    with disk_errors():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with data_dir_lock(data_dir, pid), disk_errors():
        finish_restore(data_dir)
        sweep(data_dir)
        staged = data_dir / STAGED
        try:
            _stage(source, staged, manifest, progress)
            _record(staged, manifest, clock, device_type, app_version, actor)
            replaced = _plan(data_dir, manifest, clock, staged)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        progress("swap", 0, 1)
        finish_restore(data_dir)
        progress("swap", 1, 1)
    return RestoreReport(manifest, replaced if replaced.exists() else None)


def finish_restore(data_dir: Path) -> bool:
    """Completes a restore whose swap was interrupted; True if there was one. The caller holds the lock."""
    journal = data_dir / JOURNAL
    if not journal.exists():
        return False
    try:
        plan = json.loads(journal.read_text("utf-8"))
        replaced, old, new = data_dir / Path(plan["replaced"]).name, plan["old"], plan["new"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{journal} cannot be read ({error!r}).", code="restore-unfinished") from None
    with disk_errors():
        _swap(data_dir, replaced, old, new)
        journal.unlink()
        shutil.rmtree(data_dir / STAGED, ignore_errors=True)
        sync_directory(data_dir)
    return True


def _stage(source: Path, staged: Path, manifest: Manifest, progress: Progress) -> None:
    """A copy of the backup, never links: the installation's files are its own. Verified as it is written."""
    staged.mkdir(mode=0o700)
    for done, (path, entry) in enumerate(manifest.files.items()):
        progress("files", done, len(manifest.files))
        target = staged / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(source / path, target)
        sync_file(target)
        if faults := file_faults(staged, path, entry):
            raise damaged(faults[0])
    for directory in {(staged / path).parent for path in manifest.files}:
        sync_directory(directory)


def _record(
    staged: Path, manifest: Manifest, clock: Clock, device_type: str, app_version: str, actor: Actor
) -> None:
    """Migrates the staged database and writes the restore into its audit trail."""
    database = open_database(staged / DATABASE_FILE, clock, device_type, app_version)
    try:
        with database.write(actor) as tx:
            detail = {"backup_created_at": manifest.created_at, "backup_app_version": manifest.app_version}
            audit.append(tx, "restore", "installation", "", detail)
    finally:
        database.close()


def _plan(data_dir: Path, manifest: Manifest, clock: Clock, staged: Path) -> Path:
    """Writes the swap down, durably; from here on it will be finished."""
    new = sorted(path.name for path in staged.iterdir())
    leaving = {*new, *LOGS, "models", "assets", *(("images", "derived") if manifest.include_images else ())}
    old = sorted(name for name in leaving if (data_dir / name).exists())
    name = f"replaced-{clock.now().replace(':', '').replace('.', '')}"
    draft = data_dir / f"{JOURNAL}.draft"
    draft.write_text(json.dumps({"replaced": name, "old": old, "new": new}), "utf-8")
    sync_file(draft)
    os.replace(draft, data_dir / JOURNAL)
    sync_directory(data_dir)
    return data_dir / name


def _swap(data_dir: Path, replaced: Path, old: Sequence[str], new: Sequence[str]) -> None:
    """Each name out, then in; a name already in `replaced` went out before, one not staged came in before."""
    staged = data_dir / STAGED
    if old:
        replaced.mkdir(mode=0o700, exist_ok=True)
    for name in old:
        if not (replaced / name).exists() and (data_dir / name).exists():
            os.replace(data_dir / name, replaced / name)
    for name in new:
        if (staged / name).exists():
            os.replace(staged / name, data_dir / name)
