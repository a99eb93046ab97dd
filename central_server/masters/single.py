"""One master changed is a bundle of that one thing: planned and verified by the very code that imports bundles.

Rules of this file:
- Pure: what is present comes in, a row and its problems go out.
- A product comes with its items as they are, because a bundle that leaves one out deactivates it; their own faults
  are not this change's.
- Problems point into the document that was sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from central_server.masters.bodies import ItemBody, PipelineBody, ProductBody, UserBody
from central_server.masters.present import items_of
from edge_agent.archive import Unpacked
from edge_agent.errors import Problem
from edge_agent.masters.bundle import Bundle, ItemRow, Placed, ProductRow, UserRow, duplicates
from edge_agent.masters.changes import ITEMS, PIPELINES, PRODUCTS, USERS, Present, Row, plan_changes
from edge_agent.masters.verify import verify_bundle
from edge_agent.models import Item

SENT, SIBLINGS = "", "items.json"


@dataclass(frozen=True, slots=True)
class Planned:
    """`row`: what to store, wire names; None if the problems left none."""

    row: Row | None
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def plan_product(body: ProductBody, old: Row | None, present: Present, now: str) -> Planned:
    product = ProductRow.model_construct(**_fields(ProductRow, body) | _id(body.id, old))
    siblings = items_of(present, old["id"]) if old else []
    bundle = _bundle(present, product, siblings)
    bundle.products = [Placed(SENT, "", product)]
    return _planned(bundle, PRODUCTS, present, now, is_active=body.is_active)


def plan_item(body: ItemBody, old: Row | None, product: Row, present: Present, now: str) -> Planned:
    """`product` is the present row of the product the item is of."""
    item = ItemRow.model_construct(**_fields(ItemRow, body) | _id(body.id, old))
    siblings = [one for one in items_of(present, product["id"]) if old is None or one.id != old["id"]]
    bundle = _bundle(present, ProductRow.model_construct(**_fields(ProductRow, product)), siblings)
    bundle.items.append(Placed(SENT, "", item))
    return _planned(bundle, ITEMS, present, now, is_active=body.is_active)


def plan_pipeline(code: str, body: PipelineBody, old: Row | None, present: Present, now: str) -> Planned:
    bundle = Bundle(Unpacked(Path(), ""))
    bundle.pipelines = {code: body.definition}
    planned = _planned(bundle, PIPELINES, present, now, is_active=body.is_active)
    if planned.row is None:
        return planned
    kept = (
        {"name": old["name"], "description": old["description"]}
        if old
        else {"name": code, "description": None}
    )
    stated = {name: getattr(body, name) for name in ("name", "description") if name in body.model_fields_set}
    return replace(
        planned, row=planned.row | kept | {k: v for k, v in stated.items() if v is not None or k != "name"}
    )


def plan_user(body: UserBody, password_hash: str, old: Row | None, present: Present, now: str) -> Planned:
    fields = body.model_dump(include={"username", "full_name", "email", "is_active"})
    own = {"server_id": old["server_id"] if old else body.id, "role": body.role.value}
    bundle = Bundle(Unpacked(Path(), ""))
    bundle.users = [Placed(SENT, "", UserRow.model_construct(**fields | own, password_hash=password_hash))]
    return _planned(bundle, USERS, replace(present, imported={}), now, is_active=body.is_active)


def _planned(bundle: Bundle, table: str, present: Present, now: str, *, is_active: bool) -> Planned:
    bundle.problems += duplicates(bundle)
    changes = plan_changes(bundle, [], present, now)
    verified = verify_bundle(bundle, changes, [], present)
    problems = tuple(filter(None, map(_sent, verified.problems)))
    rows = [change.row for change in changes.rows if change.table == table]
    row = rows[-1] if rows and not problems else None  # what was sent stands last
    warnings = tuple(problem.message for problem in verified.warnings)
    return Planned(None if row is None else row | {"is_active": int(is_active)}, problems, warnings)


def _sent(problem: Problem) -> Problem | None:
    """The problem with its place in the document sent; None if it is a sibling's own."""
    if problem.file == SIBLINGS:
        return None
    if problem.file.startswith("pipelines/"):
        return replace(problem, file=SENT, pointer=f"/definition{problem.pointer}")
    return replace(problem, file=SENT)


def _bundle(present: Present, product: ProductRow, siblings: Iterable[Item]) -> Bundle:
    codes = {row["id"]: row["code"] for row in present.tables[PIPELINES].values()}
    bundle = Bundle(Unpacked(Path(), ""), stated=frozenset({product.product_code}))
    bundle.products = [Placed("products.json", "/0", product)]
    for number, item in enumerate(siblings):
        row = ItemRow.model_construct(
            **{name: getattr(item, name) for name in ItemRow.model_fields if hasattr(item, name)}
            | {"product_code": product.product_code, "pipeline": codes.get(item.pipeline_id or "")}
        )
        bundle.items.append(Placed(SIBLINGS, f"/{number}", row))
    return bundle


def _fields(kind: Any, source: Any) -> dict[str, Any]:
    """The members that a bundle's row has, from a body or a stored row."""
    if isinstance(source, dict):
        return {name: source[name] for name in kind.model_fields}
    return {name: getattr(source, name) for name in kind.model_fields}


def _id(stated: str | None, old: Row | None) -> dict[str, str | None]:
    return {"id": old["id"] if old else stated}
