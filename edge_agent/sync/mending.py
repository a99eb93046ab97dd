"""Comparing with the server and mending what differs, over a link that is open.

Rules of this file:
- Only puts together: what differs is `verify.py`'s to say, what to do about it `repair.py`'s.
- The lanes of rows rest meanwhile: nothing is fetched or swapped by two at once.
- Before anything is mended the server is greeted: one that was restored gets back what it lost by the operations it
  had, and only what is still missing then is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from edge_agent.sync.downloads import Downloads
from edge_agent.sync.link import Link
from edge_agent.sync.parts import Parts
from edge_agent.sync.repair import Repair, RepairReport, ResyncReport, require_tables, resync
from edge_agent.sync.verify import Progress, Verification, VerifyReport


def compare(
    parts: Parts, link: Link, *, deep: bool, tables: Sequence[str] | None, progress: Progress
) -> VerifyReport:
    """See `Sync.verify`."""
    require_tables(tables or ())
    data_dir = parts.config.data_dir
    return Verification(
        parts.database, link.central, data_dir, deep=deep, tables=tables, progress=progress
    ).run()


def mend(
    parts: Parts, link: Link, *, deep: bool, dry_run: bool, automatic: bool, progress: Progress
) -> RepairReport:
    """See `Sync.repair`."""
    with link.rows.at_rest():
        _greet(link, progress)
        found = compare(parts, link, deep=deep, tables=None, progress=progress)
        return _repair(parts, link).run(found, dry_run=dry_run, automatic=automatic, progress=progress)


def begin_again(
    parts: Parts, link: Link, *, tables: Sequence[str] | None, progress: Progress
) -> ResyncReport:
    """See `Sync.resync`."""
    with link.rows.at_rest():
        _greet(link, progress)
        found = compare(parts, link, deep=True, tables=tables, progress=progress)
        return resync(parts.database, _repair(parts, link), tables, found, progress=progress)


def _greet(link: Link, progress: Progress) -> None:
    """Until nothing the server lost is left to be queued again. Raises SyncFailed."""
    link.hello.want()
    for windows in count():
        progress("greeting", windows, None)
        if not link.hello.step():
            return


def _repair(parts: Parts, link: Link) -> Repair:
    downloads = Downloads(parts.config.data_dir, link.central)
    return Repair(parts.database, link.central, parts.arrivals, downloads, parts.clock)
