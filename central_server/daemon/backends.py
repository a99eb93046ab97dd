"""Where the database and the object store are: those of the settings, else servers of our own.

Rules of this file:
- What runs is written to `run/server.json`, readable by its owner only: how commands on this machine find the embedded
  database of the server that runs.
- One process owns the embedded servers of a data directory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from central_server.config import Config
from central_server.embedded.postgresql import postgresql
from central_server.embedded.processes import is_root
from central_server.embedded.seaweedfs import starting, wait
from central_server.errors import Unavailable
from central_server.objects import StoreSettings
from edge_agent.clock import Clock
from edge_agent.disk import disk_errors
from edge_agent.lock import data_dir_lock


@dataclass(frozen=True, slots=True)
class Backends:
    database_url: str
    store: StoreSettings


@contextmanager
def backends(config: Config, clock: Clock) -> Iterator[Backends]:
    """Both, running while the block does. Raises Unavailable, Busy (`already-running`)."""
    with disk_errors():
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711 if is_root() else 0o700)
        (config.data_dir / "run").mkdir(exist_ok=True, mode=0o700)
    with ExitStack() as stack:
        if config.database_url is None or config.s3_endpoint is None:
            stack.enter_context(data_dir_lock(config.data_dir / "run", os.getpid()))
        folder, secrets = config.data_dir, config.data_dir / "secrets"
        child = None
        store = _configured_store(config)
        if store is None:  # started first: it is ready when the database is
            child, made = stack.enter_context(starting(folder / "objects", secrets / "objects", clock))
            store = _store(config, made.url, made.access_key, made.secret_key)
            wait_for_store = (child, made)
        url = _configured_database(config)
        if url is None:
            url = stack.enter_context(postgresql(folder / "postgresql", secrets / "postgresql", clock))
        if child is not None:
            wait(*wait_for_store, clock)
        yield Backends(url, store)


def found_backends(config: Config) -> Backends:
    """Both as a command finds them. Raises Unavailable when they are embedded and no server runs."""
    url, store = _configured_database(config), _configured_store(config)
    if url is None or store is None:
        said = _announced(config.data_dir)
        url = url or str(said["database_url"])
        store = store or StoreSettings(**said["store"])
    return Backends(url, store)


@contextmanager
def announced(config: Config, backends: Backends, url: str) -> Iterator[None]:
    """While the block runs, commands on this machine can find everything."""
    path = _file(config.data_dir)
    document = {"pid": os.getpid(), "url": url, "database_url": backends.database_url}
    partial = path.with_suffix(".part")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(document | {"store": asdict(backends.store)}, file)
    os.replace(partial, path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def announced_url(data_dir: Path) -> str | None:
    """Where the server of this data directory answers; None when none runs."""
    try:
        return str(_announced(data_dir)["url"])
    except Unavailable:
        return None


def _announced(data_dir: Path) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(_file(data_dir).read_text("utf-8"))
    except (OSError, ValueError):
        raise Unavailable(
            "database-unavailable",
            f"No server runs on {data_dir}, and no database is configured.",
            hint="Start `central-server run`, or give --data-dir or `database_url`.",
        ) from None
    return said


def _file(data_dir: Path) -> Path:
    return data_dir / "run" / "server.json"


def _configured_database(config: Config) -> str | None:
    return None if config.database_url is None else config.database_url.get_secret_value()


def _configured_store(config: Config) -> StoreSettings | None:
    if config.s3_endpoint is None:
        return None
    keys = [key.get_secret_value() if key else "" for key in (config.s3_access_key, config.s3_secret_key)]
    return _store(config, config.s3_endpoint, *keys)


def _store(config: Config, url: str, access_key: str, secret_key: str) -> StoreSettings:
    return StoreSettings(
        url=url,
        bucket=config.s3_bucket,
        access_key=access_key,
        secret_key=secret_key,
        region=config.s3_region,
        public_url=config.s3_public_endpoint or "",
        ca_file=str(config.s3_ca_file or ""),
    )
