"""What a bundle would change in the store: rows to put, items to deactivate, versions to activate.

Rules of this file:
- Pure: the store's present content comes in, rows go out. A dry run and an import plan the same way.
- An id that is not written is the store's for that code, else derived from the codes (UUIDv5), so the same
  bundle means the same rows on every device and changes nothing the second time.
- People and calibrations are also changed here, on the spot: of a person only what differs from the entry
  imported last is applied, so a password changed here stands until the bundle's changes; a calibration
  measured here stands until the bundle's entry changes.
- Items of a bundle's product that the bundle no longer has are deactivated; nothing else is taken away.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from edge_agent.errors import Problem
from edge_agent.inference.documents import canonical_bytes, pointer_of, sha256_of
from edge_agent.inference.plan import ModelKey
from edge_agent.masters.bundle import HEAD_NAME, Bundle, ItemRow, Placed
from edge_agent.masters.packages import is_same
from edge_agent.models import ModelPackage
from sync_protocol.canonical import sha256_hex

NAMESPACE = uuid.UUID("6f0ddc0c-6c0e-5f5a-9c55-2f1a8b6f9e11")
Row = dict[str, Any]
PRODUCTS, ITEMS, PIPELINES = "inspection_targets_master", "inspection_items_master", "pipelines"
USERS, CALIBRATIONS, MODELS = "users", "calibrations", "model_packages"
KEYS: Mapping[str, tuple[str, ...]] = {
    PIPELINES: ("id",),
    PRODUCTS: ("id",),
    ITEMS: ("id",),
    USERS: ("server_id",),
    CALIBRATIONS: ("name",),
    MODELS: ("name", "version"),
}
"""Key columns, in the order in which rows may be put: what is pointed at comes first."""


@dataclass(frozen=True, slots=True)
class Present:
    """What the store holds: rows by key per table, packages, entries imported last (`users.ID` → entry)."""

    tables: Mapping[str, Mapping[tuple[Any, ...], Row]]
    packages: Sequence[ModelPackage]
    imported: Mapping[str, Mapping[str, Any]]
    assets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    kind: Literal["added", "changed", "unchanged"]
    table: str
    row: Row


@dataclass(slots=True)
class Changes:
    """`activate`: model name → version. `deactivated`: PRODUCT/ITEM. `imported`: entries to remember."""

    rows: list[Change] = field(default_factory=list)
    deactivated: list[str] = field(default_factory=list)
    activate: dict[str, str] = field(default_factory=dict)
    imported: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def count(self, table: str, kind: str) -> int:
        return sum(change.table == table and change.kind == kind for change in self.rows)

    @property
    def is_empty(self) -> bool:
        return (
            all(change.kind == "unchanged" for change in self.rows)
            and not self.activate
            and not self.imported
        )


def key_of(table: str, row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEYS[table])


def derived_id(kind: str, *codes: str) -> str:
    """The id of what has these codes and was given none."""
    return str(uuid.uuid5(NAMESPACE, "/".join((kind, *codes))))


def plan_changes(bundle: Bundle, packages: Sequence[ModelPackage], present: Present, now: str) -> Changes:
    """`packages` are the bundle's model packages, installed already or not."""
    plan = Changes()
    pipeline_ids = _plan_pipelines(plan, bundle, present, now)
    product_ids = _plan_products(plan, bundle, present, now)
    _plan_items(plan, bundle, present, product_ids, pipeline_ids, now)
    for placed in bundle.users:
        _plan_user(plan, placed, present, now)
    _refuse_shared_emails(plan, bundle, present)
    for calibration in bundle.calibrations:
        _plan_calibration(plan, calibration, present, now)
    _plan_models(plan, bundle, packages, present)
    order = list(KEYS)
    plan.rows.sort(key=lambda change: order.index(change.table))
    return plan


def _change(plan: Changes, table: str, row: Row, present: Present) -> None:
    old = present.tables[table].get(key_of(table, row))
    if old is None:
        plan.rows.append(Change("added", table, row))
        return
    differs = any(
        old[name] != value for name, value in row.items() if name not in ("created_at", "updated_at")
    )
    plan.rows.append(Change("changed" if differs else "unchanged", table, row))


def _identify(
    plan: Changes, placed: Placed[Any], known: Iterable[Row], codes: tuple[str, ...], derived: str
) -> str | None:
    """The row's id, or None after reporting that it is another's; `codes` are its naming columns."""
    known, row = list(known), placed.row
    named = {code: getattr(row, code) for code in codes}
    same = next((old for old in known if all(old[code] == value for code, value in named.items())), None)
    if row.id is not None:
        if same is not None and same["id"] != row.id:
            message = f"{' '.join(named.values())} is known here under the id {same['id']}"
            plan.problems.append(placed.problem("id", "id-conflict", message))
            return None
        return str(row.id)
    if same is not None:
        return str(same["id"])
    if any(old["id"] == derived for old in known):
        message = f"the id made from {' '.join(named.values())} belongs to what was renamed: write an id"
        plan.problems.append(placed.problem("", "id-conflict", message))
        return None
    return derived


