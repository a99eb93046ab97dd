"""Backup and restore of a whole installation.

Rules of this file:
- Names only: `manifest` says what a backup is, `make` makes it, `restore` brings it back,
  `rotation` says which have had their time.
"""

from edge_agent.backup.make import BackupReport, backup
from edge_agent.backup.manifest import Manifest, verify_backup
from edge_agent.backup.restore import RestoreReport, finish_restore, restore
from edge_agent.backup.rotation import backup_name, in_order, made_at, plan_prune

__all__ = [
    "BackupReport",
    "Manifest",
    "RestoreReport",
    "backup",
    "backup_name",
    "finish_restore",
    "in_order",
    "made_at",
    "plan_prune",
    "restore",
    "verify_backup",
]
