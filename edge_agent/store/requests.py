"""Idempotency keys and the answers given for them.

Rules of this file:
- The key's row is made by `Database.write` in the transaction of the change; only its answer is added here.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.store.records import columns, one


@dataclass(frozen=True, slots=True)
class KeptReply:
    """`reply` is None while the change is made but its answer not recorded."""

    key: str
    request_sha256: str
    reply: str | None


def find_reply(reader: sqlite3.Connection, key: str) -> KeptReply | None:
    sql = f"SELECT {columns(KeptReply)} FROM idempotency_keys WHERE key = ?"
    return one(KeptReply, reader.execute(sql, (key,)))


def keep_reply(tx: sqlite3.Connection, key: str, request_sha256: str, reply: str, now: str) -> None:
    """Adds the answer; also for a request that found its change already made and wrote nothing."""
    tx.execute(
        """INSERT INTO idempotency_keys (key, request_sha256, created_at, reply) VALUES (?, ?, ?, ?)
           ON CONFLICT (key) DO UPDATE SET request_sha256 = excluded.request_sha256, reply = excluded.reply
           WHERE idempotency_keys.reply IS NULL""",
        (key, request_sha256, now, reply),
    )