def _plan_pipelines(plan: Changes, bundle: Bundle, present: Present, now: str) -> dict[str, str]:
    """Code → id of every pipeline an item may name."""
    known = {row["code"]: row for row in present.tables[PIPELINES].values()}
    ids = {code: row["id"] for code, row in known.items() if row["is_active"]}
    for code, document in bundle.pipelines.items():
        old = known.get(code)
        ids[code] = old["id"] if old else derived_id("pipeline", code)
        if not isinstance(document, dict):
            continue
        row = {
            "id": ids[code],
            "code": code,
            "name": code,
            "definition": canonical_bytes(document).decode(),
            "sha256": sha256_of(document),
            "definition_version": str(document.get("version")),
            "version": old["version"] if old else 1,
            "created_at": now,
            "updated_at": now,
            "is_active": 1,
        }
        if old and old["sha256"] != row["sha256"]:
            row["version"] += 1
            if old["definition_version"] == row["definition_version"]:
                message = f"differs from the one in use, which also calls itself {row['definition_version']}"
                plan.warnings.append(Problem(f"pipelines/{code}.json", "/version", "same-version", message))
        _change(plan, PIPELINES, row, present)
    return ids


def _plan_products(plan: Changes, bundle: Bundle, present: Present, now: str) -> dict[str, str]:
    """Code → id of the bundle's products."""
    ids: dict[str, str] = {}
    for placed in bundle.products:
        product = placed.row
        derived = derived_id("product", product.product_code)
        product_id = _identify(plan, placed, present.tables[PRODUCTS].values(), ("product_code",), derived)
        if product_id is None:
            continue
        if product_id in ids.values() and product.product_code not in ids:
            plan.problems.append(
                placed.problem("id", "id-conflict", "the id of another product of the bundle")
            )
        ids[product.product_code] = product_id
        row = product.model_dump() | {"id": product_id, "created_at": now, "updated_at": now, "is_active": 1}
        _change(plan, PRODUCTS, row, present)
    return ids


def _plan_items(
    plan: Changes,
    bundle: Bundle,
    present: Present,
    product_ids: Mapping[str, str],
    pipeline_ids: Mapping[str, str],
    now: str,
) -> None:
    kept = set()
    siblings: dict[str, list[Row]] = {target_id: [] for target_id in product_ids.values()}
    for row in present.tables[ITEMS].values():
        siblings.setdefault(row["target_id"], []).append(row)
    for placed in bundle.items:
        item = placed.row
        _check_references(plan, placed, bundle, pipeline_ids)
        target_id = product_ids.get(item.product_code)
        if target_id is None:
            continue
        derived = derived_id("item", item.product_code, item.item_code)
        item_id = _identify(plan, placed, siblings[target_id], ("item_code",), derived)
        if item_id is None:
            continue
        there = present.tables[ITEMS].get((item_id,))
        if there is not None and there["target_id"] != target_id:
            plan.problems.append(placed.problem("id", "id-conflict", "the id of an item of another product"))
        kept.add(item_id)
        pipeline_id = pipeline_ids.get(item.pipeline) if item.pipeline else None
        _change(plan, ITEMS, _item_row(item, item_id, target_id, pipeline_id, now), present)
    for code, target_id in product_ids.items():
        for row in siblings[target_id]:
            if row["is_active"] and row["id"] not in kept:
                _change(plan, ITEMS, {**row, "is_active": 0, "updated_at": now}, present)
                plan.deactivated.append(f"{code}/{row['item_code']}")


def _item_row(item: ItemRow, item_id: str, target_id: str, pipeline_id: str | None, now: str) -> Row:
    return {
        "id": item_id,
        "target_id": target_id,
        "item_code": item.item_code,
        "item_name": item.item_name,
        "inspection_type": item.inspection_type,
        "ai_enabled": int(item.ai_enabled),
        "pipeline_id": pipeline_id,
        "criteria": canonical_bytes(item.criteria).decode(),
        "order_sequence": item.order_sequence,
        "required": int(item.required),
        "created_at": now,
        "updated_at": now,
        "is_active": 1,
    }


def _check_references(
    plan: Changes, placed: Placed[ItemRow], bundle: Bundle, pipeline_ids: Mapping[str, str]
) -> None:
    item = placed.row
    if item.product_code not in bundle.stated:
        message = f"products.json has no product {item.product_code}"
        plan.problems.append(placed.problem("product_code", "unknown-product", message))
    if item.pipeline is not None and item.pipeline not in pipeline_ids:
        message = f"there is no pipeline {item.pipeline}, neither in the bundle nor here"
        plan.problems.append(placed.problem("pipeline", "unknown-pipeline", message))
    if item.ai_enabled and item.inspection_type == "FUNCTION":
        message = "a FUNCTION item is judged by people: ai_enabled must be false"
        plan.problems.append(placed.problem("ai_enabled", "no-ai-for-function", message))
    elif item.ai_enabled and item.pipeline is None:
        message = "an item judged by the AI needs a pipeline"
        plan.problems.append(placed.problem("ai_enabled", "missing-pipeline", message))


