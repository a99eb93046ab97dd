"""The server's own state: which history it tells, and figures for people."""

from __future__ import annotations

from typing import Any

from central_server.store.database import Connection, Database
from central_server.store.listening import CHANNEL, read_heads

RENEW = "UPDATE server_state SET server_epoch = gen_random_uuid() RETURNING server_epoch::text"
FIGURES = """
    SELECT current_setting('server_version'),
           (SELECT max(name) FROM schema_migrations),
           (SELECT count(*) FROM devices WHERE revoked_at IS NULL),
           (SELECT count(*) FROM devices WHERE revoked_at IS NOT NULL),
           (SELECT max(last_seen_at) FROM devices),
           (SELECT count(*) FROM sync_rejections WHERE resolved_at IS NULL),
           (SELECT count(*) FROM conflict_log WHERE resolved_at IS NULL)"""
NAMES = (
    *("postgresql", "newest_migration", "devices", "devices_revoked"),
    *("last_seen_at", "rejected_operations", "open_conflicts"),
)


def renew_epoch(tx: Connection) -> str:
    """Begins another history: every device pulls afresh and pushes again what is missing. Returns its id."""
    row = tx.execute(RENEW).fetchone()
    assert row is not None
    tx.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
    return str(row[0])


def figures(tx: Connection) -> dict[str, Any]:
    row = tx.execute(FIGURES).fetchone()
    assert row is not None
    heads = read_heads(tx)
    named = dict(zip(NAMES, row, strict=True))
    return {"server_epoch": heads.server_epoch, "heads": dict(heads.by_space)} | named


def require_answer(database: Database) -> None:
    """Raises Unavailable (`database-unavailable`) when the database does not answer."""
    with database.snapshot() as tx:
        tx.execute("SELECT 1")
