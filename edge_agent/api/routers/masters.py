"""Master data: what is here, and bundles in and out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from edge_agent.api.auth import Anyone, Has, Technician
from edge_agent.api.bodies.equipment import (
    CalibrationBody,
    CalibrationList,
    CalibrationRequest,
    ItemList,
    ProductList,
)
from edge_agent.api.bodies.fields import Name, ProductCode
from edge_agent.api.idempotency import KeyedRoute, StreamedRoute
from edge_agent.api.uploads import PACKAGE_BODY, PICTURE_BODY, APackage, APicture
from edge_agent.calibration import BoardSpec, CalibrationResult, calibrate
from edge_agent.errors import Denied, NotFound
from edge_agent.images import decode, probe
from edge_agent.masters.report import ImportReport, MastersStatus
from edge_agent.models import Role
from edge_agent.store import masters

router = APIRouter(prefix="/masters", tags=["masters"], route_class=StreamedRoute)


@router.get("/status")
def get_masters_status(_who: Anyone, has: Has) -> MastersStatus:
    """What is in force, and what of it cannot be used."""
    return has.masters.status()


@router.get("/products")
def list_products(_who: Anyone, has: Has) -> ProductList:
    """Every active product."""
    with has.database.read() as reader:
        return ProductList(masters.list_products(reader))


@router.get("/products/{product_code}/items")
def list_items(product_code: ProductCode, _who: Anyone, has: Has) -> ItemList:
    """The product's items in the order in which they are inspected."""
    with has.database.snapshot() as reader:
        product = masters.find_product(reader, product_code)
        if product is None:
            raise NotFound(f"There is no product {product_code!r}.", code="unknown-product")
        return ItemList(product, masters.list_items(reader, product.id))


@router.post("/import", openapi_extra=PACKAGE_BODY)
def import_bundle(
    who: Technician,
    package: APackage,
    has: Has,
    dry_run: Annotated[bool, Query(description="Only say what is wrong with it.")] = False,
) -> ImportReport:
    """Takes in a bundle (zip) after full verification; a bad one changes nothing."""
    return has.masters.import_bundle(package, who.actor, dry_run=dry_run)


@router.get(
    "/export",
    response_class=FileResponse,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def export_bundle(
    who: Technician,
    has: Has,
    with_users: Annotated[bool, Query(description="With password hashes; administrators only.")] = False,
) -> FileResponse:
    """Everything in force as a bundle that another agent can import."""
    if with_users and who.role is not Role.ADMIN and who.via != "install":
        raise Denied("Only an administrator may take password hashes out.", code="role-needed")
    folder = tempfile.TemporaryDirectory(prefix="export-", dir=has.config.data_dir / "staging")
    path = Path(folder.name) / "masters.zip"
    try:
        has.masters.export_bundle(path, with_users=with_users)
    except BaseException:
        folder.cleanup()
        raise
    after = BackgroundTask(folder.cleanup)
    return FileResponse(path, media_type="application/zip", filename="masters.zip", background=after)


calibrations = APIRouter(prefix="/calibrations", tags=["calibrations"], route_class=KeyedRoute)


@calibrations.get("")
def list_calibrations(_who: Anyone, has: Has) -> CalibrationList:
    """The scale of every camera set-up."""
    with has.database.read() as reader:
        return CalibrationList.of(masters.list_calibrations(reader))


@calibrations.post("/measure", openapi_extra=PICTURE_BODY)
def measure_calibration(
    _who: Technician, picture: APicture, has: Has, board: Annotated[BoardSpec, Query()]
) -> CalibrationResult:
    """The scale of a camera set-up from a picture of a board; recorded only by a PUT."""
    config = has.config
    info = probe(
        picture.data, picture.name, max_bytes=config.max_image_bytes, max_pixels=config.max_image_pixels
    )
    return calibrate(decode(picture.data, info), board)


@calibrations.put("/{name}")
def put_calibration(name: Name, body: CalibrationRequest, who: Technician, has: Has) -> CalibrationBody:
    """Records the scale of a camera set-up and puts it in force."""
    has.masters.put_calibration(name, body.um_per_px, body.valid_until, body.method, body.detail, who.actor)
    with has.database.read() as reader:
        found = CalibrationList.of(masters.list_calibrations(reader)).calibrations
    return next(one for one in found if one.name == name)
