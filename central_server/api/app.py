"""The web application: gate, errors, routers.

Rules of this file:
- Everything comes in as `Services`; nothing is read from the environment and nothing starts here.
- Handlers are plain functions on the thread pool, as many as there are workers; only what waits is asynchronous.
- Routes are built before the first request. FastAPI would build each router's when a request first comes by: in the
  middle of serving, and two applications of one process at once would spoil each other's warning filters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from central_server import __version__
from central_server.api import problems
from central_server.api.gate import Gate, Places
from central_server.api.routers import (
    blobs,
    decisions,
    devices,
    health,
    history,
    masters,
    operators,
    review,
    statistics,
    sync,
)
from central_server.api.services import Services

PREFIX = "/api/v1"
RESOURCES = (devices, sync, blobs, operators, masters, decisions, history, review, statistics)


def create_app(services: Services) -> FastAPI:
    """The application for these services."""
    app = bare_app()
    app.state.services = services
    config = services.config
    app.state.places = Places(config.workers + config.max_waiting)
    app.add_middleware(Gate, places=app.state.places)
    _build_routes(app)
    return app


def bare_app() -> FastAPI:
    """Routes and errors without services: what the OpenAPI document is made from."""
    app = FastAPI(
        title="ImageFlowCanvas Central Server",
        version=__version__,
        description="Masters and inspection records. Times are RFC 3339 UTC, errors RFC 9457 problems.",
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        generate_unique_id_function=operation_id,
        lifespan=_lifespan,
    )
    api = APIRouter(prefix=PREFIX)
    for resource in RESOURCES:
        api.include_router(resource.router)
    app.include_router(api)
    app.include_router(health.router)
    problems.install(app)
    return app


def operation_id(route: APIRoute) -> str:
    """The function's name: what a generated client calls the operation."""
    return route.name


def _build_routes(app: FastAPI) -> None:
    """Asks every route for a path that none has."""
    nowhere = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(nowhere)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    if (services := getattr(app.state, "services", None)) is not None:
        current_default_thread_limiter().total_tokens = services.config.workers
    yield
