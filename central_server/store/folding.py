"""Folding into the counts what has changed since the last time (docs/adr/0021-counts-are-folded-in.md).

Rules of this file:
- No figure depends on it: statistics add what waits. It only keeps that little.
- A bounded number of changes a transaction; any number of servers may try at once.
"""

from __future__ import annotations

from central_server.store.database import Database

AT_ONCE = 100_000
"""Changes of one kind: a second's work."""


def fold_counts(database: Database, at_once: int = AT_ONCE) -> int:
    """How many changes were folded in; none where another server is at it."""
    total, taken = 0, at_once
    while taken >= at_once:
        with database.write() as tx:
            ((found,),) = tx.execute("SELECT fold_counts(%s)", (at_once,)).fetchall()
        taken = int(str(found))
        total += taken
    return total
