"""What is forgotten of the devices' operations once it is old (docs/adr/0017-what-is-forgotten.md).

Rules of this file:
- A few thousand rows a transaction, so that batches of devices never wait.
- What waits for a person is kept, however old.
"""

from __future__ import annotations

from collections.abc import Mapping

from central_server.store.database import Database

AT_ONCE = 10_000
# By op_id, which begins with the instant the operation was made, the primary key finds what is old; what came late
# (a device that was away) stays as long as what came in time.
FORGET: Mapping[str, str] = {
    "sync_ops": """
        DELETE FROM sync_ops WHERE (op_id, device_id) IN (
            SELECT op_id, device_id FROM sync_ops
            WHERE op_id < uuid7_floor(now() - make_interval(days => %(days)s))
                  AND applied_at < now() - make_interval(days => %(days)s) ORDER BY op_id LIMIT %(at_once)s)""",
    "tauri_sync_queue": """
        DELETE FROM tauri_sync_queue WHERE id IN (SELECT id FROM tauri_sync_queue ORDER BY id LIMIT %(at_once)s)
        AND processed_at < now() - make_interval(days => %(days)s)""",
    "sync_rejections": """
        DELETE FROM sync_rejections WHERE (op_id, device_id) IN (
            SELECT op_id, device_id FROM sync_rejections
            WHERE resolved_at < now() - make_interval(days => %(days)s) LIMIT %(at_once)s)""",
}


def forget_operations(database: Database, older_than_days: int, at_once: int = AT_ONCE) -> dict[str, int]:
    """Table → how many of its rows are gone."""
    return {table: _forget(database, sql, older_than_days, at_once) for table, sql in FORGET.items()}


def _forget(database: Database, sql: str, days: int, at_once: int) -> int:
    total, gone = 0, at_once
    while gone == at_once:
        with database.write() as tx:
            gone = tx.execute(sql.encode(), {"days": days, "at_once": at_once}).rowcount
        total += gone
    return total
