"""One real PostgreSQL a run, one migrated database a module: making 500 relations takes a second or two, so tests
use rows of their own (every `Device` is a new one) rather than a database of their own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.conninfo import make_conninfo

from central_server.objects import Objects, StoreSettings
from central_server.store.database import Database
from central_server.store.migrations import migrate
from edge_agent.clock import Clock
from tests.central.caller import Caller, enrolled, serving
from tests.central.devices import Device
from tests.servers import StoreServer, object_store, postgres

NAMES = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with postgres(18) as url:
        yield url


@pytest.fixture(scope="session")
def store_server() -> Iterator[StoreServer]:
    with object_store() as server:
        yield server


@pytest.fixture
def objects(store_server: StoreServer) -> Iterator[Objects]:
    """A bucket of its own."""
    yield from _bucket(store_server)


@pytest.fixture(scope="module")
def module_objects(store_server: StoreServer) -> Iterator[Objects]:
    """One bucket for the tests of a module."""
    yield from _bucket(store_server)


def _bucket(server: StoreServer) -> Iterator[Objects]:
    settings = StoreSettings(server.url, f"bucket-{next(NAMES)}", server.access_key, server.secret_key)
    made = Objects(settings, Clock())
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def empty_url(cluster: str) -> Iterator[str]:
    yield from _made(cluster)


@pytest.fixture(scope="module")
def url(cluster: str) -> Iterator[str]:
    for made in _made(cluster):
        migrate(made)
        yield made


@pytest.fixture(scope="module")
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    opened.open()
    yield opened
    opened.close()


def _made(cluster: str) -> Iterator[str]:
    name = f"t_{next(NAMES)}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        yield make_conninfo(cluster, dbname=name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def device(database: Database, tmp_path: Path) -> Iterator[Device]:
    made = Device(database, tmp_path / "device")
    yield made
    made.close()


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Iterator[TestClient]:
    with serving(database, tmp_path) as client:
        yield client


@pytest.fixture
def caller(client: TestClient, device: Device) -> Caller:
    """The device's way to the server."""
    return enrolled(client, device.database, device.device_id, device.incarnation)
