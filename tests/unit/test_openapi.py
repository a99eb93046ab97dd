"""The OpenAPI document: the contract the console's client is generated from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_agent.api.limits import MAX_JSON_BYTES, limit_of
from edge_agent.api.openapi import document, main, with_table

CHECKED_IN = Path(__file__).parents[2] / "docs" / "openapi.json"
OPEN = {"login", "get_live", "get_ready", "get_prometheus"}
DOCUMENT: dict[str, Any] = json.loads(document())


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_the_document_checked_in_is_that_of_the_code() -> None:
    assert CHECKED_IN.read_text("utf-8") == document(), "run `make docs`"


def test_it_is_written_where_asked(tmp_path: Path) -> None:
    assert main([str(tmp_path / "out.json")]) == 0
    assert (tmp_path / "out.json").read_text("utf-8") == document()
    assert main([]) == 2


def test_every_operation_has_a_name_of_its_own_a_tag_and_a_sentence() -> None:
    names = Counter(operation["operationId"] for _, _, operation in operations())
    assert [name for name, count in names.items() if count > 1] == []
    for _, path, operation in operations():
        assert operation["tags"], path
        assert operation.get("description"), path


def test_every_operation_but_login_and_probes_needs_a_login() -> None:
    for _, path, operation in operations():
        assert bool(operation.get("security")) != (operation["operationId"] in OPEN), path


def test_every_operation_says_what_an_error_looks_like() -> None:
    for _, path, operation in operations():
        schema = operation["responses"]["4XX"]["content"]["application/problem+json"]["schema"]
        assert schema["$ref"].endswith("/ProblemDocument"), path
        assert "422" not in operation["responses"], path


def test_every_json_answer_has_a_type() -> None:
    for _, path, operation in operations():
        for status, response in operation["responses"].items():
            content = response.get("content", {})
            if status.startswith("2") and "application/json" in content:
                assert content["application/json"]["schema"], path


def test_every_resource_of_the_design_is_there() -> None:
    wanted = [
        "auth/login",
        "auth/logout",
        "auth/me",
        "scans",
        "targets",
        "sessions",
        "sessions/{session_id}/complete",
        "sessions/{session_id}/cancel",
        "sessions/{session_id}/items/{item_id}/images",
        "images/{image_id}/original",
        "images/{image_id}/overlay",
        "images/{image_id}/heatmap",
        "images/{image_id}/thumbnail",
        "images/{image_id}/inspect",
        "results/{result_id}",
        "sessions/{session_id}/verifications",
        "cameras",
        "cameras/{name}/preview",
        "cameras/{name}/capture",
        "folders",
        "folders/quarantine",
        "masters/status",
        "models",
        "models/{name}/activate",
        "models/{name}/rollback",
        "models/{name}/test",
        "pipelines",
        "pipelines/validate",
        "pipelines/{code}/dry-run",
        "sync/status",
        "sync/queue",
        "statistics/agreement",
        "audit",
        "exports/sessions.csv",
        "system/info",
        "system/metrics",
        "system/disk",
        "events",
    ]
    assert [path for path in wanted if f"/api/v1/{path}" not in DOCUMENT["paths"]] == []
    assert {"/health/live", "/health/ready", "/metrics"} <= DOCUMENT["paths"].keys()


def test_only_pictures_and_packages_may_be_large() -> None:
    large = {
        path
        for _, path, operation in operations()
        if "requestBody" in operation and "application/json" not in operation["requestBody"]["content"]
    }
    assert {path for path in DOCUMENT["paths"] if limit_of(path) > MAX_JSON_BYTES} == large


def test_the_table_of_roles_is_that_of_the_code() -> None:
    text = CHECKED_IN.with_name("api.md").read_text("utf-8")
    assert text == with_table(text), "run `make docs`"


def test_every_operation_with_a_login_says_who_may() -> None:
    for _, path, operation in operations():
        assert bool(operation.get("x-roles")) == bool(operation.get("security")), path
