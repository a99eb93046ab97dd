"""What changed since a cursor: the pages a device pulls.

Rules of this file:
- Everything of one page is read in one snapshot, so that tombstones cannot be forgotten between the look at the
  horizon and the look at the changes.
- A version is seen only when every lower one is (schema/postgresql.sql, sync_spaces), so the last version of a page
  is a cursor that misses nothing.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from central_server.errors import Refused
from central_server.store.database import Connection, Database
from sync_protocol.canonical import sha256_hex
from sync_protocol.messages import Change, Page

VIEWS = {"masters": "sync_masters", "decisions": "sync_decisions"}
ROWS_AT_ONCE = 1000
"""Not more: of 2000 and a table that was not analysed yet, PostgreSQL sorts the whole table each time."""
MAX_BYTES = 4 << 20
ROW_BYTES = 200
"""What a row takes in a page besides its data, at most."""

HEAD = """SELECT version, tombstone_horizon, (SELECT server_epoch::text FROM server_state) FROM sync_spaces
          WHERE space = %s"""
FORGET = """
    WITH forgotten AS (
        DELETE FROM sync_tombstones WHERE space = %s AND deleted_at < now() - make_interval(days => %s)
        RETURNING row_version
    )
    UPDATE sync_spaces SET tombstone_horizon = greatest(tombstone_horizon, (SELECT max(row_version) FROM forgotten))
    WHERE space = %s"""


class Stand(NamedTuple):
    """Where a space is: the versions of its newest change and of the last deletion that was forgotten; the history."""

    head: int
    tombstone_horizon: int
    server_epoch: str


def pull(
    database: Database, space: str, cursor: int, server_epoch: str | None, max_bytes: int = MAX_BYTES
) -> Page:
    """The changes after `cursor`, oldest first: at least one if there is one, else as many as fit.

    Raises Refused: `space-unknown`; `pull-reset` when the epoch is another, or what was deleted since the cursor
    is no longer known, or the cursor is ahead of the server.
    """
    require_space(space)
    with database.snapshot() as tx:
        stand = _stand(tx, space)
        _require_continuable(cursor, server_epoch, stand)
        changes, has_more = _changes(tx, space, cursor, stand.head, max_bytes)
    return Page.model_construct(
        space=space,
        server_epoch=stand.server_epoch,
        from_cursor=cursor,
        to_cursor=changes[-1].version if has_more else stand.head,
        has_more=has_more,
        changes=tuple(changes),
    )


def continued(database: Database, space: str, cursor: int, server_epoch: str | None) -> Stand:
    """Where the space is. Raises Refused as `pull` does."""
    require_space(space)
    with database.read() as reader:
        stand = _stand(reader, space)
    _require_continuable(cursor, server_epoch, stand)
    return stand


def _changes(tx: Connection, space: str, cursor: int, head: int, max_bytes: int) -> tuple[list[Change], bool]:
    """The first changes after `cursor` up to `head`: one, or as many as fit; and whether there are more."""
    sql = f"""SELECT row_version, table_name, row_id, data FROM {VIEWS[space]} WHERE row_version > %s
              ORDER BY row_version LIMIT {ROWS_AT_ONCE}"""
    found: list[Change] = []
    while cursor < head and (rows := tx.execute(sql.encode(), (cursor,)).fetchall()):
        for row in rows:
            change = _change(row)
            max_bytes -= len(change.data) + ROW_BYTES
            if max_bytes < 0 and found:
                return found, True
            found.append(change)
        cursor = found[-1].version
    return found, False


def find_rows(tx: Connection, space: str, table: str, ids: list[str]) -> tuple[Change, ...]:
    """Those of the table's rows with these ids that are there. Raises Refused (`space-unknown`)."""
    sql = f"""SELECT row_version, table_name, row_id, data FROM {require_space(space)}
              WHERE table_name = %s AND row_id = ANY(%s) AND data IS NOT NULL ORDER BY row_version"""
    return tuple(_change(row) for row in tx.execute(sql.encode(), (table, ids)).fetchall())


def head_of(tx: Connection, space: str) -> int:
    """The version of the space's newest change; 0 for a space that nobody pulls."""
    return _stand(tx, space).head if space in VIEWS else 0


def forget_tombstones(tx: Connection, space: str, older_than_days: int) -> None:
    """Deletes old tombstones; a device whose cursor is older starts again from 0."""
    tx.execute(FORGET, (space, older_than_days, space))


def require_space(space: str) -> str:
    """The view of a space that can be pulled. Raises Refused (`space-unknown`)."""
    if space not in VIEWS:
        raise Refused("space-unknown", f"There is no space {space}.")
    return VIEWS[space]


def _stand(tx: Connection, space: str) -> Stand:
    row = tx.execute(HEAD, (space,)).fetchone()
    assert row is not None, f"sync_spaces lacks {space}"
    return Stand(int(str(row[0])), int(str(row[1])), str(row[2]))


def _require_continuable(cursor: int, asked: str | None, stand: Stand) -> None:
    head, horizon, epoch = stand
    reason = None
    if cursor and asked != epoch:
        reason = "the server's history is another one"
    elif cursor > head:
        reason = f"it is ahead of the server, which is at {head}"
    elif 0 < cursor < horizon:
        reason = f"deletions up to {horizon} are forgotten"
    if reason:
        raise Refused("pull-reset", f"Cursor {cursor} cannot be continued: {reason}.", server_epoch=epoch)


def _change(row: tuple[object, ...]) -> Change:
    version, table, row_id, data = cast("tuple[int, str, str, str | None]", row)
    if data is None:
        return Change(table, row_id, "tombstone", version)
    return Change(table, row_id, "put", version, data, sha256_hex(data.encode()))
