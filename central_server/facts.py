"""The facts the server takes in: which tables, which columns, in which order, and the SQL made from that.

Rules of this file:
- Pure data. Names come from here, never from a request; values are always parameters.
- A column's wire name is the edge's; where the server's own differs, `renamed` says so.
- Order of TABLES: parents before children, so a batch can be applied table by table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Table:
    """`columns`: wire name → PostgreSQL type. `parents`: wire column → the table its row must be in.

    `checksums` are the columns that an INSERT fills with the row's sha256, `extra` those the batch gives. `later`:
    columns that schema version 1 did not have. A device that is older, or froze the row when it was, does not send
    them: they are NULL then, so the database must take NULL there.
    """

    name: str
    columns: Mapping[str, str]
    parents: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    checksums: tuple[str, ...] = ("row_sha256",)
    extra: Mapping[str, str] = field(default_factory=dict)
    later: frozenset[str] = frozenset()

    @property
    def insert(self) -> str:
        """Inserts the rows of %(rows)s whose parents are there; returns the ids of those that are new.

        OFFSET 0 keeps each look-up one step of an index: else the planner, whose statistics lag behind a growing
        table, reads all of the parents for every batch.
        """
        names = [self.renamed.get(name, name) for name in self.columns]
        values = [f"r.{name}" for name in self.columns]
        parents = [
            f"(r.{column} IS NULL OR EXISTS (SELECT 1 FROM {parent} p WHERE p.id = r.{column} OFFSET 0))"
            for column, parent in self.parents.items()
        ]
        return f"""
            INSERT INTO {self.name} ({", ".join([*names, "device_id", *self.checksums, *self.extra])})
            SELECT {", ".join([*values, "%(device_id)s", *("r.row_sha256" for _ in self.checksums)])}
                   {"".join(f", %({name})s" for name in self.extra)}
            FROM jsonb_to_recordset(%(rows)s::jsonb) AS r ({self._record})
            WHERE {" AND ".join(parents) or "true"}
            ON CONFLICT (id) DO NOTHING RETURNING id::text"""

    @property
    def _record(self) -> str:
        columns = [f"{name} {kind}" for name, kind in self.columns.items()]
        return ", ".join([*columns, "row_sha256 bytea"])

    @property
    def present(self) -> str:
        """id and checksum (as first sent) of those of %(ids)s that are there."""
        return f"SELECT id::text, {self.checksums[0]}, device_id FROM {self.name} WHERE id = ANY(%(ids)s::uuid[])"


AT = "timestamptz"
TARGETS = Table(
    "inspection_targets",
    {
        "id": "uuid",
        "product_id": "uuid",
        "product_code": "text",
        "batch_id": "text",
        "serial_no": "text",
        "qr_code": "text",
        "created_at": AT,
        "updated_at": AT,
    },
)
SESSIONS = Table(
    "inspection_sessions",
    {
        "id": "uuid",
        "target_id": "uuid",
        "product_id": "uuid",
        "user_server_id": "uuid",
        "status": "text",
        "started_at": AT,
        "completed_at": AT,
        "work_day": "date",
        "source": "text",
        "accept_ai_ok": "boolean",
        "final_result": "text",
        "reason": "text",
        "master_version": "text",
        "criteria_snapshot": "text",
        "version": "integer",
        "updated_at": AT,
    },
    parents={"target_id": "inspection_targets"},
    renamed={"user_server_id": "user_id"},
    checksums=("insert_sha256", "row_sha256"),
    extra={"clock_offset_ms": "bigint"},
)
IMAGES = Table(
    "inspection_images",
    {
        "id": "uuid",
        "session_id": "uuid",
        "item_id": "uuid",
        "image_type": "text",
        "file_size": "bigint",
        "sha256": "text",
        "mime_type": "text",
        "width_px": "integer",
        "height_px": "integer",
        "captured_at": AT,
        "captured_by_server_id": "uuid",
        "source": "text",
        "origin": "text",
        "created_at": AT,
    },
    parents={"session_id": "inspection_sessions"},
    renamed={"captured_by_server_id": "captured_by"},
)
AI_RESULTS = Table(
    "ai_inspection_results",
    {
        "id": "uuid",
        "session_id": "uuid",
        "item_id": "uuid",
        "image_id": "uuid",
        "pipeline_id": "uuid",
        "pipeline_version": "text",
        "pipeline_sha256": "text",
        "criteria_sha256": "text",
        "model_sha256s": "text",
        "overall_result": "text",
        "confidence": "double precision",
        "processing_time": "double precision",
        "detailed_results": "text",
        "provider": "text",
        "sample_weight": "double precision",
        "created_at": AT,
    },
    parents={"session_id": "inspection_sessions", "image_id": "inspection_images"},
)
VERIFICATIONS = Table(
    "human_verification_results",
    {
        "id": "uuid",
        "session_id": "uuid",
        "item_id": "uuid",
        "image_id": "uuid",
        "user_server_id": "uuid",
        "final_result": "text",
        "notes": "text",
        "reason_code": "text",
        "saw_ai": "boolean",
        "checks": "text",
        "region": "text",
        "supersedes": "uuid",
        "verification_time": "double precision",
        "created_at": AT,
    },
    parents={"session_id": "inspection_sessions", "image_id": "inspection_images"},
    renamed={"user_server_id": "user_id"},
)
TABLES = {table.name: table for table in (TARGETS, SESSIONS, IMAGES, AI_RESULTS, VERIFICATIONS)}


# What an UPDATE of a session carries: the whole of what can change.
_CHANGEABLE = (
    "completed_at",
    "final_result",
    "id",
    "reason",
    "status",
    "updated_at",
    "user_server_id",
    "version",
)
# (table, operation) → the members its data must have, but for those of `Table.later`.
MEMBERS = {(name, "INSERT"): frozenset(table.columns) for name, table in TABLES.items()} | {
    (SESSIONS.name, "UPDATE"): frozenset(_CHANGEABLE)
}
