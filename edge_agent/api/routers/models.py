"""Model packages: install, put in force, go back, test."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from edge_agent.api.auth import Anyone, Has, Technician
from edge_agent.api.bodies import ModelList, Name, VersionRequest
from edge_agent.api.idempotency import KeyedRoute, StreamedRoute
from edge_agent.api.uploads import MAX_PACKAGE_BYTES, PACKAGE_BODY, APackage
from edge_agent.store import masters

router = APIRouter(prefix="/models", tags=["models"], route_class=KeyedRoute)
uploads = APIRouter(prefix="/models", tags=["models"], route_class=StreamedRoute)


@router.get("")
def list_models(_who: Anyone, has: Has) -> ModelList:
    """Every installed version, which one is active, and what its golden samples gave on this machine."""
    with has.database.read() as reader:
        return ModelList(masters.list_models(reader))


@uploads.post("/install", openapi_extra=PACKAGE_BODY, max_body_size=MAX_PACKAGE_BYTES)
def install_model(package: APackage, who: Technician, has: Has) -> Any:
    """Installs a model package (zip) after its golden samples agree on this machine; not active yet."""
    return has.masters.install_model(package, who.actor)


@router.post("/{name}/activate")
def activate_model(name: Name, body: VersionRequest, who: Technician, has: Has) -> Any:
    """Makes a version the one in force."""
    return has.masters.activate_model(name, body.version, who.actor)


@router.post("/{name}/rollback")
def rollback_model(name: Name, who: Technician, has: Has) -> Any:
    """Puts the version before back in force."""
    return has.masters.rollback_model(name, who.actor)


@router.post("/{name}/test")
def test_model(name: Name, body: VersionRequest, _who: Technician, has: Has) -> Any:
    """Runs a version's golden samples again on this machine."""
    return has.masters.test_model(name, body.version)
