"""Bundles from outside: what is copied, what is read, and every fault with its place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.archive import Limits, Unpacked, no_progress, unpack
from edge_agent.errors import Problem
from edge_agent.masters.bundle import Bundle, depth_of, read_bundle
from edge_agent.masters.changes import KEYS, Changes, Present, derived_id, natural, plan_changes
from edge_agent.masters.packages import read_packages, record_of
from edge_agent.masters.verify import Verified, verify_bundle
from tests.bundles import (
    CALIBRATIONS,
    ITEMS,
    LED,
    LOOK,
    PRODUCT,
    USERS,
    pipeline,
    put_json,
    seal,
    with_template,
    write_bundle,
    write_model,
    zipped,
)

NOW = "2026-11-23T00:00:00.000Z"
NOTHING = Present({table: {} for table in KEYS}, [], {}, frozenset())


def copied(source: Path, target: Path, **limits: int) -> Unpacked:
    return unpack(source, target / "copy", no_progress, Limits(**limits))


def judged(source: Path, target: Path, present: Present = NOTHING) -> tuple[Bundle, Changes, Verified]:
    """Everything an import verifies before it asks the inference process."""
    bundle = read_bundle(copied(source, target))
    packages, problems = read_packages(bundle.unpacked.folder, bundle.models)
    bundle.problems += problems
    records = [record_of(package, NOW) for package in packages.values()]
    changes = plan_changes(bundle, records, present, NOW)
    return bundle, changes, verify_bundle(bundle, changes, records, present)


def places(problems: Any) -> set[tuple[str, str, str]]:
    return {(problem.file, problem.pointer, problem.code) for problem in problems}


def faults(source: Path, target: Path, present: Present = NOTHING) -> set[tuple[str, str, str]]:
    return places(judged(source, target, present)[2].problems)


def items(**changes: Any) -> list[dict[str, Any]]:
    """The good items, the first one changed; `...` removes a key."""
    documents = copy.deepcopy(ITEMS)
    for name, value in changes.items():
        if value is ...:
            del documents[0][name]
        else:
            documents[0][name] = value
    return documents


def test_a_good_bundle_has_no_problems_as_folder_and_as_zip(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    for number, source in enumerate(
        (folder, zipped(folder, tmp_path / "flat.zip"), zipped(folder, tmp_path / "nested.zip", "test-1/"))
    ):
        _, changes, verified = judged(source, tmp_path / str(number))
        assert verified.problems == ()
        assert verified.warnings == ()
        assert changes.activate == {"bright": "1.0.0"}


# ── checksums and documents ────────────────────────────────────────────────────────────────────────────


def test_every_file_is_held_to_its_size_and_checksum(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    template = folder / "assets" / "template.png"
    template.write_bytes(template.read_bytes()[::-1])
    with (folder / "models" / "bright-1.0.0" / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    (folder / "users.json").unlink()
    (folder / "item.json").write_text("[]")
    found = faults(folder, tmp_path)
    assert found >= {
        ("bundle.json", "/files/assets~1template.png/sha256", "sha256-mismatch"),
        ("bundle.json", "/files/models~1bright-1.0.0~1model.onnx/size_bytes", "size-mismatch"),
        ("bundle.json", "/files/users.json", "missing-file"),
        ("item.json", "", "unlisted-file"),
    }


def test_a_listed_file_in_no_known_place_is_reported(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    (folder / "item.json").write_text("[]")
    (folder / "README.md").write_text("hello")
    assert faults(seal(folder), tmp_path) == {("item.json", "", "unknown-file")}


@pytest.mark.parametrize("name", ["bundle.json", "products.json", "items.json"])
def test_a_missing_document_is_reported(tmp_path: Path, name: str) -> None:
    folder = write_bundle(tmp_path / "b")
    (folder / name).unlink()
    assert (name, "", "missing-file") in faults(folder, tmp_path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[{", "not-json"),
        ('[{"product_code": "A", "product_code": "B"}]', "not-json"),
        ("[NaN]", "not-json"),
        ("[1e999]", "not-canonical"),
        ('["\\ud800"]', "not-canonical"),
        ("[" * 80 + "]" * 80, "too-deep"),
        ("[" * 100_000, "not-json"),
        ("{}", "bad-value"),
    ],
)
def test_a_document_that_is_not_strict_json_is_reported(tmp_path: Path, text: str, code: str) -> None:
    folder = write_bundle(tmp_path / "b")
    (folder / "products.json").write_text(text)
    assert ("products.json", "", code) in faults(seal(folder), tmp_path)


def test_depth_counts_nested_values() -> None:
    values: list[Any] = [1, [], [[1]], {"a": [{}]}]
    assert [depth_of(value) for value in values] == [0, 1, 2, 3]


def spoilt(**documents: Any) -> dict[str, Any]:
    return {f"{name}.json": document for name, document in documents.items()}


BAD_ROWS: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    (spoilt(products=[{**PRODUCT, "colour": "red"}]), ("products.json", "/0/colour", "unknown-key")),
    (spoilt(products=[PRODUCT, {**PRODUCT, "product_code": "A/B"}]),
     ("products.json", "/1/product_code", "bad-value")),
    (spoilt(products=[PRODUCT, {**PRODUCT, "product_code": " A"}]),
     ("products.json", "/1/product_code", "bad-value")),
    (spoilt(products=[{**PRODUCT, "id": "7"}]), ("products.json", "/0/id", "bad-value")),
    (spoilt(products=[PRODUCT, PRODUCT]), ("products.json", "/1/product_code", "duplicate")),
    (spoilt(items=items(item_name=...)), ("items.json", "/0/item_name", "missing-key")),
    (spoilt(items=items(required="yes")), ("items.json", "/0/required", "bad-value")),
    (spoilt(items=items(order_sequence=2)), ("items.json", "/1/order_sequence", "duplicate")),
    (spoilt(items=items(item_code="led")), ("items.json", "/1/item_code", "duplicate")),
    (spoilt(items=items(product_code="OTHER")), ("items.json", "/0/product_code", "unknown-product")),
    (spoilt(items=items(pipeline="back")), ("items.json", "/0/pipeline", "unknown-pipeline")),
    (spoilt(items=items(pipeline=...)), ("items.json", "/0/ai_enabled", "missing-pipeline")),
    (spoilt(items=items(criteria={**LOOK, "conf_min": 2})),
     ("items.json", "/0/criteria/conf_min", "bad-value")),
    (spoilt(items=items(criteria=LED)), ("items.json", "/0/criteria/type", "type-mismatch")),
    (
        spoilt(items=items(criteria={**ITEMS[0]["criteria"], "accept": ["shiny"]})),
        ("items.json", "/0/criteria", "unknown-label"),
    ),
    (
        spoilt(items=items(inspection_type="FUNCTION", criteria=LED)),
        ("items.json", "/0/ai_enabled", "no-ai-for-function"),
    ),
    (spoilt(users=[{**USERS[0], "password_hash": "1234"}]), ("users.json", "/0/password_hash", "bad-value")),
    (
        spoilt(users=[{**USERS[0], "password_hash": USERS[0]["password_hash"].replace("65536", "9999999")}]),
        ("users.json", "/0/password_hash", "bad-value"),
    ),
    (spoilt(users=[{**USERS[0], "role": "god"}]), ("users.json", "/0/role", "bad-value")),
    (spoilt(users=[USERS[0], USERS[0]]), ("users.json", "/1/username", "duplicate")),
    (
        spoilt(calibrations=[{**CALIBRATIONS[0], "um_per_px": 0}]),
        ("calibrations.json", "/0/um_per_px", "bad-value"),
    ),
    (
        spoilt(calibrations=[{**CALIBRATIONS[0], "valid_until": "2027-01-01"}]),
        ("calibrations.json", "/0/valid_until", "bad-value"),
    ),
    ({"pipelines/front.json": pipeline("back")}, ("pipelines/front.json", "/code", "name-mismatch")),
    ({"pipelines/front.json": pipeline(model="dim")},
     ("pipelines/front.json", "/steps/0/with/model", "missing-model")),
    ({"pipelines/front.json": pipeline(model="dim", version=None)},
     ("pipelines/front.json", "/steps/0/with/version", "missing-key")),
    ({"pipelines/front.json": with_template(pipeline(), "0" * 64)},
     ("pipelines/front.json", "/steps/0/with/template", "missing-asset")),
]  # fmt: skip


@pytest.mark.parametrize(("documents", "expected"), BAD_ROWS)
def test_a_fault_is_one_problem_at_its_place(
    tmp_path: Path, documents: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert faults(write_bundle(tmp_path / "b", documents), tmp_path) == {expected}


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    documents: dict[str, Any] = {}
    wanted = set()
    for spoiling, expected in BAD_ROWS:
        if not documents.keys() & spoiling.keys():
            documents |= spoiling
            wanted.add(expected)
    assert len(wanted) >= 5
    assert wanted <= faults(write_bundle(tmp_path / "b", documents), tmp_path)


def test_a_password_hash_is_never_in_a_message(tmp_path: Path) -> None:
    secret = USERS[0]["password_hash"].replace("argon2id", "argon2i")
    folder = write_bundle(tmp_path / "b", spoilt(users=[{**USERS[0], "password_hash": secret}]))
    _, _, verified = judged(folder, tmp_path)
    assert verified.problems
    assert not any(secret[:20] in str(problem) for problem in verified.problems)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sha256": "0" * 64}, "sha256-mismatch"),
        ({"task": "detect"}, "decoder-task"),
        ({"golden": [{"image": "golden/none.png", "expect": {"class": "bright"}}]}, "missing"),
        ({"golden": [{"image": "../../users.json", "expect": {"class": "bright"}}]}, "bad-value"),
    ],
)
def test_a_bad_package_is_reported_below_its_folder(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    folder = write_bundle(tmp_path / "b", models=())
    write_model(folder / "models", **changes)
    found = faults(seal(folder), tmp_path)
    assert any(file.startswith("models/bright-1.0.0") and found_ == code for file, _, found_ in found)


def test_a_package_lies_in_a_folder_of_its_name_and_version(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", {"pipelines/front.json": pipeline()})
    (folder / "models" / "bright-1.0.0").rename(folder / "models" / "bright-1.0.1")
    assert ("models/bright-1.0.1", "", "name-mismatch") in faults(seal(folder), tmp_path)


def test_what_a_site_adds_later_is_a_warning(tmp_path: Path) -> None:
    size = {"type": "DIMENSION", "rule": "range", "unit": "mm", "nominal": 12.0, "tol": [-1, 1]}
    size["calibration"] = "cam9"
    changed = items(inspection_type="DIMENSION", criteria=size, ai_enabled=False)
    folder = write_bundle(tmp_path / "b", {"items.json": changed, "pipelines/front.json": pipeline()})
    _, _, verified = judged(folder, tmp_path)
    assert verified.problems == ()
    assert places(verified.warnings) == {
        ("items.json", "/0/criteria/calibration", "missing-calibration"),
        ("assets/template.png", "", "unused-asset"),
    }


# ── what it would change ───────────────────────────────────────────────────────────────────────────────


def after(changes: Changes) -> Present:
    """The store once the changes are made."""
    tables: dict[str, dict[tuple[Any, ...], Any]] = {table: {} for table in KEYS}
    for change in changes.rows:
        tables[change.table][tuple(change.row[name] for name in KEYS[change.table])] = dict(change.row)
    return Present(tables, [], changes.imported, frozenset())


def test_ids_come_from_the_codes_and_the_second_time_nothing_changes(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    bundle, first, _ = judged(folder, tmp_path / "1")
    ids = {change.row["id"] for change in first.rows if "id" in change.row}
    assert derived_id("product", "PLATE") in ids
    assert derived_id("item", "PLATE", "look") in ids
    second = plan_changes(bundle, [], after(first), "2027-01-01T00:00:00.000Z")
    assert second.is_empty
    assert {change.kind for change in second.rows} == {"unchanged"}


def planned(tmp_path: Path, before: Present, **documents: Any) -> Changes:
    folder = write_bundle(tmp_path / f"b{len(list(tmp_path.iterdir()))}", spoilt(**documents))
    return judged(folder, tmp_path / f"c{len(list(tmp_path.iterdir()))}", before)[1]


@pytest.fixture
def present(tmp_path: Path) -> Present:
    return after(judged(write_bundle(tmp_path / "first"), tmp_path / "copy-of-first")[1])


def test_an_item_no_longer_in_the_bundle_is_deactivated(tmp_path: Path, present: Present) -> None:
    changes = planned(tmp_path, present, items=ITEMS[1:])
    assert changes.deactivated == ["PLATE/look"]
    [row] = [c.row for c in changes.rows if c.table == "inspection_items_master" and c.kind == "changed"]
    assert (row["item_code"], row["is_active"]) == ("look", 0)


def test_items_of_other_products_are_left_alone(tmp_path: Path, present: Present) -> None:
    other = {**PRODUCT, "product_code": "DISC"}
    changes = planned(tmp_path, present, products=[other], items=[{**ITEMS[0], "product_code": "DISC"}])
    assert changes.deactivated == []
    assert changes.count("inspection_items_master", "added") == 1


def test_another_id_for_a_known_code_is_refused(tmp_path: Path, present: Present) -> None:
    changes = planned(tmp_path, present, products=[{**PRODUCT, "id": derived_id("product", "X")}])
    assert ("products.json", "/0/id", "id-conflict") in places(changes.problems)


def test_a_code_may_change_under_its_id(tmp_path: Path, present: Present) -> None:
    renamed = {**PRODUCT, "product_code": "NEW", "id": derived_id("product", "PLATE")}
    moved = [{**item, "product_code": "NEW"} for item in ITEMS]
    changes = planned(tmp_path, present, products=[renamed], items=moved)
    assert changes.problems == []
    assert changes.count("inspection_targets_master", "changed") == 1
    assert changes.count("inspection_items_master", "unchanged") == 2
    again = planned(tmp_path, after(changes), products=[PRODUCT])
    assert ("products.json", "/0", "id-conflict") in places(again.problems)


def locally(present: Present, table: str, **fields: Any) -> Present:
    """The store after somebody here changed the only row of that table."""
    [(key, row)] = present.tables[table].items()
    return Present({**present.tables, table: {key: {**row, **fields}}}, [], present.imported, frozenset())


def test_a_password_changed_here_stands_until_the_bundles_changes(tmp_path: Path, present: Present) -> None:
    here = locally(present, "users", password_hash="$local", is_active=0)
    assert planned(tmp_path, here).count("users", "unchanged") == 1
    renamed = planned(tmp_path, here, users=[{**USERS[0], "full_name": "Sato"}])
    [row] = [change.row for change in renamed.rows if change.table == "users"]
    assert (row["full_name"], row["password_hash"], row["is_active"]) == ("Sato", "$local", 0)
    other = USERS[0]["password_hash"].replace("t=3", "t=4")
    rehashed = planned(tmp_path, here, users=[{**USERS[0], "password_hash": other}])
    [row] = [change.row for change in rehashed.rows if change.table == "users"]
    assert (row["password_hash"], row["is_active"]) == (other, 0)


def test_a_calibration_measured_here_stands_until_the_bundles_changes(
    tmp_path: Path, present: Present
) -> None:
    here = locally(present, "calibrations", um_per_px=11.0, method="checkerboard")
    assert planned(tmp_path, here).count("calibrations", "unchanged") == 1
    changed = planned(tmp_path, here, calibrations=[{**CALIBRATIONS[0], "um_per_px": 13.0}])
    [row] = [change.row for change in changed.rows if change.table == "calibrations"]
    assert (row["um_per_px"], row["method"]) == (13.0, "given")


def test_what_people_are_remembered_by_holds_no_password_hash(present: Present) -> None:
    assert USERS[0]["password_hash"] not in json.dumps(dict(present.imported))


def test_versions_sort_as_people_count() -> None:
    assert sorted(["1.10.0", "1.9.0", "1.9.0-rc1", "2"], key=natural)[-2:] == ["1.10.0", "2"]


def test_a_change_that_would_break_another_products_item_is_refused(tmp_path: Path, present: Present) -> None:
    other = [{**PRODUCT, "product_code": "DISC"}]
    moved = [{**ITEMS[1], "product_code": "DISC"}]
    blind = pipeline()
    blind["version"] = "2.0.0"
    blind["steps"][1]["in"] = {"score": "$quality.quality"}
    blind["steps"].insert(0, {"id": "quality", "type": "image.quality", "in": {"image": "$in.image"}})
    documents = {**spoilt(products=other, items=moved), "pipelines/front.json": blind}
    folder = write_bundle(tmp_path / "b", documents)
    assert places(judged(folder, tmp_path / "c", present)[2].problems) == {("", "", "breaks-item")}


def test_a_problem_says_file_pointer_message_and_code(tmp_path: Path) -> None:
    put_json(tmp_path / "b" / "bundle.json", {})
    problems: list[Problem] = read_bundle(copied(tmp_path / "b", tmp_path)).problems
    assert "bundle.json#/schema: Field required [missing-key]" in [str(problem) for problem in problems]
