"""Master data: what is here, and bundles in and out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Query, Request
from fastapi.responses import FileResponse

from edge_agent.api.auth import Anyone, Has, Technician
from edge_agent.api.bodies import CalibrationList, ItemList, ProductCode, ProductList
from edge_agent.api.idempotency import StreamedRoute
from edge_agent.api.uploads import MAX_PACKAGE_BYTES, PACKAGE_BODY, APackage
from edge_agent.errors import NotFound
from edge_agent.store import masters

router = APIRouter(prefix="/masters", tags=["masters"], route_class=StreamedRoute)


@router.get("/status")
def get_masters_status(_who: Anyone, has: Has) -> Any:
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


@router.post("/import", openapi_extra=PACKAGE_BODY, max_body_size=MAX_PACKAGE_BYTES)
def import_bundle(
    package: APackage,
    who: Technician,
    has: Has,
    dry_run: Annotated[bool, Query(description="Only say what is wrong with it.")] = False,
) -> Any:
    """Takes in a bundle (zip) after full verification; a bad one changes nothing."""
    return has.masters.import_bundle(package, who.actor, dry_run)


@router.get(
    "/export",
    response_class=FileResponse,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def export_bundle(_who: Technician, has: Has, request: Request, after: BackgroundTasks) -> FileResponse:
    """Everything in force as a bundle that another agent can import."""
    folder = tempfile.TemporaryDirectory(prefix="export-", dir=has.config.data_dir / "staging")
    after.add_task(folder.cleanup)
    path = Path(folder.name) / "masters.zip"
    has.masters.export_bundle(path)
    return FileResponse(path, media_type="application/zip", filename="masters.zip", background=after)


calibrations = APIRouter(prefix="/calibrations", tags=["calibrations"])


@calibrations.get("")
def list_calibrations(_who: Anyone, has: Has) -> CalibrationList:
    """The scale of every camera set-up."""
    with has.database.read() as reader:
        return CalibrationList.of(masters.list_calibrations(reader))
