"""What the synchronisation remembers besides its cursors: one JSON document per name in `sync_state.detail`.

Rules of this file:
- `device`, `paused` and names with a colon (`lane:push`) are ours; a space's own row belongs to its pull.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any


def get(reader: sqlite3.Connection, name: str) -> dict[str, Any]:
    """The document; empty when nothing was ever kept."""
    row = reader.execute("SELECT detail FROM sync_state WHERE space = ?", (name,)).fetchone()
    return json.loads(row[0]) if row else {}


def put(tx: sqlite3.Connection, name: str, document: Mapping[str, Any]) -> None:
    tx.execute(
        """INSERT INTO sync_state (space, detail) VALUES (?, ?)
           ON CONFLICT (space) DO UPDATE SET detail = excluded.detail""",
        (name, json.dumps(document, ensure_ascii=False, sort_keys=True)),
    )


def cursors(reader: sqlite3.Connection) -> dict[str, int]:
    """How far each space has been pulled."""
    sql = """SELECT space, cursor FROM sync_state
             WHERE space NOT LIKE '%:%' AND space NOT IN ('device', 'paused')"""
    return {row["space"]: row["cursor"] for row in reader.execute(sql)}
