"""What the centre holds, as the values a change is planned on: the same that a device plans an import on.

Rules of this file:
- Reads only. Definitions and criteria are canonical text, so that equal documents compare equal.
"""

from __future__ import annotations

import json
from typing import Any

from central_server.store import masters as store
from central_server.store.database import Connection
from edge_agent.inference.documents import canonical_bytes
from edge_agent.masters.changes import CALIBRATIONS, ITEMS, KEYS, MODELS, PIPELINES, PRODUCTS, Present, key_of
from edge_agent.models import InspectionType, Item, ModelPackage, Pipeline, Product

ASSETS = "assets"
DOCUMENTS = {PIPELINES: "definition", ITEMS: "criteria"}


def read_present(tx: Connection) -> Present:
    """What a change is planned on. Calibrations belong to devices: there are none here."""
    tables: dict[str, dict[tuple[Any, ...], store.Row]] = {table: {} for table in (CALIBRATIONS, MODELS)}
    for table in KEYS:
        if table not in tables:
            tables[table] = {key_of(table, row): row for row in map(_canonical(table), store.rows(tx, table))}
    return Present(
        tables=tables,
        packages=[package_of(row) for row in store.rows(tx, MODELS)],
        imported=store.imported_entries(tx),
        assets=frozenset(row["sha256"] for row in store.rows(tx, ASSETS)),
    )


def _canonical(table: str) -> Any:
    name = DOCUMENTS.get(table)
    if name is None:
        return lambda row: row
    return lambda row: row | {name: canonical_bytes(json.loads(row[name])).decode()}


def package_of(row: store.Row) -> ModelPackage:
    return ModelPackage(
        name=row["name"],
        version=row["version"],
        task=row["task"],
        model_sha256=row["model_sha256"],
        manifest=json.loads(row["manifest"]),
        golden_results=[],
        installed_at=row["created_at"],
        activated_at=None,
        is_active=bool(row["is_active"]),
    )


def products_of(present: Present) -> list[Product]:
    """The active ones, by code."""
    rows = sorted(present.tables[PRODUCTS].values(), key=lambda row: str(row["product_code"]))
    names = Product.__dataclass_fields__
    return [
        Product(**{name: row[name] for name in names} | {"is_active": True})
        for row in rows
        if row["is_active"]
    ]


def items_of(present: Present, product_id: str) -> list[Item]:
    """The active ones of a product, in their order."""
    rows = [
        row for row in present.tables[ITEMS].values() if row["target_id"] == product_id and row["is_active"]
    ]
    return [_item(row) for row in sorted(rows, key=lambda row: (row["order_sequence"], row["item_code"]))]


def _item(row: store.Row) -> Item:
    values = {name: row[name] for name in Item.__dataclass_fields__}
    values |= {name: bool(row[name]) for name in ("ai_enabled", "required", "is_active")}
    values |= {
        "criteria": json.loads(row["criteria"]),
        "inspection_type": InspectionType(row["inspection_type"]),
    }
    return Item(**values)


def pipelines_of(present: Present) -> list[Pipeline]:
    """The active ones, by code."""
    rows = sorted(present.tables[PIPELINES].values(), key=lambda row: str(row["code"]))
    names = Pipeline.__dataclass_fields__
    return [
        Pipeline(**{name: row[name] for name in names} | {"definition": json.loads(row["definition"])})
        for row in rows
        if row["is_active"]
    ]
