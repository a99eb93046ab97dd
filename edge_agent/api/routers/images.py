"""Photographs: taken in, judged by the AI, looked at."""

from __future__ import annotations

from concurrent.futures import TimeoutError as NotYet
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from edge_agent.api.auth import Anyone, Has, Principal
from edge_agent.api.bodies.fields import Id
from edge_agent.api.bodies.inspections import CaptureRequest, ImageBody, ImageReply
from edge_agent.api.files import FOR_EVER, send_file
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.pictures import drawn_path, require_here, thumbnail_path
from edge_agent.api.services import Services
from edge_agent.api.uploads import PICTURE_BODY, APicture
from edge_agent.api.views import image_reply, is_blinded, is_withheld, shown_image, shown_results
from edge_agent.clock import from_rfc3339
from edge_agent.errors import AgentError, Denied, NotFound
from edge_agent.inspection.late import Added
from edge_agent.models import Image, ImageSource, ItemVerdict
from edge_agent.store import images, results

router = APIRouter(tags=["images"], route_class=KeyedRoute)

Wait = Annotated[bool, Query(description="Answer when the AI's verdict is durable.")]
WaitS = Annotated[float, Query(ge=0, le=60, allow_inf_nan=False, description="Seconds to wait for it.")]
OwnCamera = Annotated[
    str | None, Query(max_length=200, description="The window's own camera that took it; none for a file.")
]
RENDERING_S = 10.0
IMAGE_REPLY = TypeAdapter(ImageReply)
JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post(
    "/sessions/{session_id}/items/{item_id}/images",
    status_code=201,
    response_model=ImageReply,
    openapi_extra=PICTURE_BODY,
    responses={200: {"model": ImageReply}, 202: {"model": ImageReply}},
)
def add_image(
    session_id: Id,
    item_id: Id,
    who: Anyone,
    picture: APicture,
    has: Has,
    wait: Wait = True,
    wait_s: WaitS = 10.0,
    camera: OwnCamera = None,
) -> Response:
    """Stores one image of an item; durable when answered.

    201 with the AI's verdict, 202 while that is under way (look at the Location), 200 for bytes already here.
    """
    source, origin = (ImageSource.CAMERA, camera) if camera else (ImageSource.UPLOAD, picture.name)
    added = has.intake.add(session_id, item_id, picture.data, source=source, origin=origin, actor=who.actor)
    return _reply(added, who, has, wait_s if wait else 0.0)


@router.post(
    "/sessions/{session_id}/items/{item_id}/captures",
    status_code=201,
    response_model=ImageReply,
    responses={200: {"model": ImageReply}, 202: {"model": ImageReply}},
)
def capture_image(
    session_id: Id,
    item_id: Id,
    body: CaptureRequest,
    who: Anyone,
    has: Has,
    wait: Wait = True,
    wait_s: WaitS = 10.0,
) -> Response:
    """Takes a picture with a camera and stores it; answers as an upload does."""
    data = has.cameras.capture(body.camera)
    added = has.intake.add(
        session_id, item_id, data, source=ImageSource.CAMERA, origin=body.camera, actor=who.actor
    )
    return _reply(added, who, has, wait_s if wait else 0.0)


@router.get("/images/{image_id}")
def get_image(image_id: Id, who: Anyone, has: Has) -> ImageBody:
    """One image and every AI result on it."""
    with has.database.snapshot() as reader:
        image = _image(has, image_id)
        verdict = _verdict(results.item_verdicts(reader, image.session_id), image.item_id)
        runs = [r for r in results.list_ai_results(reader, image.session_id) if r.image_id == image_id]
    blinded = is_blinded(who.role, blind_mode=has.config.blind_mode)
    hidden = is_withheld(verdict, blinded=blinded)
    known = {image.item_id: verdict} if verdict else {}
    return ImageBody(shown_image(image, hidden=hidden), shown_results(runs, known, blinded=blinded), hidden)


@router.post(
    "/images/{image_id}/inspect",
    status_code=201,
    response_model=ImageReply,
    responses={202: {"model": ImageReply}},
)
def inspect_image(image_id: Id, who: Anyone, has: Has, wait: Wait = True, wait_s: WaitS = 10.0) -> Response:
    """Has the AI judge a stored image once more; the verdict is added to the earlier ones."""
    return _reply(has.intake.late.inspect_again(image_id, who.actor), who, has, wait_s if wait else 0.0)


