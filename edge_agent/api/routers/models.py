"""Model packages: install, put in force, go back, test."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from edge_agent.api.auth import Anyone, Has, Technician
from edge_agent.api.bodies.equipment import ModelList, VersionRequest
from edge_agent.api.bodies.fields import NAME, VERSION, Name
from edge_agent.api.idempotency import KeyedRoute, StreamedRoute
from edge_agent.api.uploads import MODEL_BODY, APackage
from edge_agent.masters.report import ModelTest
from edge_agent.models import ModelPackage
from edge_agent.store import masters

router = APIRouter(prefix="/models", tags=["models"], route_class=KeyedRoute)
uploads = APIRouter(prefix="/models", tags=["models"], route_class=StreamedRoute)


@router.get("")
def list_models(_who: Anyone, has: Has) -> ModelList:
    """Every installed version, which one is active, and what its golden samples gave on this machine."""
    with has.database.read() as reader:
        return ModelList(masters.list_models(reader))


@uploads.post("/install", status_code=201, openapi_extra=MODEL_BODY)
def install_model(
    who: Technician,
    package: APackage,
    has: Has,
    name: Annotated[str | None, Query(pattern=NAME, description="For a bare .onnx file.")] = None,
    version: Annotated[str | None, Query(pattern=VERSION, description="For a bare .onnx file.")] = None,
    activate: Annotated[bool, Query(description="Put it in force at once.")] = False,
) -> ModelPackage:
    """Installs a model package (zip, or an exported .onnx) after its golden samples agree on this machine."""
    return has.masters.install_model(package, who.actor, name=name, version=version, activate=activate)


@router.post("/{name}/activate")
def activate_model(name: Name, body: VersionRequest, who: Technician, has: Has) -> ModelPackage:
    """Makes a version the one in force; its golden samples run again first."""
    return has.masters.activate_model(name, body.version, who.actor)


@router.post("/{name}/rollback")
def rollback_model(name: Name, who: Technician, has: Has) -> ModelPackage:
    """Puts the version before back in force."""
    return has.masters.rollback_model(name, who.actor)


@router.post("/{name}/test")
def try_model(name: Name, body: VersionRequest, _who: Technician, has: Has) -> ModelTest:
    """Runs a version's golden samples again on this machine; changes nothing."""
    return has.masters.test_model(name, body.version)
