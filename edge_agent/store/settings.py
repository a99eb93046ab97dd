"""Settings that change while the agent runs: one JSON value per key in `system_config`.

Rules of this file:
- Keys are dotted (`folder.NAME`, `camera.NAME`, `scan.mapping`); who reads a value validates it.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any


def get(reader: sqlite3.Connection, key: str) -> Any:
    """The value, or None."""
    row = reader.execute("SELECT value FROM system_config WHERE key = ?", (key,)).fetchone()
    return None if row is None else json.loads(row[0])


def under(reader: sqlite3.Connection, prefix: str) -> dict[str, Any]:
    """Every value whose key starts with `prefix.`, by the rest of the key."""
    rows = reader.execute(
        "SELECT key, value FROM system_config WHERE key >= ? AND key < ? ORDER BY key",
        (f"{prefix}.", f"{prefix}/"),
    )
    return {row["key"][len(prefix) + 1 :]: json.loads(row["value"]) for row in rows}


def put(tx: sqlite3.Connection, key: str, value: Any, now: str) -> None:
    tx.execute(
        """INSERT INTO system_config (key, value, updated_at) VALUES (?, ?, ?)
           ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at""",
        (key, json.dumps(value, ensure_ascii=False, sort_keys=True), now),
    )


def remove(tx: sqlite3.Connection, key: str) -> bool:
    return tx.execute("DELETE FROM system_config WHERE key = ?", (key,)).rowcount > 0