def _plan_user(plan: Changes, placed: Placed[Any], present: Present, now: str) -> None:
    user = placed.row
    known = present.tables[USERS]
    same = next((row for row in known.values() if row["username"] == user.username), None)
    if user.server_id and same and same["server_id"] != user.server_id:
        message = f"{user.username} is known here under the server_id {same['server_id']}"
        plan.problems.append(placed.problem("server_id", "id-conflict", message))
        return
    server_id = user.server_id or (same["server_id"] if same else derived_id("user", user.username))
    local = known.get((server_id,))
    entry = user.model_dump(exclude={"server_id"}) | {"is_active": int(user.is_active)}
    remembered = {**entry, "password_hash": sha256_hex(user.password_hash.encode())}
    last = present.imported.get(f"users.{server_id}", {})
    if local is not None:
        entry = {
            name: local[name] if last.get(name, ...) == remembered[name] else entry[name] for name in entry
        }
    if last != remembered:
        plan.imported[f"users.{server_id}"] = remembered
    _change(plan, USERS, {**entry, "server_id": server_id, "created_at": now, "updated_at": now}, present)


def _refuse_shared_emails(plan: Changes, bundle: Bundle, present: Present) -> None:
    after = {row["server_id"]: row for row in present.tables[USERS].values()}
    after |= {change.row["server_id"]: change.row for change in plan.rows if change.table == USERS}
    owners: dict[str, str] = {}
    for row in after.values():
        email = row["email"]
        if email is not None and owners.setdefault(email, row["username"]) != row["username"]:
            plan.problems += [
                placed.problem("email", "duplicate", f"{email} is the address of another user here")
                for placed in bundle.users
                if placed.row.email == email
            ]


def _plan_calibration(plan: Changes, placed: Placed[Any], present: Present, now: str) -> None:
    entry = placed.row.model_dump()
    key = f"calibrations.{sha256_hex(placed.row.name.encode())}"
    local = present.tables[CALIBRATIONS].get((placed.row.name,))
    if local is not None and present.imported.get(key) == entry:
        plan.rows.append(Change("unchanged", CALIBRATIONS, local))
        return
    plan.imported[key] = dict(entry)
    camera = entry.pop("camera")
    detail = json.dumps({"camera": camera} if camera else {}, ensure_ascii=False)
    if local and json.loads(local["detail"]).get("camera") == camera:
        detail = local["detail"] if all(local[name] == entry[name] for name in entry) else detail
    _change(plan, CALIBRATIONS, {**entry, "detail": detail, "created_at": now}, present)


def _plan_models(plan: Changes, bundle: Bundle, packages: Sequence[ModelPackage], present: Present) -> None:
    installed = {(package.name, package.version): package for package in present.packages}
    wanted = bundle.head.active if bundle.head else {}
    newest: dict[str, str] = {}
    for package in sorted(packages, key=lambda package: natural(package.version)):
        old = installed.get((package.name, package.version))
        if old is None:
            newest[package.name] = package.version
        elif not is_same(old, package):
            message = (
                f"{package.name} {package.version} is installed with other content: give it a new version"
            )
            place = f"models/{package.name}-{package.version}/model.json"
            plan.problems.append(Problem(place, "/version", "model-immutable", message))
        plan.rows.append(Change("unchanged" if old else "added", MODELS, model_row(package)))
    at_hand = installed.keys() | {(package.name, package.version) for package in packages}
    for name, version in wanted.items():
        if (name, version) not in at_hand:
            message = f"there is no model {name} {version}, neither in the bundle nor here"
            plan.problems.append(Problem(HEAD_NAME, pointer_of(["active", name]), "missing-model", message))
    plan.activate = {name: wanted.get(name, version) for name, version in newest.items()}


def model_row(package: ModelPackage) -> Row:
    """The package as its row; a new one is not active yet."""
    return {
        "name": package.name,
        "version": package.version,
        "task": package.task,
        "model_sha256": package.model_sha256,
        "manifest": json.dumps(package.manifest, ensure_ascii=False),
        "golden_results": json.dumps(package.golden_results, ensure_ascii=False),
        "installed_at": package.installed_at,
    }


def packages_after(
    packages: Iterable[ModelPackage], new: Iterable[ModelPackage], activate: Mapping[str, str]
) -> list[ModelPackage]:
    """The installed packages once `new` are there and `activate` has happened."""
    merged: dict[ModelKey, ModelPackage] = {(package.name, package.version): package for package in new}
    merged |= {(package.name, package.version): package for package in packages}
    return [
        replace(package, is_active=activate[package.name] == package.version)
        if package.name in activate
        else package
        for package in merged.values()
    ]


def natural(version: str) -> list[tuple[int, str]]:
    """Sort key: 1.9 before 1.10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"[.+_-]", version)]
