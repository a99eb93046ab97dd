"""Backup and restore of a whole installation.

Rules of this file:
- Only names; `manifest` says what a backup is, `make` makes one, `restore` brings one back, `rotation` ends one.
"""

from edge_agent.backup.make import BackupReport, backup
from edge_agent.backup.manifest import Manifest, verify_backup
from edge_agent.backup.restore import RestoreReport, finish_restore, restore
from edge_agent.backup.rotation import backup_name, made_at, plan_prune

__all__ = [
    "BackupReport",
    "Manifest",
    "RestoreReport",
    "backup",
    "backup_name",
    "finish_restore",
    "made_at",
    "plan_prune",
    "restore",
    "verify_backup",
]
