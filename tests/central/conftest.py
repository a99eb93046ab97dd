"""One real PostgreSQL a run, one migrated database a test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from central_server.store.database import Database
from central_server.store.migrations import migrate
from tests.servers import postgres

NAMES = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with postgres(18) as url:
        yield url


@pytest.fixture(scope="session")
def template(cluster: str) -> str:
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute("CREATE DATABASE migrated")
    migrate(make_conninfo(cluster, dbname="migrated"))
    return "migrated"


@pytest.fixture
def empty_url(cluster: str) -> Iterator[str]:
    yield from _made(cluster, "template0")


@pytest.fixture
def url(cluster: str, template: str) -> Iterator[str]:
    yield from _made(cluster, template)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    opened.open()
    yield opened
    opened.close()


def _made(cluster: str, template: str) -> Iterator[str]:
    name = f"t_{next(NAMES)}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log".encode())
        yield make_conninfo(cluster, dbname=name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
