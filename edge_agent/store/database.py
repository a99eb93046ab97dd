"""The SQLite file: one writing connection under a lock, any number of reading ones.

Rules of this file:
- Exactly one connection in the whole system writes and checkpoints; every other one is opened read-only.
  (SQLite before 3.51.3 can corrupt a WAL database when two connections write or checkpoint at one instant.)
- Every write is `with database.write(actor) as tx:`: BEGIN IMMEDIATE, then COMMIT (durable) or ROLLBACK.
- The functions the schema's triggers call are defined here, on the writing connection only.
- sqlite3's errors become ours here and nowhere else.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_agent.clock import Clock
from edge_agent.errors import AgentError, Busy, Conflict, Damaged, Unavailable
from edge_agent.models import AGENT, Actor
from sync_protocol.canonical import canonical_row, sha256_hex

FIRST_SAFE_SQLITE = (3, 51, 3)
BACKPORTED_SAFE_SQLITE = ((3, 50, 7), (3, 44, 6))
MAX_READERS = 8
MAX_NUMBERED = 4096


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite can corrupt a WAL database that two connections write (fixed in 3.51.3)."""
    backported = any(version[:2] == safe[:2] and version >= safe for safe in BACKPORTED_SAFE_SQLITE)
    return version < FIRST_SAFE_SQLITE and not backported


def library_version() -> tuple[int, int, int]:
    """Of the SQLite library in use."""
    return sqlite3.sqlite_version_info


def chain(*fields: object) -> str:
    """The sha256 of one audit entry: its fields and, last, the sha256 of the entry before it (or None)."""
    return sha256_hex("\x1f".join("" if value is None else str(value) for value in fields).encode())


class Identity:
    """Who this device is, as it goes into every queue entry."""

    def __init__(self, device_id: str, device_type: str, app_version: str) -> None:
        self.device_id, self.device_type, self.app_version = device_id, device_type, app_version


class Database:
    """The open store. `path` must exist and be migrated (`store.schema.open_database` sees to both).

    Raises Damaged, Busy or Unavailable in place of sqlite3's errors; IntegrityError stays what it is,
    because only the caller knows what the violated constraint means.
    """

    def __init__(self, path: Path, clock: Clock, identity: Identity) -> None:
        self.path = path
        self.clock = clock
        self._lock = threading.RLock()
        self._line = threading.Condition()
        self._in_line = 0
        self._actor = AGENT
        self._local = True
        self._tx_id = ""
        self._ops_in_tx = 0
        self._commits = 0
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        with mapped_errors():
            self._writer = connect_writer(path)
            self._define_functions(identity)

    @contextmanager
    def write(self, actor: Actor = AGENT, *, local: bool = True) -> Iterator[sqlite3.Connection]:
        """One durable transaction; `local=False` while rows that came from the server are applied.

        With `actor.request_key` set, the key is recorded in the same transaction: a second use of it
        raises Conflict (`idempotency-replayed`) and changes nothing.
        """
        with self._turn(), mapped_errors():
            assert not self._writer.in_transaction, "write() does not nest"
            self._actor, self._local = actor, local
            self._tx_id, self._ops_in_tx = self.clock.new_id(), 0
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                if actor.request_key:
                    self._use_request_key(actor.request_key)
                yield self._writer
                self._writer.execute("COMMIT")
                self._commits += 1
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._actor, self._local = AGENT, True

    def linger(self, awaited: Future[Any], timeout_s: float) -> None:
        """Inside `write`, before it goes on: waits until `awaited` is done, or somebody else wants to write."""
        awaited.add_done_callback(self._look_again)
        with self._line:
            self._line.wait_for(lambda: awaited.done() or self._in_line > 1, timeout_s)

    def _look_again(self, _: object) -> None:
        with self._line:
            self._line.notify_all()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The writing connection, for one thread at a time."""
        with self._line:
            self._in_line += 1
            self._line.notify_all()
        try:
            with self._lock:
                yield
        finally:
            with self._line:
                self._in_line -= 1

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection; every statement sees the last commit."""
        with mapped_errors():
            reader = self._take_reader()
            try:
                yield reader
            finally:
                self._give_back(reader)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection on which every statement sees the same commit."""
        with self.read() as reader:
            reader.execute("BEGIN")
            try:
                yield reader
            finally:
                reader.execute("ROLLBACK")

    @property
    def commits(self) -> int:
        """Durable transactions since the start (a health and benchmark figure)."""
        return self._commits

    @contextmanager
    def maintenance(self) -> Iterator[sqlite3.Connection]:
        """The writing connection outside a transaction, for checkpoint, backup and PRAGMAs."""
        with self._turn(), mapped_errors():
            yield self._writer

    def close(self) -> None:
        """Closes readers, folds the log back into the file, closes the writer."""
        with self._readers_lock:
            for reader in self._readers:
                reader.close()
            self._readers.clear()
        with self._lock:
            try:
                self._writer.execute("PRAGMA optimize")
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                pass  # a full or vanished disk must not keep us from closing; the log replays at next start
            finally:
                self._writer.close()

    def _use_request_key(self, key: str) -> None:
        try:
            self._writer.execute(
                "INSERT INTO idempotency_keys (key, request_sha256, created_at) VALUES (?, '', ?)",
                (key, self.clock.now()),
            )
        except sqlite3.IntegrityError:
            raise Conflict(
                "This Idempotency-Key has already made its change.",
                code="idempotency-replayed",
                hint="Read the present state; the change was made by the first request.",
            ) from None

    def _take_reader(self) -> sqlite3.Connection:
        with self._readers_lock:
            if self._readers:
                return self._readers.pop()
        return connect_reader(self.path)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        with self._readers_lock:
            if len(self._readers) < MAX_READERS:
                self._readers.append(reader)
                return
        reader.close()

    def _new_op_id(self) -> str:
        """The transaction's id with the operation's number in it: so the ids of a batch hardly cost bytes to send."""
        number, self._ops_in_tx = self._ops_in_tx, self._ops_in_tx + 1
        return numbered(self._tx_id, number) if number < MAX_NUMBERED else self.clock.new_id()

    def _define_functions(self, identity: Identity) -> None:
        define = self._writer.create_function
        define_pure_functions(self._writer)
        define("local_change", 0, lambda: int(self._local))
        define("now", 0, self.clock.now)
        define("new_op_id", 0, self._new_op_id)
        define("tx_id", 0, lambda: self._tx_id)
        define("actor", 0, lambda: self._actor.name)
        define("actor_user_id", 0, lambda: self._actor.user_id)
        define("device_id", 0, lambda: identity.device_id)
        define("device_type", 0, lambda: identity.device_type)
        define("app_version", 0, lambda: identity.app_version)


def numbered(tx_id: str, number: int) -> str:
    """A UUIDv7 of its own for each `number` below MAX_NUMBERED: it takes the place of the 12 bits after the time.

    Not that of the last bits: where a clock stands still, ids are told apart by these.
    """
    return f"{tx_id[:15]}{number:03x}{tx_id[18:]}"


def define_pure_functions(connection: sqlite3.Connection) -> None:
    """The triggers' functions that depend on their arguments alone; `store.soundness` uses them too."""
    connection.create_function("freeze", -1, _freeze, deterministic=True)
    connection.create_function("sha256", 1, lambda text: sha256_hex(text.encode()), deterministic=True)
    connection.create_function("chain", -1, chain, deterministic=True)


