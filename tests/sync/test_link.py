"""An agent that stops waits for no server."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.store import settings, sync_states
from edge_agent.store.database import Database
from edge_agent.sync import device, enrolment
from edge_agent.sync.device import Standing
from edge_agent.sync.enrolment import Enrolment

CLOCK = Clock()


def enrol(database: Database, server: str) -> None:
    now = CLOCK.now()
    with database.write() as tx:
        settings.put(tx, enrolment.KEY, asdict(Enrolment(server, "Plant 1", now)), now)
        device.keep(tx, Standing(CLOCK.new_id(), CLOCK.new_id()))


def test_a_stop_ends_the_greeting_that_a_silent_server_never_answers(tmp_path: Path) -> None:
    config = load_config(tmp_path, min_free_bytes=0)
    with running_services(config, CLOCK) as services, ExitStack() as connections:
        silent = connections.enter_context(socket.create_server(("127.0.0.1", 0)))
        enrol(services.database, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with services.sync.running():
            asked = b""
            while not asked.startswith(b"POST /api/v1/sync/hello"):
                connection = connections.enter_context(silent.accept()[0])
                asked = connection.recv(100)
        with services.database.read() as reader:
            assert sync_states.get(reader, "lane:hello")["error_code"] == "link-closed"
