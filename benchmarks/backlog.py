"""A day's backlog drains without a person; numbers: inspections (500; a day has 5000), bytes of a picture (200000).

Measured: seconds from the return of the server until the centre has all that a daemon recorded offline, rows/s, MB/s,
and what memory it takes. Each inspection has three pictures. In the middle the server is stopped and started again, and
nobody tells the daemon; the time without a server does not count, the daemon's finding out does.
Goal: it drains by itself, the daemon takes at most 150 MB more than before, however much waits; `check` and
`verify --deep` find nothing, and the counts are equal on both sides.
Limit: plain PUT of the pictures (`blobs`); rows go beside them.

Rules of this file:
- The real daemon with its own scheduler, the real server, the masters pulled from it; inspections are made through the
  use cases that inspectors use. Only the pictures (noise) and the AI's verdicts of them are put there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

from benchmarks.centre import SERVER, Centre, centre
from benchmarks.common import peak_megabytes, report
from benchmarks.daemon import Daemon, daemon
from benchmarks.networks import write_bundle, write_classifier
from central_server.embedded.processes import free_ports
from central_server.facts import TABLES
from edge_agent.api.services import Services
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.inspection.judgement import Judgement
from edge_agent.models import Actor, FinalResult, Role
from edge_agent.store.database import insert
from sync_protocol.canonical import sha256_hex
from tests.acceptance.program import ask, command

INSPECTIONS, PICTURE_BYTES, PICTURES_EACH = 500, 200_000, 3
OUTAGE_S = 10.0
MORE_MB = 150
LOOK_S = 0.25
NETWORK_PX = 64
TECHNICIAN = Actor("bench", None, Role.TECHNICIAN)
PERSON = """INSERT INTO users (id, username, password_hash, full_name)
            VALUES (gen_random_uuid(), 'inspector', '', '検査 太郎')"""
FACTS = tuple(TABLES)


def run(work: Path, inspections: int = INSPECTIONS, picture_bytes: int = PICTURE_BYTES) -> None:
    [port] = free_ports(1)
    with agent_without_server(work, port) as services:
        facts = work_offline(services, inspections, picture_bytes)
    pictures, rows = facts["inspection_images"], sum(facts.values())
    took_s = 0.0
    with daemon(work / "agent") as agent:
        idle_mb = peak_megabytes(agent.process.pid)
        with centre(work, port) as server:
            took_s += seconds_until(lambda: server.count("file_devices") >= pictures // 2)
            server_mb = peak_megabytes(server.process.pid)
        sleep(OUTAGE_S)
        with centre(work, port) as server:
            took_s += seconds_until(lambda: is_drained(agent))
            peak_mb = peak_megabytes(agent.process.pid)
            require_sound(work / "agent", server, facts)
    report(
        f"{inspections} inspections ({rows} rows and their changes), {pictures} pictures of {picture_bytes} bytes",
        [
            ("drained in, s", f"{took_s:.1f}", ""),
            ("rows/s, beside the pictures", f"{rows / took_s:.0f}", ""),
            ("MB/s", f"{pictures * picture_bytes / 1e6 / took_s:.1f}", ""),
            ("memory of the daemon before, MB", f"{idle_mb:.0f}", ""),
            ("memory of the daemon, peak, MB", f"{peak_mb:.0f}", f"<= {idle_mb + MORE_MB:.0f}"),
            ("memory of the server process, peak, MB", f"{server_mb:.0f}", ""),
        ],
    )


# ── before ──────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def agent_without_server(work: Path, port: int) -> Iterator[Services]:
    """An agent that has pulled its masters; the server is away when the block begins."""
    with running_services(load_config(work / "agent", port=0, min_free_bytes=0), Clock()) as services:
        with centre(work, port) as server:
            import_masters(server, work / "masters")
            services.sync.enrol(server.url, server.code(), TECHNICIAN)
            services.sync.run_pass()
        yield services


def import_masters(server: Centre, folder: Path) -> None:
    folder.mkdir()
    write_classifier(folder / "model.onnx", NETWORK_PX, 8, 3)
    write_bundle(folder / "bundle", folder / "model.onnx", NETWORK_PX)
    done = command(server.data_dir, "master", "import", folder / "bundle", program=SERVER)
    assert done.returncode == 0, done.stderr
    server.sql(PERSON)


def work_offline(services: Services, inspections: int, picture_bytes: int) -> dict[str, int]:
    """Inspects that many products; returns how many records of each kind there are."""
    with services.database.read() as reader:
        [user_id] = reader.execute("SELECT id FROM users WHERE username = 'inspector'").fetchone()
    for _ in range(inspections):
        inspect(services, Actor("inspector", user_id, Role.INSPECTOR), picture_bytes)
    with services.database.read() as reader:
        counted = {table: reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in FACTS}
    assert counted["inspection_images"] == inspections * PICTURES_EACH
    return counted


def inspect(services: Services, actor: Actor, picture_bytes: int) -> None:
    sessions = services.sessions
    view = sessions.start(json.dumps({"product": "BENCH", "serial": services.clock.new_id()[-12:]}), actor)
    [item_id] = [progress.item.id for progress in view.items]
    for _ in range(PICTURES_EACH):
        photograph(
            services, view.session.id, view.session.work_day, item_id, actor, os.urandom(picture_bytes)
        )
    sessions.verify(view.session.id, Judgement(FinalResult.OK, item_id), actor)
    sessions.complete(view.session.id, actor)


def photograph(
    services: Services, session_id: str, work_day: str, item_id: str, actor: Actor, data: bytes
) -> None:
    image_id, now = services.clock.new_id(), services.clock.now()
    staged = services.blobs.stage(data, image_id, "image/png", work_day)
    os.replace(staged.path, staged.final)
    both = {"session_id": session_id, "created_at": now, "item_id": item_id}
    image = {
        **both,
        "id": image_id,
        "file_path": staged.file_path,
        "file_size": len(data),
        "sha256": sha256_hex(data),
        "mime_type": "image/png",
        "width_px": 640,
        "height_px": 480,
        "captured_at": now,
        "captured_by": actor.user_id,
        "source": "camera",
        "state": "inspected",
    }
    result = {
        **both,
        "id": services.clock.new_id(),
        "image_id": image_id,
        "overall_result": "OK",
        "confidence": 0.97,
        "processing_time": 0.012,
        "detailed_results": '{"steps":[]}',
        "criteria_sha256": "c" * 64,
    }
    with services.database.write(actor) as tx:
        insert(tx, "inspection_images", image)
        insert(tx, "ai_inspection_results", result)


# ── after ───────────────────────────────────────────────────────────────────────────────────────────────


def seconds_until(is_so: Callable[[], bool]) -> float:
    began_s = perf_counter()
    while not is_so():
        sleep(LOOK_S)
    return perf_counter() - began_s


def is_drained(agent: Daemon) -> bool:
    status = agent.client.get("/api/v1/sync/status").raise_for_status().json()
    return not status["lanes"] and not status["images"]["waiting"]


def require_sound(data_dir: Path, server: Centre, facts: dict[str, int]) -> None:
    """Counts are equal, and both sides find nothing wrong."""
    assert {table: server.count(table) for table in FACTS} == facts
    assert server.count("file_devices") == facts["inspection_images"]
    server.require_sound_counts()
    for question in (("check",), ("sync", "verify", "--deep")):
        code, answer = ask(data_dir, *question)
        assert code == 0, answer
