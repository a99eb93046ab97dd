"""Which server this device belongs to, and the token by which it is known there.

Rules of this file:
- The token is a file of its own, readable by its owner only, durable before anything says that it is there.
- Enrolling again, with the same server or another, keeps everything that waits to be sent.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent import __version__
from edge_agent.clock import Clock
from edge_agent.disk import disk_errors, sync_directory
from edge_agent.errors import Conflict, Denied
from edge_agent.models import Actor
from edge_agent.store import audit, settings, sync_states
from edge_agent.store.database import Database
from edge_agent.sync import device
from edge_agent.sync.device import Standing
from edge_agent.sync.lane import Kind, SyncFailed
from sync_protocol.messages import EnrollReply, EnrollRequest

if TYPE_CHECKING:
    from edge_agent.sync.central import Central

KEY = "sync.enrolment"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """`server` is its address without a trailing slash, `site` as the server calls the place."""

    server: str
    site: str
    enrolled_at: str


def read(reader: sqlite3.Connection) -> Enrolment | None:
    found = settings.get(reader, KEY)
    return Enrolment(**found) if found else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person enrols with."""

    server: str
    code: str
    device_type: str


def enrol(
    central: Central, asked: Asked, database: Database, clock: Clock, data_dir: Path, actor: Actor
) -> Enrolment:
    """Exchanges a one-time code for a token. Killed in between, the same code may be used again.

    Raises Denied (`code-invalid` and the like), SyncFailed, Unavailable (disk).
    """
    with database.read() as reader:
        device_id = str(settings.get(reader, "device.id"))
    try:
        reply = central.enroll(
            EnrollRequest.model_validate(
                {
                    "code": asked.code,
                    "device_id": device_id,
                    "device_type": asked.device_type,
                    "app_version": __version__,
                }
            )
        )
    except SyncFailed as error:
        if error.kind is not Kind.AUTH:
            raise
        raise Denied(
            error.detail, code="code-invalid", hint="Ask the server's operator for a new code."
        ) from None
    write_token(data_dir, reply.token)
    with database.write(actor) as tx:
        return _note(tx, reply, asked.server, device_id, clock)


def _note(tx: sqlite3.Connection, reply: EnrollReply, server: str, device_id: str, clock: Clock) -> Enrolment:
    made = Enrolment(server, reply.site, clock.now())
    settings.put(tx, KEY, asdict(made), made.enrolled_at)
    if not sync_states.get(tx, device.STATE):
        standing = Standing(clock.new_id(), reply.server_epoch)
        device.keep(tx, standing)
    audit.append(tx, "sync.enrol", "device", device_id, {"server": server, "site": reply.site})
    return made


def token_path(data_dir: Path) -> Path:
    return data_dir / "run" / "central-token"


def write_token(data_dir: Path, token: str) -> None:
    """Raises Unavailable (disk)."""
    path = token_path(data_dir)
    partial = path.with_suffix(".part")
    with disk_errors():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(token)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_directory(path.parent)


def read_token(data_dir: Path) -> str:
    """ "" when there is none: the server will say that it is missing."""
    try:
        return token_path(data_dir).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def not_enrolled() -> Conflict:
    return Conflict(
        "This device is not enrolled with any server.",
        code="not-enrolled",
        hint="Enrol it with a code from the server's operator (`edge-agent enroll`).",
    )
