"""Whether a bundle's parts fit each other and what is already here: every fault at its place.

Rules of this file:
- Pure: compiles and compares, reads nothing.
- Judged is the state after the import, or after a round of the server's rows: pipelines against the models that
  would then be active, items against the pipelines they would then use, also those of products not named.
- What was broken before and is not touched by the bundle does not stop an import that may be the cure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.criteria import Criteria, RangeRule, parse_criteria
from edge_agent.inference.documents import read_json, sha256_of
from edge_agent.inference.plan import ModelKey, Plan, fit
from edge_agent.inspection.running import Parts, compile_one, parts_of
from edge_agent.masters.bundle import MAX_DEPTH, MAX_DOCUMENT_BYTES, Bundle, depth_of
from edge_agent.masters.changes import (
    CALIBRATIONS,
    ITEMS,
    PIPELINES,
    PRODUCTS,
    Changes,
    Present,
    Row,
    packages_after,
)
from edge_agent.models import ModelPackage

_ASSET = re.compile(r'"sha256:([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Verified:
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def verify_bundle(
    bundle: Bundle, changes: Changes, packages: Sequence[ModelPackage], present: Present
) -> Verified:
    """`packages` are those of the bundle that could be read; `changes` what it would change."""
    problems = [*bundle.problems, *changes.problems]
    after = packages_after(present.packages, packages, changes.activate)
    parts = parts_of(after, present.assets | bundle.assets.keys())
    plans, faults = _compile_bundle(bundle, parts)
    problems += faults
    pipelines = {row["id"]: row["code"] for row in present.tables[PIPELINES].values()}
    pipelines |= {
        change.row["id"]: change.row["code"] for change in changes.rows if change.table == PIPELINES
    }
    others, faults = _compile_others(bundle, parts, parts_of(present.packages, present.assets), present)
    problems += faults
    plans = {**others, **plans}
    classes = classes_of(after)
    problems += _check_items(bundle, plans, classes)
    problems += _check_other_items(
        changes, {code: plans[code] for code in plans}, pipelines, classes, present
    )
    return Verified(tuple(problems), (*changes.warnings, *_warnings(bundle, plans.values(), present)))


def classes_of(packages: Iterable[ModelPackage]) -> dict[ModelKey, tuple[str, ...]]:
    """Model → the labels it can answer, where it has labels."""
    named = {(p.name, p.version): tuple(p.manifest.get("output", {}).get("classes", ())) for p in packages}
    return {key: labels for key, labels in named.items() if labels}


def check_models(
    pipelines: Iterable[Row],
    items: Iterable[Row],
    before: Sequence[ModelPackage],
    after: Sequence[ModelPackage],
    assets: frozenset[str],
) -> list[Problem]:
    """What a change of models alone would break: active pipelines that compiled before, items that fitted."""
    old, new = parts_of(before, assets), parts_of(after, assets)
    active = [row for row in pipelines if row["is_active"]]
    plans, problems = _compile_rows(active, new, old)
    by_id = {row["id"]: plans[row["code"]] for row in active if row["code"] in plans}
    classes = classes_of(after)
    for row in items:
        if row["is_active"] and row["ai_enabled"] and row["pipeline_id"] in by_id:
            problems += _fit_row(row, row["item_code"], by_id[row["pipeline_id"]], classes)
    return problems


def uses_of(definition: str) -> tuple[set[tuple[str, str | None]], set[str]]:
    """The models (name, version or None) and assets (sha256) that a definition's text names, valid or not."""
    try:
        document = json.loads(definition)
    except ValueError:
        return set(), set()
    steps = document.get("steps") if isinstance(document, dict) else None
    used = [
        step["with"] for step in steps or () if isinstance(step, dict) and isinstance(step.get("with"), dict)
    ]
    models = {(one["model"], one.get("version")) for one in used if isinstance(one.get("model"), str)}
    return {key for key in models if isinstance(key[1], str | None)}, set(_ASSET.findall(definition))


class ItemKind(NamedTuple):
    """Items that are alike in this are as good as each other. `criteria` as text."""

    criteria: str
    inspection_type: str
    ai_enabled: int
    pipeline_id: str | None


