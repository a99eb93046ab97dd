"""Names of backups, and which of them have had their time.

Rules of this file:
- Pure; the name alone says when a backup was made, and only names of exactly that form are ever pruned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

NAME = re.compile(r"backup-(\d{8}T\d{6}Z)")


def backup_name(unix_s: float) -> str:
    """`backup-20261123T040506Z`: sorts by time."""
    return f"backup-{datetime.fromtimestamp(unix_s, UTC):%Y%m%dT%H%M%SZ}"


def made_at(name: str) -> float | None:
    """When the backup of that name was made, Unix seconds; None if it is no backup's name."""
    match = NAME.fullmatch(name)
    try:
        return datetime.strptime(f"{match[1]}+0000", "%Y%m%dT%H%M%SZ%z").timestamp() if match else None
    except ValueError:
        return None


def plan_prune(names: Iterable[str], keep: int) -> list[str]:
    """The backups to delete so that the newest `keep` stay, oldest first; none at all for `keep` < 1."""
    backups = sorted(name for name in names if made_at(name) is not None)
    return backups[: max(0, len(backups) - keep)] if keep >= 1 else []
