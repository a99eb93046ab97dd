"""The OpenAPI document: what FastAPI derives, with our one shape of errors in place of its own.

Rules of this file:
- Every operation may answer 4XX and 5XX with a problem document; that is said once, as a component.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from edge_agent.api.auth import Needs
from edge_agent.api.problems import MEDIA_TYPE, ProblemDocument
from edge_agent.models import Role

REFERENCE = "#/components/schemas/"
FRAMEWORKS_OWN = ("HTTPValidationError", "ValidationError")


def contract(app: FastAPI) -> dict[str, Any]:
    """The document for `app`, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        app.openapi_schema = with_roles(with_problems(document), app)
    return app.openapi_schema


def with_roles(document: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    """The document with `x-roles` at every operation that needs a login."""
    allowed: dict[str, list[str]] = app.state.roles
    for methods in document["paths"].values():
        for operation in methods.values():
            if roles := allowed.get(operation["operationId"]):
                operation["x-roles"] = roles
    return document


def roles_of(route: APIRoute) -> list[str]:
    """Who may use a route, as its `Needs` says; nobody named = no login needed."""
    owners = [getattr(part.call, "__self__", None) for part in route.dependant.dependencies]
    return sorted({role.value for owner in owners if isinstance(owner, Needs) for role in owner.roles})


def role_table(document: dict[str, Any]) -> str:
    """Every operation with who may use it, as a Markdown table."""
    lines = ["| | | who | |", "| --- | --- | --- | --- |"]
    for path, methods in sorted(document["paths"].items()):
        for method, operation in sorted(methods.items()):
            who = _who(operation.get("x-roles", []))
            first = operation["description"].split("\n")[0]
            lines.append(f"| {method.upper()} | `{path.removeprefix('/api/v1')}` | {who} | {first} |")
    return "\n".join(lines) + "\n"


def _who(roles: list[str]) -> str:
    if not roles:
        return "anybody"
    return "every user" if len(roles) == len(Role) else ", ".join(roles)


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
