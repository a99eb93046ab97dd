"""The server's rows on their way into force: models tried first, then everything or nothing.

Rules of this file:
- A round is applied in one transaction with its cursor, or not at all; until then the old masters judge. What the
  tables hold after the writes is verified inside that transaction, so nothing can change between look and commit.
- Models are tried (`supplies`) before the transaction begins; their files are in place before their rows.
- The server's row wins. A row that was changed or made here and loses goes to conflict_log; of a person only
  without the password's hash.
- A version that the server makes active becomes active here; one chosen here stays until the server's choice changes.
- A row keeps its identity: people are matched by server_id and keep their local id; what stands where a server's
  row must go, by a name, gives way.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge_agent.blobs import Blobs
from edge_agent.clock import Clock
from edge_agent.errors import BadDefinition, Problem
from edge_agent.events import Notify
from edge_agent.inference.worker import InferencePool
from edge_agent.masters.changes import KEYS, MODELS, model_row
from edge_agent.masters.loading import asset_files
from edge_agent.masters.packages import (
    placed,
    workspace,
)
from edge_agent.masters.round import Round, Row, by_column, sha256_of
from edge_agent.masters.supplies import Files, Supplies, Wanted, wire_rows
from edge_agent.masters.verify import Arrived, ItemKind, check_arrived
from edge_agent.models import ModelPackage
from edge_agent.store import audit, pulled, users
from edge_agent.store import masters as store
from edge_agent.store.database import Database
from sync_protocol.canonical import canonical_row
from sync_protocol.tables import (
    ASSETS,
    ITEMS,
    MODEL_PACKAGES,
    PIPELINES,
    PRODUCTS,
    SPACES,
    USERS,
    PulledTable,
)

_UNSAID = frozenset({"created_at", "updated_at", "created_by"})
"""Differences in these alone are no conflict."""
_JSON = ("definition", "criteria")
_LOGIN = ("is_active", "password_hash", "role")


class Arrivals:
    """Brings rounds of the server's rows into force. Built by `Masters`, whose lock and reload it uses."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        pool: InferencePool,
        clock: Clock,
        data_dir: Path,
        lock: threading.RLock,
        reload: Callable[[], object],
        notify: Notify,
    ) -> None:
        self._db, self._clock, self._data_dir = database, clock, data_dir
        self._lock, self._reload, self._notify = lock, reload, notify
        self._supplies = Supplies(database, blobs, pool, clock, data_dir)

    def wanted(self, made: Round) -> list[Wanted]:
        """The blobs that the round needs and that are not here. Raises BadDefinition."""
        return self._supplies.wanted(made)

    def apply(self, made: Round, files: Files) -> None:
        """Brings the round into force; every blob `wanted` names is in `files`.

        Raises BadDefinition with every problem found (then nothing was changed), InferenceFailed, Unavailable.
        """
        if made.problems:
            raise BadDefinition("the server's rows cannot be used here", made.problems)
        with ExitStack() as stack:
            stack.enter_context(self._lock)
            work = stack.enter_context(workspace(self._data_dir, self._clock.new_id()))
            tried = self._supplies.try_models(made, work, files)
            ready = [one for one in tried if (work / "ready" / f"{one.name}-{one.version}").is_dir()]
            self._supplies.put_assets(made, files)
            stack.enter_context(placed(self._data_dir, work, ready, self._is_known))
            with self._db.write(local=False) as tx:
                self._write(tx, made, tried)
            if made.touches(MODEL_PACKAGES, ASSETS, PIPELINES):
                self._reload()
        self._notify(made.space, {"pulled": made.to_cursor})

    def _is_known(self, package: ModelPackage) -> bool:
        with self._db.read() as reader:
            return store.get_model(reader, package.name, package.version) is not None

    # ── the transaction ─────────────────────────────────────────────────────────────────────────────

    def _write(self, tx: sqlite3.Connection, made: Round, tried: Sequence[ModelPackage]) -> None:
        pulled.defer_references(tx)
        before = store.list_models(tx) if made.touches(MODEL_PACKAGES, PIPELINES, ITEMS) else []
        for package in tried:
            store.put(tx, MODELS, model_row(package), KEYS[MODELS])
        self._activate(tx, made)
        for table in SPACES[made.space].values():
            self._write_table(tx, made, table)
        if problems := self._problems(tx, made, before):
            raise BadDefinition("the server's masters cannot be used here", problems)
        counts = {name: [len(made.puts[name]), len(made.tombstones[name])] for name in made.puts}
        changed = {name: count for name, count in counts.items() if any(count)}
        if changed:
            audit.append(tx, f"{made.space}.pull", made.space, str(made.to_cursor), {"put_deleted": changed})
        if made.is_full or made.to_cursor != made.from_cursor:
            pulled.set_applied(tx, made.space, made.to_cursor, made.server_epoch, self._clock.now())

    def _write_table(self, tx: sqlite3.Connection, made: Round, table: PulledTable) -> None:
        rows, gone = made.puts[table.name], set(made.tombstones[table.name])
        if made.is_full:
            gone |= pulled.pulled_ids(tx, table) - rows.keys()
        if table.is_kept_whole:
            pulled.keep_whole(tx, table, _whole(table, rows))
        elif rows:
            self._put(tx, table, rows)
        if table is USERS:
            for server_id in gone:
                users.end_logins(tx, server_id)
        pulled.forget(tx, table, gone)

    def _put(self, tx: sqlite3.Connection, table: PulledTable, rows: Mapping[str, Row]) -> None:
        if not pulled.is_bare(tx, table):
            self._note_edits(tx, table, rows)
            self._make_way(tx, table, rows)
        try:
            pulled.put(tx, table, rows.values())
        except sqlite3.IntegrityError as error:
            raise BadDefinition(
                "the server's rows cannot be held here", _refused_rows(tx, table, rows)
            ) from error

    def _note_edits(self, tx: sqlite3.Connection, table: PulledTable, rows: Mapping[str, Row]) -> None:
        """What of the rows here was changed or made here goes to conflict_log; changed people log in anew."""
        key, width = table.columns.index(table.key), len(table.columns)
        for values, came_as in list(pulled.present(tx, table, list(rows))):
            row_id, row = values[key], rows[values[key]]
            if values == row[:width]:
                continue
            local, server = by_column(table, values), by_column(table, row)
            if table is USERS and any(local[name] != server[name] for name in _LOGIN):
                users.end_logins(tx, row_id)
            if not _says_the_same(local, server) and came_as != sha256_of(table, local, came_as):
                self._conflict(tx, table, row_id, local, server, "edited-here" if came_as else "made-here")

    def _make_way(self, tx: sqlite3.Connection, table: PulledTable, rows: Mapping[str, Row]) -> None:
        """Rows that hold a name which another row of the round has: renamed, and out of use unless they come too."""
        for names in table.unique:
            places = [table.columns.index(name) for name in names]
            owners = {tuple(row[place] for place in places): row_id for row_id, row in rows.items()}
            wanted = [values for values in owners if None not in values]
            others = [
                (row_id, owners[values])
                for row_id, values in pulled.holders(tx, table, names, wanted)
                if row_id != owners[values]
            ]
            pulled.give_way(tx, table, names, [row_id for row_id, _ in others])
            for row_id, owner in others:
                if row_id not in rows:
                    self._displace(tx, table, row_id, rows[owner], "email" in names)

    def _displace(
        self, tx: sqlite3.Connection, table: PulledTable, row_id: str, owner: Row, only_its_email: bool
    ) -> None:
        [(values, _)] = pulled.present(tx, table, [row_id])
        local, server = by_column(table, values), by_column(table, owner)
        self._conflict(tx, table, row_id, local, server, "name-taken")
        if not only_its_email:
            pulled.forget(tx, table, [row_id])
            if table is USERS:
                users.end_logins(tx, row_id)

    def _conflict(
        self,
        tx: sqlite3.Connection,
        table: PulledTable,
        row_id: str,
        local: Mapping[str, Any],
        server: Mapping[str, Any],
        reason: str,
    ) -> None:
        new = (self._clock.new_id(), self._clock.now())
        pulled.add_conflict(tx, (table.name, row_id), _shown(local), _shown(server), reason, new)

    def _activate(self, tx: sqlite3.Connection, made: Round) -> None:
        """Follows the server's choice of versions where it changed. Before the rows are remembered."""
        if not made.touches(MODEL_PACKAGES):
            return
        old = pulled.pulled_data(tx, MODEL_PACKAGES)
        new = {row["id"]: row for row in wire_rows(tx, made, MODEL_PACKAGES)}
        was = {row_id for row_id, row in old.items() if row["is_active"]}
        now = {row_id for row_id, row in new.items() if row["is_active"]}
        for row_id in was - now:
            store.deactivate_model(tx, old[row_id]["name"], old[row_id]["version"])
        for row_id in now - was:
            store.activate_model(tx, new[row_id]["name"], new[row_id]["version"], self._clock.now())

    def _problems(self, tx: sqlite3.Connection, made: Round, before: Sequence[ModelPackage]) -> list[Problem]:
        """What of the masters, as they now stand in the transaction, cannot be used."""
        if not made.touches(MODEL_PACKAGES, PIPELINES, ITEMS):
            return []
        after = store.list_models(tx)
        items = _active_items(made)
        in_force = {row["id"]: row for row in store.rows(tx, PIPELINES.name) if row["is_active"]}
        came = made.puts[PIPELINES.name].keys() & in_force.keys()
        others = in_force.keys() - came
        if _choices(before) == _choices(after):
            others &= {kind.pipeline_id for kind in items}
        judged = pulled.items_of_pipelines(tx, sorted(came | others)) if came or others else []
        arrived = Arrived(
            pipelines=[in_force[one] for one in sorted(came)],
            other_pipelines=[in_force[one] for one in sorted(others)],
            items=items,
            other_items=[row for row in judged if row["id"] not in made.puts[ITEMS.name]],
            before=before,
            after=after,
            assets=frozenset(asset_files(self._data_dir)),
        )
        return [*_astray(tx, made), *check_arrived(arrived)]


