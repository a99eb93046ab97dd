"""The machine, the disk, what is wrong: for people, for probes, for Prometheus."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress

from fastapi import APIRouter, Request, Response

from edge_agent import __version__
from edge_agent.api.auth import Anyone, Has, Language, Senior
from edge_agent.api.bodies.figures import DiskInfo, FindingList, Health, Metrics, SystemInfo
from edge_agent.api.services import Services
from edge_agent.api.streams import Streams
from edge_agent.clock import from_rfc3339
from edge_agent.messages import in_language
from edge_agent.store import sessions, settings, users
from edge_agent.store.database import library_version

router = APIRouter(prefix="/system", tags=["system"])
probes = APIRouter(tags=["health"])


@router.get("/info")
def get_info(_who: Anyone, has: Has, request: Request) -> SystemInfo:
    """Versions and identity of this installation."""
    started_at: str = request.app.state.started_at
    with has.database.read() as reader:
        device_id = settings.get(reader, "device.id")
    return SystemInfo(
        version=__version__,
        device_id=str(device_id),
        device_type=has.config.device_type,
        data_dir=str(has.config.data_dir),
        sqlite_version=".".join(map(str, library_version())),
        python_version=sys.version.split()[0],
        started_at=started_at,
        uptime_s=has.clock.time() - from_rfc3339(started_at),
        now=has.clock.now(),
        time_zone=has.config.time_zone,
        is_blind_mode=has.config.blind_mode,
    )


@router.get("/disk")
def get_disk(_who: Anyone, has: Has) -> DiskInfo:
    """How much room is left."""
    usage, least = shutil.disk_usage(has.config.data_dir), has.config.min_free_bytes
    return DiskInfo(usage.total, usage.free, least, database_bytes(has), usage.free >= least)


@router.get("/findings")
def list_findings(_who: Anyone, has: Has, language: Language) -> FindingList:
    """What is wrong right now, each with what to do, in the language asked for."""
    return FindingList([in_language(one, language) for one in has.findings()])


@router.get("/metrics")
def get_metrics(_who: Senior, has: Has, request: Request) -> Metrics:
    """The figures that /metrics gives to Prometheus."""
    return measure(has, request.app.state.streams)


def measure(has: Services, streams: Streams) -> Metrics:
    state = has.pool.state
    with has.database.read() as reader:
        open_sessions = sessions.count_open(reader)
    return Metrics(
        open_sessions=open_sessions,
        database_commits=has.database.commits,
        database_bytes=database_bytes(has),
        image_fsyncs=has.blobs.fsyncs,
        disk_free_bytes=shutil.disk_usage(has.config.data_dir).free,
        inference_state=state.state,
        inference_workers=len(state.pids),
        inference_restarts=state.restarts,
        inference_waiting=state.waiting,
        inference_running=state.running,
        inference_rss_bytes=state.rss_bytes,
        event_streams=len(streams),
    )


def database_bytes(has: Services) -> int:
    """The database file and its log."""
    total = 0
    for suffix in ("", "-wal"):
        with suppress(OSError):
            total += (has.config.data_dir / f"{has.config.database_path.name}{suffix}").stat().st_size
    return total


@probes.get("/health/live")
async def get_live() -> Health:
    """The process answers."""
    return Health("ok", [])


@probes.get("/health/ready", responses={503: {"model": Health}})
def get_ready(has: Has, response: Response) -> Health:
    """The database answers and there is room to store an inspection; without AI people still go on."""
    problems = list(_not_ready(has))
    if problems:
        response.status_code = 503
    return Health("not-ready" if problems else "ok", problems)


def _not_ready(has: Services) -> Iterator[str]:
    with has.database.read() as reader:
        users.exist(reader)
    if shutil.disk_usage(has.config.data_dir).free < has.config.min_free_bytes:
        yield "disk-nearly-full"


@probes.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_prometheus(has: Has, request: Request) -> Response:
    """Figures in the Prometheus text format; numbers only, so no login."""
    text = prometheus(measure(has, request.app.state.streams))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


COUNTERS = frozenset({"database_commits", "image_fsyncs", "inference_restarts"})


def prometheus(metrics: Metrics) -> str:
    """One gauge or counter per figure; the state of inference as a labelled 1."""
    lines: list[str] = []
    for name in Metrics.__slots__:
        value = getattr(metrics, name)
        if value is None:
            continue
        full = f"edge_agent_{name}{'_total' if name in COUNTERS else ''}"
        lines.append(f"# TYPE {full} {'counter' if name in COUNTERS else 'gauge'}")
        lines.append(f'{full}{{state="{value}"}} 1' if isinstance(value, str) else f"{full} {value}")
    return "\n".join(lines) + "\n"
