"""The web application: guard, errors, routers, and the console's files.

Rules of this file:
- Everything comes in as `Services`; nothing is read from the environment and nothing starts here.
- Handlers are plain functions on the thread pool; only streams are asynchronous.
- No telemetry, and no page that would ask another server for anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.routing import APIRoute

from edge_agent import __version__
from edge_agent.api import problems
from edge_agent.api.console import mount_console
from edge_agent.api.contract import contract, roles_of
from edge_agent.api.guard import Admission, Guard
from edge_agent.api.limits import BodyLimit
from edge_agent.api.logins import Logins
from edge_agent.api.routers import (
    audit,
    cameras,
    enrolment,
    events,
    exports,
    folders,
    images,
    logins,
    masters,
    models,
    pipelines,
    results,
    scans,
    sessions,
    settings,
    statistics,
    sync,
    sync_work,
    system,
    targets,
    upkeep,
    users,
)
from edge_agent.api.services import Services
from edge_agent.api.streams import Streams

PREFIX = "/api/v1"
ROUTERS = (
    images.router,
    logins.router,
    scans.router,
    targets.router,
    sessions.router,
    results.router,
    cameras.router,
    folders.router,
    masters.router,
    masters.calibrations,
    models.router,
    models.uploads,
    pipelines.router,
    users.router,
    settings.router,
    statistics.router,
    audit.router,
    exports.router,
    sync.router,
    sync_work.router,
    enrolment.router,
    system.router,
    upkeep.router,
    events.router,
)


def create_app(services: Services) -> FastAPI:
    """The application for these services; `app.state.streams.close()` ends the open event streams."""
    app = bare_app()
    app.state.services = services
    app.state.logins = Logins(services.database, services.clock, services.config, services.install_token)
    app.state.streams = Streams(services.events, services.clock.random(4).hex())
    app.state.started_at = services.clock.now()
    admission = Admission.of(services.config.allowed_hosts, services.config.allowed_origins)
    app.add_middleware(BodyLimit)
    app.add_middleware(Guard, admission=admission)
    mount_console(app, services.clock)
    return app


def bare_app() -> FastAPI:
    """Routes and errors without services: what the OpenAPI document is made from."""
    app = FastAPI(
        title="ImageFlowCanvas Edge Agent",
        version=__version__,
        description="Visual inspection on this machine. Times are RFC 3339 UTC, errors RFC 9457 problems.",
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        generate_unique_id_function=operation_id,
        lifespan=_lifespan,
    )
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.include_router(system.probes)
    problems.install(app)
    app.state.roles = {
        route.name: roles_of(route)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
    }
    app.openapi = partial(contract, app)  # type: ignore[method-assign]
    return app


def operation_id(route: APIRoute) -> str:
    """The function's name: what a generated client calls the operation."""
    return route.name


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    if (streams := getattr(app.state, "streams", None)) is not None:
        streams.close()
