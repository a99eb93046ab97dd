"""Cameras: settings, live preview, one picture."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from edge_agent.api.auth import Anyone, Has, Technician
from edge_agent.api.bodies.equipment import CameraChange, CameraList, CameraSettings
from edge_agent.api.bodies.fields import SettingName
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.services import Services
from edge_agent.capture.camera import BOUNDARY, CameraStatus, mjpeg_part
from edge_agent.capture.driver import CameraConfig
from edge_agent.errors import AgentError, BadDefinition, NotFound
from edge_agent.images import probe
from edge_agent.inference.documents import problems_of
from edge_agent.store import audit, settings

router = APIRouter(prefix="/cameras", tags=["cameras"], route_class=KeyedRoute)
BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.get("")
def list_cameras(_who: Anyone, has: Has) -> CameraList:
    """Every camera, and how it is doing."""
    return CameraList(has.cameras.status())


@router.put("/{name}")
def put_camera(name: SettingName, body: CameraSettings, who: Technician, has: Has) -> CameraStatus:
    """Makes or changes a camera; what it shows is seen at the next picture."""
    config = CameraConfig.model_validate({**body.model_dump(), "name": name})
    with has.database.write(who.actor) as tx:
        _put(tx, config, has.clock.now())
    return _reloaded(has, name)


@router.patch("/{name}")
def change_camera(name: SettingName, body: CameraChange, who: Technician, has: Has) -> CameraStatus:
    """Changes the settings sent, and leaves the others and a password in the address as they are."""
    with has.database.write(who.actor) as tx:
        stored = settings.get(tx, f"camera.{name}")
        if stored is None:
            raise _unknown(name)
        _put(tx, _changed(stored, body), has.clock.now())
    return _reloaded(has, name)


@router.delete("/{name}", status_code=204)
def remove_camera(name: SettingName, who: Technician, has: Has) -> None:
    """Forgets a camera; pictures taken with it stay."""
    with has.database.write(who.actor) as tx:
        if not settings.remove(tx, f"camera.{name}"):
            raise _unknown(name)
        audit.append(tx, "settings", "system_config", f"camera.{name}", {"removed": True})
    has.cameras.reload()


@router.post(
    "/{name}/capture",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": BINARY, "image/png": BINARY}}},
)
def capture_picture(name: SettingName, _who: Anyone, has: Has) -> Response:
    """One fresh picture, stored nowhere; a session's pictures are taken with its own captures."""
    data = has.cameras.capture(name)
    return Response(data, media_type=probe(data).mime_type, headers={"Cache-Control": "no-store"})


@router.get(
    "/{name}/preview",
    response_class=StreamingResponse,
    responses={200: {"content": {"multipart/x-mixed-replace": BINARY}}},
)
def preview_camera(
    name: SettingName,
    _who: Anyone,
    has: Has,
    fps: Annotated[float, Query(ge=0.1, le=30, allow_inf_nan=False)] = 10.0,
    width_px: Annotated[int, Query(ge=64, le=1920)] = 640,
) -> StreamingResponse:
    """Live pictures (MJPEG) until the window closes."""
    frames = has.cameras.preview(name, fps, width_px)
    first = mjpeg_part(
        next(frames)
    )  # what is wrong with the camera is answered as a problem, not a torn stream
    media_type = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
    return StreamingResponse(
        _parts(first, frames), media_type=media_type, headers={"Cache-Control": "no-store"}
    )


def _changed(stored: dict[str, Any], change: CameraChange) -> CameraConfig:
    """Raises BadDefinition if what was stored before cannot be used."""
    try:
        return CameraConfig.model_validate({**stored, **change.model_dump(exclude_unset=True)})
    except ValidationError as error:
        raise BadDefinition("the camera cannot be changed", problems_of(error, "", "")) from None


def _put(tx: sqlite3.Connection, config: CameraConfig, now: str) -> None:
    """The settings, and the audit entry without the source: passwords may be in it."""
    value = config.model_dump(mode="json")
    settings.put(tx, f"camera.{config.name}", value, now)
    audit.append(tx, "settings", "system_config", f"camera.{config.name}", {**value, "source": "(set)"})


def _reloaded(has: Services, name: str) -> CameraStatus:
    has.cameras.reload()
    return next(status for status in has.cameras.status() if status.name == name)


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no camera {name!r}.", code="unknown-camera")


def _parts(first: bytes, frames: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    try:
        for frame in frames:
            yield mjpeg_part(frame)
    except AgentError:  # the camera went away: the stream ends, the window asks again and is told why
        return