@dataclass(frozen=True, slots=True)
class Arrived:
    """Masters as a round of the server's rows would leave them; rows by column, all of them active.

    `pipelines` and `items` (ids by kind) are the round's; `other_pipelines` are those whose models changed or that
    judge the round's items, `other_items` those that the round's or those pipelines judge.
    """

    pipelines: Sequence[Row]
    other_pipelines: Sequence[Row]
    items: Mapping[ItemKind, Sequence[str]]
    other_items: Sequence[Row]
    before: Sequence[ModelPackage]
    after: Sequence[ModelPackage]
    assets: frozenset[str]


def check_arrived(arrived: Arrived) -> list[Problem]:
    """Everything that keeps these rows from judging. A problem's file is the wire row, `TABLE/ID`."""
    old, new = parts_of(arrived.before, arrived.assets), parts_of(arrived.after, arrived.assets)
    plans, problems = _compile_rows(arrived.other_pipelines, new, old)
    by_id = {row["id"]: plans[row["code"]] for row in arrived.other_pipelines if row["code"] in plans}
    for row in arrived.pipelines:
        place = f"{PIPELINES}/{row['id']}"
        try:
            by_id[row["id"]] = _compile_arrived(row, new, place)
        except BadDefinition as error:
            problems += error.problems
    classes = classes_of(arrived.after)
    problems += _check_arrived_items(arrived.items, by_id, classes)
    for row in arrived.other_items:
        if row["ai_enabled"] and row["pipeline_id"] in by_id:
            problems += _fit_row(row, row["item_code"], by_id[row["pipeline_id"]], classes)
    return problems


def _compile_arrived(row: Row, parts: Parts, place: str) -> Plan:
    document = read_json(row["definition"].encode(), MAX_DOCUMENT_BYTES, place)
    if depth_of(document) > MAX_DEPTH:
        message = f"nested deeper than {MAX_DEPTH} levels"
        raise BadDefinition(message, [Problem(place, "/definition", "too-deep", message)])
    plan = compile_one(document, parts, place)[1]
    stated = {
        "code": document["code"],
        "definition_version": document["version"],
        "sha256": sha256_of(document),
    }
    if wrong := [name for name, value in stated.items() if row[name] != value]:
        message = f"the definition's own {wrong[0]} is another one"
        raise BadDefinition(message, [Problem(place, f"/{name}", "name-mismatch", message) for name in wrong])
    return plan


def _check_arrived_items(
    items: Mapping[ItemKind, Sequence[str]],
    plans: Mapping[str, Plan],
    classes: Mapping[ModelKey, tuple[str, ...]],
) -> Iterator[Problem]:
    for kind, ids in items.items():
        for problem in _check_arrived_item(kind, plans, classes):
            yield from (replace(problem, file=f"{ITEMS}/{row_id}") for row_id in ids)


def _check_arrived_item(
    item: ItemKind, plans: Mapping[str, Plan], classes: Mapping[ModelKey, tuple[str, ...]]
) -> Iterator[Problem]:
    try:
        document = read_json(item.criteria.encode(), MAX_DOCUMENT_BYTES)
        criteria = parse_criteria(document, "", "/criteria", item.inspection_type)
    except BadDefinition as error:
        yield from error.problems
        return
    if not item.ai_enabled:
        return
    if item.inspection_type == "FUNCTION":
        message = "a FUNCTION item is judged by people: ai_enabled must be false"
        yield Problem("", "/ai_enabled", "no-ai-for-function", message)
    elif item.pipeline_id is None:
        yield Problem("", "/ai_enabled", "missing-pipeline", "an item judged by the AI needs a pipeline")
    elif item.pipeline_id in plans:
        yield from fit(plans[item.pipeline_id], criteria, classes, "", "/criteria")


def _compile_bundle(bundle: Bundle, parts: Parts) -> tuple[dict[str, Plan], list[Problem]]:
    plans, problems = {}, []
    for code, document in bundle.pipelines.items():
        file = f"pipelines/{code}.json"
        if document is None:  # unreadable: reported when it was read
            continue
        try:
            plans[code] = compile_one(document, parts, file)[1]
        except BadDefinition as error:
            problems += error.problems
        stated = document.get("code") if isinstance(document, dict) else code
        if isinstance(stated, str) and stated != code:
            problems.append(Problem(file, "/code", "name-mismatch", f"the file is called {code}.json"))
    return plans, problems


