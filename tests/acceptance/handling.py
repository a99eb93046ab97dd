"""What the tests with bad input do with the whole agent, and what must be true of it afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_agent.api.services import Services
from edge_agent.check import run_check
from edge_agent.inspection.late import Added
from edge_agent.inspection.sessions import SessionView
from edge_agent.models import Finding, ImageSource
from edge_agent.store import settings
from tests.integration.conftest import SATO
from tests.waiting import wait_for

Picture = Callable[..., bytes]


def add_folder(services: Services, name: str, path: Path, **more: Any) -> None:
    value = {"path": str(path), "settle_s": 0.0, **more}
    with services.database.write() as tx:
        settings.put(tx, f"folder.{name}", value, services.clock.now())
    services.folders.reload()


def drop(folder: Path, name: str, data: bytes) -> None:
    """Under a passing name first: a file that is due at once must be whole at once."""
    (folder / f"{name}.part").write_bytes(data)
    (folder / f"{name}.part").rename(folder / name)


def everything(services: Services) -> tuple[int, int, int]:
    """Image rows, sessions' images on disk, staged files."""
    with services.database.read() as reader:
        rows = reader.execute("SELECT count(*) FROM inspection_images").fetchone()[0]
    staged = len([*(services.config.data_dir / "staging").iterdir()])
    return rows, sum(1 for _ in services.blobs.all_files()), staged


def sound(services: Services) -> None:
    """`check`, as on a stopped agent, finds nothing at all; what was drawn of a refused picture goes a little later."""

    def found() -> list[Finding]:
        with services.database.read() as reader:
            return [*run_check(services.config, reader, now_s=0.0)]

    wait_for(lambda: not found(), found)


def state_of(services: Services, data: bytes) -> tuple[str, str]:
    """Of the one image with these bytes, once its run is over."""
    sha256 = hashlib.sha256(data).hexdigest()
    sql = """SELECT i.state, coalesce(i.failure, r.overall_result) FROM inspection_images i
             LEFT JOIN ai_inspection_results r ON r.image_id = i.id WHERE i.sha256 = ?"""

    def rows() -> list[tuple[str, str]]:
        with services.database.read() as reader:
            return [tuple(row) for row in reader.execute(sql, (sha256,))]

    wait_for(lambda: rows() and rows()[0][0] != "inspecting")
    [state] = rows()
    return state


def start(services: Services, serial: str) -> SessionView:
    return services.sessions.start(json.dumps({"product": "PLATE", "serial": serial}), SATO)


def add(services: Services, view: SessionView, data: bytes) -> Added:
    return services.intake.add(
        view.session.id, view.items[0].item.id, data, source=ImageSource.UPLOAD, origin="x.png", actor=SATO
    )


def noise(seed: int, side: int = 200) -> bytes:
    """A picture of about 120 kB that does not compress."""
    pixels = np.random.default_rng(seed).integers(200, 256, (side, side, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()
