"""Copies of the database: taken while others write, and examined before anybody relies on them.

Rules of this file:
- A copy is one commit of the source, whole, in one plain file (no write-ahead log beside it).
- The source is only read, through a connection of its own that cannot write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge_agent.errors import Unavailable
from edge_agent.store.database import connect_reader, mapped_errors
from edge_agent.store.schema import applied_migrations, migrations, quick_check

PAGES_PER_STEP = 1024


def copy_database(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copies the last commit of `source` into the new file `target`; `progress(pages done, of)` may raise."""
    with mapped_errors(), closing(connect_reader(source)) as reader, closing(_plain(target)) as copy:
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM sqlite_master").fetchone()  # from here on this commit is what we see
        reader.backup(copy, pages=PAGES_PER_STEP, progress=lambda _, left, of: progress(of - left, of))
        copy.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def examined(path: Path) -> Iterator[sqlite3.Connection]:
    """A copy that is sound and not newer than this program, for reading. Raises Damaged, Unavailable."""
    with mapped_errors(), closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as reader:
        reader.row_factory = sqlite3.Row
        quick_check(reader, "integrity_check")
        refuse_newer(applied_migrations(reader))
        yield reader


def refuse_newer(applied: set[str]) -> None:
    """Raises Unavailable (`backup-newer`) when a migration is not known to this program."""
    if unknown := sorted(applied - migrations().keys()):
        raise Unavailable(
            f"This backup was made by a newer version of the agent (it has {', '.join(unknown)}).",
            code="backup-newer",
            hint="Install that version or a later one, then restore; nothing was changed.",
        )


def _plain(target: Path) -> sqlite3.Connection:
    return sqlite3.connect(target, isolation_level=None)
