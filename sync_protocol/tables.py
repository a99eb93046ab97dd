"""The rows a device pulls: which tables each space has, and which columns, of which kind, their wire rows have.

Rules of this file:
- Pure data. Columns stand in the order of canonical JSON, so that a row's members can be compared as one value.
- A column is called what the edge's column is called; where the edge's table has it under another key, `key` says
  which member is the row's id.
- Parents come before children.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEXT: tuple[type, ...] = (str,)
NUMBER: tuple[type, ...] = (int,)
TEXT_OR_NONE: tuple[type, ...] = (str, type(None))


@dataclass(frozen=True, slots=True)
class PulledTable:
    """`kinds`: wire column → the types its values may have. `unique`: what no two rows share, besides the id.
    `is_kept_whole`: no table of the device has all these columns, it keeps the wire row as it came. `later`: columns
    that schema version 1 did not have, oldest first; an older server's row is without the last of them, which means
    None."""

    name: str
    space: str
    kinds: Mapping[str, tuple[type, ...]]
    key: str = "id"
    unique: tuple[tuple[str, ...], ...] = ()
    is_kept_whole: bool = False
    later: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.kinds)

    @property
    def forms(self) -> tuple[tuple[str, ...], ...]:
        """The columns of every version, the newest first."""
        counts = range(len(self.later), -1, -1)
        return tuple(tuple(n for n in self.kinds if n not in self.later[count:]) for count in counts)


USERS = PulledTable(
    "users",
    "masters",
    {
        "created_at": TEXT,
        "email": TEXT_OR_NONE,
        "full_name": TEXT_OR_NONE,
        "is_active": NUMBER,
        "password_hash": TEXT,
        "role": TEXT,
        "server_id": TEXT,
        "updated_at": TEXT,
        "username": TEXT,
    },
    key="server_id",
    unique=(("username",), ("email",)),
)
MODEL_PACKAGES = PulledTable(
    "model_packages",
    "masters",
    {
        "archive_sha256": TEXT,
        "archive_size": NUMBER,
        "created_at": TEXT,
        "id": TEXT,
        "is_active": NUMBER,
        "manifest": TEXT,
        "model_sha256": TEXT,
        "name": TEXT,
        "task": TEXT,
        "updated_at": TEXT,
        "version": TEXT,
    },
    is_kept_whole=True,
)
ASSETS = PulledTable(
    "assets",
    "masters",
    {"created_at": TEXT, "id": TEXT, "sha256": TEXT, "size": NUMBER},
    is_kept_whole=True,
)
PIPELINES = PulledTable(
    "pipelines",
    "masters",
    {
        "code": TEXT,
        "created_at": TEXT,
        "created_by": TEXT_OR_NONE,
        "definition": TEXT,
        "definition_version": TEXT,
        "description": TEXT_OR_NONE,
        "id": TEXT,
        "is_active": NUMBER,
        "name": TEXT,
        "sha256": TEXT,
        "updated_at": TEXT,
        "version": NUMBER,
    },
    unique=(("code",),),
)
PRODUCTS = PulledTable(
    "inspection_targets_master",
    "masters",
    {
        "created_at": TEXT,
        "created_by": TEXT_OR_NONE,
        "description": TEXT_OR_NONE,
        "id": TEXT,
        "is_active": NUMBER,
        "product_code": TEXT,
        "product_name": TEXT,
        "updated_at": TEXT,
        "version": TEXT,
    },
    unique=(("product_code",),),
)
ITEMS = PulledTable(
    "inspection_items_master",
    "masters",
    {
        "ai_enabled": NUMBER,
        "created_at": TEXT,
        "criteria": TEXT,
        "id": TEXT,
        "inspection_type": TEXT,
        "is_active": NUMBER,
        "item_code": TEXT,
        "item_name": TEXT,
        "order_sequence": NUMBER,
        "pipeline_id": TEXT_OR_NONE,
        "required": NUMBER,
        "target_id": TEXT,
        "updated_at": TEXT,
    },
    unique=(("target_id", "item_code"),),
)
DECISIONS = PulledTable(
    "central_decisions",
    "decisions",
    {
        "decided_at": TEXT,
        "decided_by": TEXT,
        "final_result": TEXT,
        "id": TEXT,
        "item_id": TEXT_OR_NONE,
        "reason": TEXT,
        "session_id": TEXT,
        "version": NUMBER,
    },
)
PULLED = {
    table.name: table for table in (USERS, MODEL_PACKAGES, ASSETS, PIPELINES, PRODUCTS, ITEMS, DECISIONS)
}
SPACES = {
    space: {name: table for name, table in PULLED.items() if table.space == space}
    for space in ("masters", "decisions")
}
"""Space → its tables by name, in the order in which devices pull them."""
