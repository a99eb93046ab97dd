"""Names of backups, and which of them have had their time.

Rules of this file:
- Pure; only names of exactly our form are ever pruned.
- A name begins with a number that goes on from the highest there is, and the number alone says which backup is
  newer: after the clock was set back the time in a name does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

NAME = re.compile(r"backup-(\d{6})-(\d{8}T\d{6}Z)")


def backup_name(names: Iterable[str], unix_s: float) -> str:
    """`backup-000042-20261123T040506Z`, for one made at that instant beside those of these names."""
    newest = max((number for name in names if (number := number_of(name)) is not None), default=0)
    return f"backup-{newest + 1:06}-{datetime.fromtimestamp(unix_s, UTC):%Y%m%dT%H%M%SZ}"


def number_of(name: str) -> int | None:
    """None if it is no backup's name."""
    return int(match[1]) if (match := NAME.fullmatch(name)) and made_at(name) is not None else None


def made_at(name: str) -> float | None:
    """When the backup of that name was made, Unix seconds by the clock of then; None if it is no backup's name."""
    match = NAME.fullmatch(name)
    try:
        return datetime.strptime(f"{match[2]}+0000", "%Y%m%dT%H%M%SZ%z").timestamp() if match else None
    except ValueError:
        return None


def in_order(names: Iterable[str]) -> list[str]:
    """The backups among these names, oldest first."""
    return sorted(name for name in names if number_of(name) is not None)


def plan_prune(names: Iterable[str], keep: int) -> list[str]:
    """The backups to delete so that the newest `keep` stay, oldest first; none at all for `keep` < 1."""
    backups = in_order(names)
    return backups[: max(0, len(backups) - keep)] if keep >= 1 else []
