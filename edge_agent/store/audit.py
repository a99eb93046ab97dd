"""The audit trail: who did what, as a chain that shows any later change.

Rules of this file:
- Facts enter the trail by trigger (`sync_queue_audit`); `append` is for everything else people do.
- The chain is defined once, by `store.database.chain`; `verify` recomputes it from the first entry.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge_agent.store.database import chain
from edge_agent.store.records import columns, many

MAX_SEQ = 2**62


@dataclass(frozen=True, slots=True)
class AuditEntry:
    seq: int
    created_at: str
    actor: str
    user_id: int | None
    action: str
    entity_type: str
    entity_id: str
    content_sha256: str
    detail: str
    sha256: str


def append(
    tx: sqlite3.Connection,
    action: str,
    entity_type: str,
    entity_id: str,
    detail: dict[str, Any] | None = None,
) -> None:
    """Adds an entry for the transaction's actor; must run on the writing connection."""
    text = json.dumps(detail, ensure_ascii=False, sort_keys=True) if detail else ""
    tx.execute(
        """
        INSERT INTO audit_log (created_at, actor, user_id, action, entity_type, entity_id, detail, sha256)
        SELECT at, actor(), actor_user_id(), ?1, ?2, ?3, ?4,
               chain(at, actor(), actor_user_id(), ?1, ?2, ?3, '', ?4,
                     (SELECT sha256 FROM audit_log ORDER BY seq DESC LIMIT 1))
        FROM (SELECT now() AS at)
        """,
        (action, entity_type, entity_id, text),
    )


def list_entries(
    reader: sqlite3.Connection,
    *,
    before_seq: int = MAX_SEQ,
    entity: tuple[str, str] | None = None,
    limit: int = 100,
) -> list[AuditEntry]:
    """Newest first, below `before_seq`; of one entity (type, id) if named."""
    where, args = ("AND entity_type = ? AND entity_id = ?", entity) if entity else ("", ())
    sql = f"SELECT {columns(AuditEntry)} FROM audit_log WHERE seq < ? {where} ORDER BY seq DESC LIMIT ?"
    return many(AuditEntry, reader.execute(sql, (before_seq, *args, limit)))


def verify(reader: sqlite3.Connection) -> Iterator[str]:
    """A sentence for every broken link; nothing when the trail is whole."""
    previous: str | None = None
    expected_seq = 1
    for row in reader.execute(f"SELECT {columns(AuditEntry)} FROM audit_log ORDER BY seq"):
        if row["seq"] != expected_seq:
            yield f"entries {expected_seq} to {row['seq'] - 1} are missing"
        fields = [row[name] for name in AuditEntry.__slots__[1:-1]]  # all but seq and sha256
        if chain(*fields, previous) != row["sha256"]:
            yield f"entry {row['seq']} ({row['action']} {row['entity_type']} {row['entity_id']}) was changed"
        previous, expected_seq = row["sha256"], row["seq"] + 1
