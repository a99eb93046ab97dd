"""Pipelines: what is in force, whether a definition would compile, what it would say of a picture."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from edge_agent.api.auth import Anyone, Has, Technician
from edge_agent.api.bodies.equipment import DryRun, PipelineBody, PipelineList, ValidationReply
from edge_agent.api.bodies.fields import Name
from edge_agent.api.idempotency import KeyedRoute
from edge_agent.api.problems import ProblemPlace
from edge_agent.api.services import Services
from edge_agent.api.uploads import PICTURE_BODY, APicture, Picture, kept_file
from edge_agent.errors import BadDefinition, NotFound
from edge_agent.images import probe
from edge_agent.inspection.running import Running
from edge_agent.models import AiResult, Item, Pipeline
from edge_agent.store import masters

router = APIRouter(prefix="/pipelines", tags=["pipelines"], route_class=KeyedRoute)
DRY_RUN_S = 60.0


@router.get("")
def list_pipelines(_who: Anyone, has: Has) -> PipelineList:
    """Every active pipeline, and why it is not in force if it is not."""
    with has.database.read() as reader:
        found = masters.list_pipelines(reader)
    running = has.masters.running
    return PipelineList([_body(pipeline, running) for pipeline in found])


@router.get("/{code}")
def get_pipeline(code: Name, _who: Anyone, has: Has) -> PipelineBody:
    """One pipeline with its definition."""
    return _body(_find(has, code), has.masters.running)


@router.post("/validate")
def validate_pipeline(
    definition: Annotated[dict[str, Any], Body(description="A pipeline/1 document.")],
    _who: Technician,
    has: Has,
) -> ValidationReply:
    """Every fault of a definition, each at its place, against the models and assets installed here."""
    try:
        has.pool.request("compile", definition=json.dumps(definition)).result(DRY_RUN_S)
    except BadDefinition as error:
        places = [
            ProblemPlace(file=p.file, pointer=p.pointer, code=p.code, message=p.message)
            for p in error.problems
        ]
        return ValidationReply(False, places)
    return ValidationReply(True, [])


@router.post("/{code}/dry-run", openapi_extra=PICTURE_BODY)
def dry_run_pipeline(
    code: Name,
    _who: Technician,
    picture: APicture,
    has: Has,
    item_id: Annotated[str, Query(max_length=64, description="The item whose criteria judge.")],
) -> DryRun:
    """What the pipeline would say of a picture; stores nothing."""
    pipeline, item = _find(has, code), _item(has, item_id)
    probe(
        picture.data,
        picture.name,
        max_bytes=has.config.max_image_bytes,
        max_pixels=has.config.max_image_pixels,
    )
    calibration = has.masters.running.calibrations.get(str(item.criteria.get("calibration", "")))
    return _run(has, pipeline, item, picture, calibration)


def _run(
    has: Services, pipeline: Pipeline, item: Item, picture: Picture, calibration: Mapping[str, Any] | None
) -> DryRun:
    with kept_file(has.config.data_dir, picture.data) as path:
        answer = has.pool.request(
            "dry-run",
            DRY_RUN_S,
            definition=json.dumps(pipeline.definition),
            path=str(path),
            criteria=item.criteria,
            scan={},
            now=has.clock.now(),
            calibration=calibration,
            derived=str(path.with_name("drawn")),
        ).result(DRY_RUN_S)
        drawn = {Path(name).name: Path(name).read_bytes() for name in answer["pictures"]}
    result = answer["result"]
    return DryRun(
        overall_result=AiResult(result["overall_result"]),
        confidence=result["confidence"],
        processing_time=result["processing_time"],
        detailed_results=result["detailed_results"],
        pictures={_kind(name): b64encode(data).decode() for name, data in drawn.items()},
    )


def _kind(name: str) -> str:
    """`drawn.overlay.jpg` → `overlay`."""
    return name.removeprefix("drawn.").removesuffix(".jpg")


def _body(pipeline: Pipeline, running: Running) -> PipelineBody:
    problems = running.problems.get(pipeline.code, ())
    places = [ProblemPlace(file=p.file, pointer=p.pointer, code=p.code, message=p.message) for p in problems]
    return PipelineBody(pipeline, pipeline.id in running.pipelines, places)


def _find(has: Services, code: str) -> Pipeline:
    with has.database.read() as reader:
        for pipeline in masters.list_pipelines(reader):
            if pipeline.code == code:
                return pipeline
    raise NotFound(f"There is no pipeline {code!r}.", code="unknown-pipeline")


def _item(has: Services, item_id: str) -> Item:
    with has.database.read() as reader:
        item = masters.get_item(reader, item_id)
    if item is None:
        raise NotFound(f"There is no item {item_id!r}.", code="unknown-item")
    return item
