"""The PostgreSQL database: a pool of connections, and its errors as ours.

Rules of this file:
- Every change is `with database.write() as tx:` — one transaction, READ COMMITTED, durable when it returns.
- Every answer made of several statements is `with database.snapshot() as tx:` — REPEATABLE READ, read only.
- psycopg's operational errors become ours here and nowhere else. Errors about the data itself stay what they are:
  only the caller knows what they mean.
- Now is the database's now(): several servers share one clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from central_server.errors import Unavailable

LOWEST_VERSION = 140000
LOST = "57P"  # the class of "the server shuts down"; a connection that is just gone has no code
OPTIONS = (
    "-c timezone=UTC -c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s "
    "-c jit=off -c max_parallel_workers_per_gather=0"  # every request is short: starting either costs more
)

Connection = psycopg.Connection[tuple[object, ...]]
Cursor = psycopg.Cursor[tuple[object, ...]]


class Database:
    """The open, migrated database (`store.migrations.migrate` sees to that)."""

    def __init__(self, url: str, *, max_connections: int = 8) -> None:
        require_url(url)
        self.url = url
        self._pool = ConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            open=False,
            timeout=10,
            kwargs={"autocommit": True, "options": OPTIONS},
        )

    def open(self) -> None:
        """Raises Unavailable when the database does not answer within 10 s."""
        with mapped_errors():
            self._pool.open(wait=True, timeout=10)

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with self.read() as connection, connection.transaction():
            yield connection

    @contextmanager
    def batch(self) -> Iterator[Connection]:
        """The same, but a statement is sent without waiting for the one before: what the database refuses is
        raised where a result is fetched, or at the end of the block."""
        with self.read() as connection, connection.pipeline(), connection.transaction():
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Reads that all see the same commits."""
        with self.write() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for single statements, each its own transaction."""
        with mapped_errors(), self._renewing(), self._pool.connection() as connection:
            yield connection

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Where one connection is lost the database was restarted, and the idle ones are lost too."""
        try:
            yield
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if not isinstance(error, PoolTimeout) and (error.sqlstate or LOST).startswith(LOST):
                self._pool.check()
            raise


def require_url(url: str) -> None:
    """Raises Unavailable when this is no address; libpq's own words would quote it, and the password in it."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise Unavailable(
            "database-unavailable",
            "`database_url` is no address of a PostgreSQL database.",
            hint="Write it as postgresql://USER:PASSWORD@HOST/NAME; in a password, %40 stands for @ and %2F for /.",
        ) from None


def answers(url: str) -> bool:
    """Whether the database takes connections now."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def mapped_errors() -> Iterator[None]:
    """psycopg's operational errors as Unavailable; a retry is right for all of them."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Unavailable(
            "database-unavailable",
            f"The database did not do what it was asked ({detail}).",
            hint="Check that PostgreSQL runs and that its disk has room; nothing already stored was lost.",
        ) from error
