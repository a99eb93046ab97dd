"""Masters: six kinds with the same five requests, models' files, and bundles.

Rules of this file:
- A change names the version it was made on: `If-Match: "row_version"`, or `row_version` in the document; `*` means
  whatever is there. Somebody else's change in between is a 409 that shows both documents.
- Annotations are evaluated here: those inside `add_routes` name what belongs to the kind.
- DELETE switches off: history points at masters, so none is ever removed.
"""

import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from central_server.api.auth import Has
from central_server.api.operators import with_role
from central_server.api.uploads import FILE_BODY, PACKAGE_BODY, ZIP_BODY, Received
from central_server.masters.bundles import report_document
from central_server.masters.masters import Version
from central_server.masters.operators import ADMINS, ANYONE, EDITORS, Operator
from central_server.masters.resources import KINDS, Kind
from edge_agent.errors import BadInput

router = APIRouter(prefix="/masters", tags=["masters"])
Document = dict[str, Any]
IfMatch = Annotated[str | None, Header(description='The version the change was made on: `"7"`, or `*`.')]
PATHS = {
    "product": ("products", "/products/{product_code}"),
    "item": ("items", "/products/{product_code}/items/{item_code}"),
    "pipeline": ("pipelines", "/pipelines/{code}"),
    "component": ("components", "/components/{name}/{version}"),
    "user": ("users", "/users/{username}"),
    "model": ("models", "/models/{name}/{version}"),
}
_TAG = re.compile(r'(?:W/)?"?([0-9]{1,18})"?')


def version_of(if_match: str | None) -> Version:
    """Raises BadInput (`bad-version`)."""
    if if_match is None:
        return None
    if if_match.strip() == "*":
        return "any"
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise BadInput("If-Match is no version.", code="bad-version", hint='Send If-Match: "7", or *.')
    return int(found[1])


def add_routes(kind: Kind, plural: str, path: str) -> None:
    """The five requests of one kind."""
    is_secret = kind.name == "user"
    reader = Annotated[Operator, Depends(with_role(ADMINS if is_secret else ANYONE))]
    editor = Annotated[Operator, Depends(with_role(ADMINS if is_secret else EDITORS))]
    extra = {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in kind.key
        ]
    }

    def key_in(request: Request) -> tuple[str, ...]:
        return tuple(str(request.path_params[name]) for name in kind.key)

    @router.get(f"/{plural}", name=f"list_{plural}", summary=f"Every {kind.name}, by its key.")
    def list_all(
        has: Has,
        _: reader,
        with_inactive: Annotated[bool, Query(description="Also those switched off.")] = False,
    ) -> dict[str, list[Document]]:
        return {plural: has.office.masters.list(kind.name, with_inactive=with_inactive)}

    @router.get(path, name=f"show_{kind.name}", summary=f"One {kind.name}.", openapi_extra=extra)
    def show(request: Request, response: Response, has: Has, _: reader) -> Document:
        return _tagged(response, has.office.masters.get(kind.name, key_in(request)))

    @router.delete(
        path, name=f"deactivate_{kind.name}", summary=f"Switches the {kind.name} off.", openapi_extra=extra
    )
    def deactivate(
        request: Request, response: Response, has: Has, who: editor, if_match: IfMatch = None
    ) -> Document:
        version, key = version_of(if_match), key_in(request)
        done = has.office.masters.set_active(kind.name, key, who.name, version, is_active=False)
        return _tagged(response, done)

    @router.post(
        f"{path}/activate",
        name=f"activate_{kind.name}",
        summary=f"Switches the {kind.name} on, if everything that it needs is there.",
        openapi_extra=extra,
    )
    def activate(
        request: Request, response: Response, has: Has, who: editor, if_match: IfMatch = None
    ) -> Document:
        version, key = version_of(if_match), key_in(request)
        done = has.office.masters.set_active(kind.name, key, who.name, version, is_active=True)
        return _tagged(response, done)

    if kind.name == "model":
        return  # comes as its files: upload_package

    @router.put(
        path,
        name=f"put_{kind.name}",
        summary=f"Creates or changes the {kind.name}; `warnings` are for the operator to read.",
        openapi_extra=extra,
    )
    def put(
        request: Request,
        response: Response,
        has: Has,
        who: editor,
        document: Annotated[Document, Body()],
        if_match: IfMatch = None,
    ) -> Document:
        version, key = version_of(if_match), key_in(request)
        stored, warnings = has.office.masters.put(kind.name, key, document, who.name, version)
        return _tagged(response, stored) | {"warnings": list(warnings)}


for _kind, (_plural, _path) in PATHS.items():
    add_routes(KINDS[_kind], _plural, _path)


@router.post("/packages", openapi_extra=PACKAGE_BODY)
def upload_package(
    file: Received,
    has: Has,
    who: Annotated[Operator, Depends(with_role(EDITORS))],
    name: Annotated[str | None, Query(description="Of an export without model.json.")] = None,
    version: Annotated[str | None, Query(description="Of an export without model.json.")] = None,
    activate: Annotated[bool, Query(description="Also make it the active version.")] = False,
) -> Document:
    """Takes in a model package (zip or .onnx) that loads here and agrees with its golden samples."""
    key = has.office.packages.upload(file, who.name, name=name, version=version, activate=activate)
    return has.office.masters.get("model", key)


@router.post("/assets", openapi_extra=FILE_BODY)
def upload_asset(file: Received, has: Has, who: Annotated[Operator, Depends(with_role(EDITORS))]) -> Document:
    """Takes in a file that pipelines may name as `sha256:...`."""
    return {"sha256": has.office.packages.put_asset(file, who.name), "size": file.stat().st_size}


@router.post("/import", openapi_extra=ZIP_BODY)
def import_bundle(
    file: Received,
    has: Has,
    who: Annotated[Operator, Depends(with_role(ADMINS))],
    dry_run: Annotated[bool, Query(description="Only list every problem.")] = False,
) -> Document:
    """Takes in a bundle after full verification; a bad one changes nothing."""
    return report_document(has.office.bundles.import_bundle(file, who.name, dry_run=dry_run))


@router.get("/export", response_class=FileResponse)
def export_bundle(
    has: Has,
    _: Annotated[Operator, Depends(with_role(ADMINS))],
    with_users: Annotated[bool, Query(description="With password hashes.")] = False,
) -> FileResponse:
    """Every active master as a bundle that a device or another centre can import."""
    scratch = tempfile.TemporaryDirectory(prefix="export-", dir=has.office.scratch)
    try:
        path = Path(scratch.name) / "masters.zip"
        has.office.bundles.export_bundle(path, with_users=with_users)
    except BaseException:
        scratch.cleanup()
        raise
    done = BackgroundTask(scratch.cleanup)
    return FileResponse(path, media_type="application/zip", filename=path.name, background=done)


def _tagged(response: Response, document: Document) -> Document:
    response.headers["ETag"] = f'"{document["row_version"]}"'
    return document