@router.get("/images/{image_id}/original", response_class=Response, responses=JPEG)
def get_original(image_id: Id, _who: Anyone, has: Has, request: Request) -> Response:
    """The photograph, byte for byte as it came."""
    image = _image(has, image_id)
    require_here(image)
    path = has.blobs.path_of(image.file_path)
    return send_file(request, path, image.mime_type, etag=image.sha256, cache=FOR_EVER)


@router.get("/images/{image_id}/thumbnail", response_class=Response, responses=JPEG)
def get_thumbnail(image_id: Id, _who: Anyone, has: Has, request: Request) -> Response:
    """The photograph, small; drawn again if it is gone."""
    image = _image(has, image_id)
    return send_file(request, thumbnail_path(has, image), "image/jpeg")


@router.get("/images/{image_id}/overlay", response_class=Response, responses=JPEG)
def get_overlay(image_id: Id, who: Anyone, has: Has, request: Request) -> Response:
    """The photograph with what the AI found drawn on it."""
    return _drawn(image_id, "overlay", who, has, request)


@router.get("/images/{image_id}/heatmap", response_class=Response, responses=JPEG)
def get_heatmap(image_id: Id, who: Anyone, has: Has, request: Request) -> Response:
    """Where the AI found the image unusual."""
    return _drawn(image_id, "heatmap", who, has, request)


def _reply(added: Added, who: Principal, has: Services, wait_s: float) -> Response:
    """Written here, on the handler's thread: left to the framework it costs a change of threads."""
    image, is_done, result = added.image, True, None
    try:
        result = added.verdict.result(wait_s)
    except (NotYet, AgentError):  # not durable yet: the image is, and its run goes on or starts again
        is_done = False
    hidden = is_blinded(who.role, blind_mode=has.config.blind_mode) and _is_undecided(has, image)
    reply = image_reply(image, result, is_done=is_done, is_duplicate=added.is_duplicate, hidden=hidden)
    status = 202 if not is_done else 200 if added.is_duplicate else 201
    location = {"Location": f"/api/v1/images/{image.id}"}
    return Response(IMAGE_REPLY.dump_json(reply), status, location, "application/json")


def _drawn(
    image_id: str, kind: Literal["overlay", "heatmap"], who: Principal, has: Services, request: Request
) -> Response:
    image = _image(has, image_id)
    if is_blinded(who.role, blind_mode=has.config.blind_mode) and _is_undecided(has, image):
        raise Denied(
            "The AI's verdict is shown once the item is decided.",
            code="verdict-withheld",
            hint="Judge the item by eye first.",
        )
    path = drawn_path(has, image_id, kind)
    if not path.is_file():
        raise _not_drawn(has, image, kind)
    return send_file(request, path, "image/jpeg")


def _not_drawn(has: Services, image: Image, kind: str) -> NotFound:
    with has.database.read() as reader:
        result = results.latest_ai_result(reader, image.id)
    if result is not None and has.clock.time() - from_rfc3339(result.created_at) < RENDERING_S:
        return NotFound(
            f"The {kind} may still be being drawn.",
            code="not-drawn-yet",
            hint="Ask again in a second.",
            retry_after_s=1,
        )
    return NotFound(
        f"This image has no {kind}.",
        code="nothing-drawn",
        hint="Inspect the image again if its pipeline draws one.",
    )


def _image(has: Services, image_id: str) -> Image:
    with has.database.read() as reader:
        image = images.get_image(reader, image_id)
    if image is None:
        raise NotFound(f"There is no image {image_id}.", code="unknown-image")
    return image


def _is_undecided(has: Services, image: Image) -> bool:
    with has.database.read() as reader:
        verdict = _verdict(results.item_verdicts(reader, image.session_id), image.item_id)
    return is_withheld(verdict, blinded=True)


def _verdict(verdicts: list[ItemVerdict], item_id: str) -> ItemVerdict | None:
    return next((verdict for verdict in verdicts if verdict.item_id == item_id), None)
