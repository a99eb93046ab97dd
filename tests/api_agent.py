"""The whole agent behind its API, in this process: real store, real files, real inference process.

Rules of this file:
- `open_agent` is what the daemon runs, without a port; tests talk to it through HTTP alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from edge_agent.api.app import create_app
from edge_agent.api.services import Services
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.models import Actor
from edge_agent.store.database import Database, insert
from tests import bundles

PASSWORD = "correct horse"
PEOPLE = {"mika": "inspector", "ken": "supervisor", "tomo": "technician", "rei": "admin"}
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
ORIGIN = "http://localhost"


@dataclass
class Agent:
    services: Services
    client: TestClient
    app: FastAPI

    def log_in(self, name: str) -> dict[str, str]:
        """Headers that make a request this person's."""
        answer = self.client.post("/api/v1/auth/login", json={"username": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    @property
    def cli(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.services.install_token}"}


@contextmanager
def open_agent(
    data_dir: Path,
    *,
    with_bundle: bool = True,
    open_central: Callable[[str], httpx.Client] | None = None,
    **settings: Any,
) -> Iterator[Agent]:
    """An agent with one user of each role and, if wanted, the bundle's product PLATE (items look, led)."""
    config = load_config(data_dir, **{"min_free_bytes": 0, "review_share": 0.0, **settings})
    with running_services(config, Clock(), open_central=open_central) as services:
        _add_people(services.database)
        if with_bundle:
            services.masters.import_bundle(make_bundle(data_dir / "bundle-source"), Actor("test"))
        app = create_app(services)
        with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as client:
            yield Agent(services, client, app)


def make_bundle(folder: Path) -> Path:
    """PLATE: `look` is judged bright (OK) or dark by a tiny network and drawn; `led` by people."""
    definition = bundles.pipeline()
    definition["steps"].append(
        {"id": "view", "type": "draw.overlay", "in": {"image": "$in.image", "verdict": "$judge.verdict"}}
    )
    definition["outputs"]["overlay"] = "$view.image"
    return bundles.write_bundle(folder, {"pipelines/front.json": definition, "users.json": None})


def png(brightness: int, size: int = 32, salt: int = 0) -> bytes:
    """A gray PNG; `salt` makes its bytes differ without changing what it shows."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes([brightness]) * size for _ in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    text = chunk(b"tEXt", b"salt\0" + str(salt).encode())
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + text
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _add_people(database: Database) -> None:
    with database.write() as tx:
        for name, role in PEOPLE.items():
            row = {"username": name, "password_hash": HASH, "role": role, "server_id": f"uuid-{name}"}
            insert(tx, "users", row)