def _compile_others(
    bundle: Bundle, parts: Parts, before: Parts, present: Present
) -> tuple[dict[str, Plan], list[Problem]]:
    """The active pipelines that the bundle does not bring; a problem is one the bundle causes."""
    rows = present.tables[PIPELINES].values()
    return _compile_rows(
        [r for r in rows if r["is_active"] and r["code"] not in bundle.pipelines], parts, before
    )


def _compile_rows(rows: Iterable[Row], parts: Parts, before: Parts) -> tuple[dict[str, Plan], list[Problem]]:
    plans: dict[str, Plan] = {}
    problems: list[Problem] = []
    for row in rows:
        document = json.loads(row["definition"])
        try:
            plans[row["code"]] = compile_one(document, parts)[1]
        except BadDefinition as error:
            if _compiles(document, before):
                problems += [
                    Problem("", "", "breaks-pipeline", f"pipeline {row['code']}: {problem.message}")
                    for problem in error.problems
                ]
    return plans, problems


def _compiles(document: Any, parts: Parts) -> bool:
    try:
        compile_one(document, parts)
    except BadDefinition:
        return False
    return True


def _check_items(
    bundle: Bundle, plans: Mapping[str, Plan], classes: Mapping[ModelKey, tuple[str, ...]]
) -> Iterator[Problem]:
    for placed in bundle.items:
        item, place = placed.row, f"{placed.pointer}/criteria"
        try:
            criteria = parse_criteria(item.criteria, placed.file, place, item.inspection_type)
        except BadDefinition as error:
            yield from error.problems
            continue
        plan = plans.get(item.pipeline or "")
        if item.ai_enabled and plan is not None:
            yield from fit(plan, criteria, classes, placed.file, place)


def _check_other_items(
    changes: Changes,
    plans: Mapping[str, Plan],
    codes: Mapping[str, str],
    classes: Mapping[ModelKey, tuple[str, ...]],
    present: Present,
) -> Iterator[Problem]:
    """Items the bundle leaves as they are, whose pipeline it changes."""
    written = {change.row["id"] for change in changes.rows if change.table == ITEMS}
    changed = {c.row["id"] for c in changes.rows if c.table == PIPELINES and c.kind == "changed"}
    products = {row["id"]: row["product_code"] for row in present.tables[PRODUCTS].values()}
    for row in present.tables[ITEMS].values():
        plan = plans.get(codes.get(row["pipeline_id"] or "", ""))
        touched = row["pipeline_id"] in changed or changes.activate
        if plan and touched and row["is_active"] and row["ai_enabled"] and row["id"] not in written:
            yield from _fit_row(row, f"{products[row['target_id']]}/{row['item_code']}", plan, classes)


def _fit_row(
    row: Row, name: str, plan: Plan, classes: Mapping[ModelKey, tuple[str, ...]]
) -> Iterator[Problem]:
    try:
        criteria = parse_criteria(json.loads(row["criteria"]))
    except BadDefinition:  # it was refused or damaged before; not this change's doing
        return
    for problem in fit(plan, criteria, classes):
        yield Problem("", "", "breaks-item", f"item {name}: {problem.message}")


def _warnings(bundle: Bundle, plans: Iterable[Plan], present: Present) -> Iterator[Problem]:
    known = {key[0] for key in present.tables[CALIBRATIONS]} | {c.row.name for c in bundle.calibrations}
    for placed in bundle.items:
        name = _calibration_of(placed.row.criteria)
        if name is not None and name not in known:
            message = f"calibration {name} is not here yet: the item is REVIEW until it is"
            yield placed.problem("criteria/calibration", "missing-calibration", message)
    used = {asset for plan in plans for asset in plan.assets}
    for sha256, file in bundle.assets.items():
        if sha256 not in used:
            yield Problem(file, "", "unused-asset", f"no pipeline names sha256:{sha256}")


def _calibration_of(document: dict[str, Any]) -> str | None:
    try:
        criteria: Criteria = parse_criteria(document)
    except BadDefinition:
        return None
    return criteria.calibration if isinstance(criteria, RangeRule) else None
