"""The rows of sync_state as stored: what each space, lane and switch of the synchronisation has come to."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from edge_agent.store.records import columns, many


@dataclass(frozen=True, slots=True)
class StateRow:
    """`detail` is the row's JSON document."""

    space: str
    cursor: int
    server_epoch: str | None
    last_sync_timestamp: str | None
    detail: dict[str, Any]


def list_all(reader: sqlite3.Connection) -> list[StateRow]:
    sql = f"SELECT {columns(StateRow)} FROM sync_state ORDER BY space"
    return many(StateRow, reader.execute(sql))
