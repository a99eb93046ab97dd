"""The OpenAPI document: what FastAPI derives, with our one shape of errors in place of its own.

Rules of this file:
- Every operation may answer 4XX and 5XX with a problem document; that is said once, as a component.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from edge_agent.api.problems import MEDIA_TYPE, ProblemDocument

REFERENCE = "#/components/schemas/"
FRAMEWORKS_OWN = ("HTTPValidationError", "ValidationError")


def contract(app: FastAPI) -> dict[str, Any]:
    """The document for `app`, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        app.openapi_schema = with_problems(document)
    return app.openapi_schema


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The document with problem documents for every error."""
    schemas = document["components"]["schemas"]
    for name in FRAMEWORKS_OWN:
        schemas.pop(name, None)
    schemas |= _problem_schemas()
    problem = {
        "description": "What went wrong, and what to do about it.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{REFERENCE}ProblemDocument"}}},
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            operation["responses"] |= {"4XX": problem, "5XX": problem}
    return document


def _problem_schemas() -> dict[str, Any]:
    schema = ProblemDocument.model_json_schema(ref_template=REFERENCE + "{model}", mode="serialization")
    return {**schema.pop("$defs", {}), "ProblemDocument": schema}