def _choices(packages: Iterable[ModelPackage]) -> set[tuple[str, str, bool]]:
    return {(one.name, one.version, one.is_active) for one in packages}


def _refused_rows(tx: sqlite3.Connection, table: PulledTable, rows: Mapping[str, Row]) -> list[Problem]:
    whys = ((row_id, pulled.why_refused(tx, table, row)) for row_id, row in rows.items())
    return [Problem(f"{table.name}/{row_id}", "", "row-invalid", why) for row_id, why in whys if why]


def _whole(table: PulledTable, rows: Mapping[str, Row]) -> Iterator[tuple[str, int, str, str]]:
    """(id, version, sha256, canonical JSON)."""
    for row_id, row in rows.items():
        yield row_id, row[-2], row[-1], canonical_row(by_column(table, row)).decode()


def _active_items(made: Round) -> dict[ItemKind, list[str]]:
    grouped = made.ids_by(ITEMS, *ItemKind._fields, "is_active")
    return {ItemKind(*values[:-1]): ids for values, ids in grouped.items() if values[-1]}


def _astray(tx: sqlite3.Connection, made: Round) -> Iterator[Problem]:
    """Items whose product or pipeline is not here."""
    grouped = made.ids_by(ITEMS, "target_id", "pipeline_id")
    no_products = pulled.missing(tx, PRODUCTS, {target_id for target_id, _ in grouped})
    no_pipelines = pulled.missing(tx, PIPELINES, {one for _, one in grouped if one is not None})
    message = "what it refers to is not here"
    for (target_id, pipeline_id), ids in grouped.items():
        for row_id in ids:
            place = f"{ITEMS.name}/{row_id}"
            if target_id in no_products:
                yield Problem(place, "/target_id", "unknown-product", message)
            elif pipeline_id in no_pipelines:
                yield Problem(place, "/pipeline_id", "unknown-pipeline", message)


def _says_the_same(local: Mapping[str, Any], server: Mapping[str, Any]) -> bool:
    return all(
        local[name] == value or (name in _JSON and _parsed(local[name]) == _parsed(value))
        for name, value in server.items()
        if name not in _UNSAID
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _shown(row: Mapping[str, Any]) -> str:
    """The row for people: a password's hash is no use to them."""
    return json.dumps({k: v for k, v in row.items() if k != "password_hash"}, ensure_ascii=False)
