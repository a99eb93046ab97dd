"""Masters as this device holds them: products, items, pipelines, model packages, calibrations.

Rules of this file:
- Rows are put by id and never deleted: history points at them. Who calls `put_*` has verified them.
- SQL only; nothing here decides.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from edge_agent.models import Item, ModelPackage, Pipeline, Product
from edge_agent.store.records import columns, many, one


def put(tx: sqlite3.Connection, table: str, row: Mapping[str, Any], key: tuple[str, ...] = ("id",)) -> bool:
    """Inserts the row, or updates it where it differs; True if anything changed.

    `created_at` is kept from the first time. Table and column names come from our own code.
    """
    names = list(row)
    changing = [name for name in names if name not in (*key, "created_at", "updated_at")]
    differs = " OR ".join(f"{table}.{name} IS NOT excluded.{name}" for name in changing)
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name not in (*key, "created_at"))
    sql = (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets} WHERE {differs}"
    )
    return tx.execute(sql, tuple(row.values())).rowcount > 0


def rows(reader: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """Every row of a master table as stored, inactive ones too; the table name comes from our own code."""
    return [dict(row) for row in reader.execute(f"SELECT * FROM {table} ORDER BY 1")]


def count(reader: sqlite3.Connection, table: str) -> int:
    """How many rows of a master table are in use; the table name comes from our own code."""
    where = "" if table == "calibrations" else "WHERE is_active = 1"
    return int(reader.execute(f"SELECT count(*) FROM {table} {where}").fetchone()[0])


def find_product(reader: sqlite3.Connection, product_code: str) -> Product | None:
    sql = f"SELECT {columns(Product)} FROM inspection_targets_master WHERE product_code = ? AND is_active = 1"
    return one(Product, reader.execute(sql, (product_code,)))


def list_products(reader: sqlite3.Connection) -> list[Product]:
    sql = (
        f"SELECT {columns(Product)} FROM inspection_targets_master WHERE is_active = 1 ORDER BY product_code"
    )
    return many(Product, reader.execute(sql))


def list_items(reader: sqlite3.Connection, product_id: str) -> list[Item]:
    """The product's active items in the order in which they are inspected."""
    sql = (
        f"SELECT {columns(Item)} FROM inspection_items_master "
        "WHERE target_id = ? AND is_active = 1 ORDER BY order_sequence, item_code"
    )
    return many(Item, reader.execute(sql, (product_id,)))


def get_item(reader: sqlite3.Connection, item_id: str) -> Item | None:
    sql = f"SELECT {columns(Item)} FROM inspection_items_master WHERE id = ?"
    return one(Item, reader.execute(sql, (item_id,)))


def list_pipelines(reader: sqlite3.Connection) -> list[Pipeline]:
    sql = f"SELECT {columns(Pipeline)} FROM pipelines WHERE is_active = 1 ORDER BY code"
    return many(Pipeline, reader.execute(sql))


def list_models(reader: sqlite3.Connection) -> list[ModelPackage]:
    sql = f"SELECT {columns(ModelPackage)} FROM model_packages ORDER BY name, installed_at, version"
    return many(ModelPackage, reader.execute(sql))


def get_model(reader: sqlite3.Connection, name: str, version: str) -> ModelPackage | None:
    sql = f"SELECT {columns(ModelPackage)} FROM model_packages WHERE name = ? AND version = ?"
    return one(ModelPackage, reader.execute(sql, (name, version)))


def activate_model(tx: sqlite3.Connection, name: str, version: str, now: str) -> None:
    """Makes this version the one that pipelines without a version mean."""
    tx.execute("UPDATE model_packages SET is_active = 0 WHERE name = ? AND is_active = 1", (name,))
    tx.execute(
        "UPDATE model_packages SET is_active = 1, activated_at = ? WHERE name = ? AND version = ?",
        (now, name, version),
    )


def deactivate_model(tx: sqlite3.Connection, name: str, version: str) -> None:
    """Pipelines that name no version mean this one no longer."""
    tx.execute("UPDATE model_packages SET is_active = 0 WHERE name = ? AND version = ?", (name, version))


def previous_model(reader: sqlite3.Connection, name: str) -> ModelPackage | None:
    """The version that was active before the present one."""
    sql = (
        f"SELECT {columns(ModelPackage)} FROM model_packages "
        "WHERE name = ? AND is_active = 0 AND activated_at IS NOT NULL ORDER BY activated_at DESC LIMIT 1"
    )
    return one(ModelPackage, reader.execute(sql, (name,)))


def list_calibrations(reader: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = reader.execute("SELECT * FROM calibrations ORDER BY name")
    return [{**dict(row), "detail": json.loads(row["detail"])} for row in rows]
