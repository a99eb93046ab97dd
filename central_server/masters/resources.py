"""The kinds of masters an operator names: where each is kept, what it is called, what of it is shown.

Rules of this file:
- Pure. What is shown may be sent back (`bodies.py`); a password hash is never shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from edge_agent.masters.changes import ITEMS, MODELS, PIPELINES, PRODUCTS, USERS

KindName = Literal["product", "item", "pipeline", "component", "user", "model"]
COMPONENTS, MASTERS_SPACE = "components", "masters"
BOOLEANS = ("is_active", "ai_enabled", "required")
PARSED = ("definition", "criteria", "manifest")


class Kind(NamedTuple):
    """`key`: the members that name one; `hidden` are not shown."""

    name: KindName
    table: str
    space: str
    key: tuple[str, ...]
    hidden: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("product", PRODUCTS, MASTERS_SPACE, ("product_code",)),
        Kind("item", ITEMS, MASTERS_SPACE, ("product_code", "item_code"), ("target_id", "pipeline_id")),
        Kind("pipeline", PIPELINES, MASTERS_SPACE, ("code",)),
        Kind("component", COMPONENTS, COMPONENTS, ("name", "version")),
        Kind("user", USERS, MASTERS_SPACE, ("username",), ("password_hash", "server_id")),
        Kind("model", MODELS, MASTERS_SPACE, ("name", "version")),
    )
}


def shown(kind: Kind, row: Mapping[str, Any], codes: Mapping[str, str]) -> dict[str, Any]:
    """The row as its document. `codes`: id → code of products and pipelines."""
    document = {name: value for name, value in row.items() if name not in kind.hidden}
    document |= {name: bool(row[name]) for name in BOOLEANS if name in row}
    document |= {name: json.loads(row[name]) for name in PARSED if isinstance(row.get(name), str)}
    if kind.name == "item":
        document |= {"product_code": codes[row["target_id"]], "pipeline": codes.get(row["pipeline_id"] or "")}
    if kind.name == "user":
        document |= {
            "id": row["server_id"],
            "can_log_in": bool(row["password_hash"]) and bool(row["is_active"]),
        }
    return document


def key_of(kind: Kind, document: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(document[name]) for name in kind.key)