def connect_writer(path: Path) -> sqlite3.Connection:
    """The connection that may write: WAL, FULL, foreign keys on. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise Unavailable(
            f"The database cannot use write-ahead logging (journal mode is {mode}).",
            code="no-wal",
            hint="Put the data directory on a local disk; network shares cannot hold the database.",
        )
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "recursive_triggers = OFF",
        "cache_size = -16000",
        "temp_store = MEMORY",  # else every statement with triggers may make, write and remove a file
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, not even by accident. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def mapped_errors() -> Iterator[None]:
    """sqlite3's operational failures as ours; IntegrityError and our own errors pass."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        raise map_error(error) from error


def map_error(error: sqlite3.DatabaseError) -> AgentError:
    """What a sqlite3 failure means for the operator."""
    name = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if name.startswith("SQLITE_FULL") or "disk is full" in text:
        return Unavailable(
            "The disk is full; the change was not made.",
            code="disk-full",
            hint="Free disk space, then try again; nothing already stored was lost.",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return Unavailable(
            f"The database cannot be written ({text}).",
            code="data-dir-read-only",
            hint="Let the agent's user write to the data directory, then start it again.",
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Damaged(f"The database file is damaged ({text}).", code="database-damaged")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Busy(f"Another program holds the database ({text}).", code="database-busy")
    if name.startswith("SQLITE_IOERR"):
        return Unavailable(
            f"The disk did not do what it was asked ({text}).",
            code="disk-error",
            hint="Check the disk's health and free space, then try again.",
        )
    return Damaged(f"The database refused a statement ({text}).", code="database-error")


def insert(tx: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """INSERT of a row whose column names come from our own code, never from input."""
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    tx.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def _freeze(*pairs: Any) -> str:
    return canonical_row(dict(zip(pairs[::2], pairs[1::2], strict=True))).decode()


def placeholders(values: Sequence[object]) -> str:
    """`?, ?, ?` for an IN list."""
    return ", ".join("?" * len(values))
