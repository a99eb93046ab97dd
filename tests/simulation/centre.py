"""The centre of one world: the real server application on a real PostgreSQL whose clock is the world's.

Rules of this file:
- One database for all worlds of a process, emptied before each; `now()` in it is the world's time, because the search
  path finds ours before PostgreSQL's.
- People at the centre work in psql: the triggers must carry what no program is there to carry.
- Every row that was ever a master is remembered: what an agent holds must be one of them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import psycopg
from fastapi import FastAPI
from psycopg.conninfo import make_conninfo

from central_server.api.app import create_app
from central_server.api.services import Services
from central_server.api.waiting import Waiting
from central_server.blobs import Blobs
from central_server.config import load_config
from central_server.devices import issue_code
from central_server.masters.office import open_office
from central_server.objects import Objects
from central_server.pages import Pages
from central_server.store.database import Database
from central_server.store.migrations import migrate
from central_server.watch import StoreWatch
from edge_agent.clock import Clock, to_rfc3339
from sync_protocol.canonical import sha256_hex
from tests.simulation.network import Answer, AsgiHost, Host, Sent
from tests.simulation.store import Shelf

NAME, BACKUP = "world", "world_backup"
EPOCH = "00000000-0000-7000-8000-000000000001"
OWN_NOW = """
    CREATE SCHEMA world;
    CREATE TABLE world.clock (at TIMESTAMPTZ NOT NULL);
    INSERT INTO world.clock VALUES (pg_catalog.now());
    CREATE FUNCTION world.now() RETURNS TIMESTAMPTZ LANGUAGE sql STABLE AS 'SELECT at FROM world.clock'"""
TABLES = """SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
            AND relnamespace = 'public'::regnamespace"""
KEPT = ("schema_migrations", "server_state", "sync_spaces")
MASTERS = "SELECT table_name, row_id, data FROM sync_masters WHERE data IS NOT NULL"


class Ground:
    """What many worlds share, one after the other: a PostgreSQL, a migrated database to copy, the built application."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.runner = asyncio.Runner()
        self._app: FastAPI | None = None
        self.url = make_conninfo(cluster, dbname=NAME)
        with psycopg.connect(cluster, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {NAME}".encode())
            migrate(self.url)
            admin.execute(f"ALTER DATABASE {NAME} SET search_path = world, pg_catalog, public".encode())
        with psycopg.connect(self.url, autocommit=True) as made:
            made.execute(OWN_NOW.encode())
            self._tables = [row[0] for row in made.execute(TABLES).fetchall() if row[0] not in KEPT]

    def clear(self) -> None:
        """Nothing is left of the world before."""
        with psycopg.connect(self.url, autocommit=True) as emptied, emptied.transaction():
            emptied.execute("SET LOCAL session_replication_role = replica")
            for table in self._tables:
                emptied.execute(f"DELETE FROM {table}".encode())
            emptied.execute("UPDATE sync_spaces SET version = 0, tombstone_horizon = 0")
            emptied.execute("UPDATE server_state SET server_epoch = %s", (EPOCH,))

    def copy(self, name: str, original: str) -> None:
        """A database in the state of another; nobody may be connected to either."""
        with psycopg.connect(self.cluster, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {original}".encode())
            admin.execute(f"ALTER DATABASE {name} SET search_path = world, pg_catalog, public".encode())

    def app(self, services: Services) -> AsgiHost:
        """The application at these services; building it anew would take longer than most worlds last."""
        self._app = self._app or create_app(services)
        self._app.state.services = services
        return AsgiHost(self._app, self.runner)

    def close(self) -> None:
        self.runner.close()


class Centre(Host):
    """The server, its database, and the people who keep the masters."""

    def __init__(
        self,
        ground: Ground,
        now_s: Callable[[], float],
        dice: random.Random,
        shelf: Shelf,
        folder: Path,
    ) -> None:
        self._ground, self._now_s, self._dice = ground, now_s, dice
        self.clock = Clock(time=now_s, monotonic=now_s, random=dice.randbytes)
        self.shelf = shelf
        self.known: set[tuple[str, str, str]] = set()
        """(table, id, sha256) of every master row there ever was."""
        self.restores = 0
        self._folder = folder
        ground.clear()
        self._open()

    # ── the server ──────────────────────────────────────────────────────────────────────────────────────

    def answer(self, sent: Sent) -> Answer:
        self._set_time()
        return self._app.answer(sent)

    def close(self) -> None:
        self._shut()

    def code(self) -> str:
        """A one-time code for a device."""
        self._set_time()
        return issue_code(self.database, self.clock, "line 1", 3600).code

    def back_up(self) -> None:
        """Yesterday's backup."""
        self._shut()
        self._ground.copy(BACKUP, NAME)
        self._open()

    def restore(self, *, renews_epoch: bool) -> None:
        """Everything since the backup is gone; a careful operator says so to the devices."""
        self._shut()
        self._ground.copy(NAME, BACKUP)
        self._open()
        self.restores += 1
        if renews_epoch:
            self.sql("UPDATE server_state SET server_epoch = %s", (self.clock.new_id(),))

    # ── the people ──────────────────────────────────────────────────────────────────────────────────────

    def sql(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """What somebody types into psql, committed."""
        cursor = self._console.execute(statement.encode(), values)
        if cursor.description:
            return cursor.fetchall()
        self._remember()
        return []

    def add_user(self, username: str) -> str:
        user_id = self.clock.new_id()
        self.sql("INSERT INTO users (id, username, password_hash) VALUES (%s, %s, '')", (user_id, username))
        return user_id

    def add_product(self, code: str) -> str:
        """A product with one item that people judge."""
        product_id = self.clock.new_id()
        self.sql(
            "INSERT INTO inspection_targets_master (id, product_code, product_name, version) VALUES (%s, %s, %s, '1')",
            (product_id, code, code),
        )
        self.add_item(product_id, "lamp")
        return product_id

    def add_item(self, product_id: str, code: str) -> None:
        criteria = json.dumps({"type": "FUNCTION", "rule": "checklist", "checks": [_check(self._dice)]})
        self.sql(
            """INSERT INTO inspection_items_master (id, target_id, item_code, item_name, inspection_type, criteria,
               order_sequence) VALUES (%s, %s, %s, %s, 'FUNCTION', %s, 1)""",
            (self.clock.new_id(), product_id, code, code, criteria),
        )

    def change_something(self) -> str:
        """One edit of the masters, as good as any; says which."""
        edits = {
            "rename a product": "UPDATE inspection_targets_master SET product_name = product_name || '+', "
            "version = (version::integer + 1)::text",
            "change criteria": "UPDATE inspection_items_master SET criteria = jsonb_set(criteria, '{checks,0,label}', "
            "to_jsonb(length(criteria::text)::text))",
            "retire an item": "UPDATE inspection_items_master SET is_active = NOT is_active, required = NOT required",
            "rename a person": "UPDATE users SET full_name = coalesce(full_name, '') || '.'",
        }
        edit = self._dice.choice(sorted(edits))
        table = edits[edit].split()[1]
        [(row_id,)] = self.sql(f"SELECT id FROM {table} ORDER BY id OFFSET %s LIMIT 1", (self._some(table),))
        self.sql(f"{edits[edit]} WHERE id = %s", (row_id,))
        return edit

    def _some(self, table: str) -> int:
        [(count,)] = self.sql(f"SELECT count(*) FROM {table}")
        return self._dice.randrange(count)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        url = self._ground.url
        self.database = Database(url, max_connections=2)
        self.database.open()
        self._console = psycopg.connect(url, autocommit=True)
        self._set_time()
        config = load_config(self._folder)
        objects = cast(Objects, self.shelf)
        services = Services(
            config=config,
            clock=self.clock,
            database=self.database,
            pages=Pages(self.database, self.clock),
            blobs=Blobs(self.database, objects),
            office=open_office(self.database, objects, self.clock, self._folder, "the owner of the machine"),
            waiting=Waiting(config.max_listeners),
            store_watch=StoreWatch(objects),
        )
        self._app = self._ground.app(services)

    def _shut(self) -> None:
        self._console.close()
        self.database.close()

    def _set_time(self) -> None:
        self._console.execute("UPDATE world.clock SET at = %s", (to_rfc3339(self._now_s()),))

    def _remember(self) -> None:
        rows = self._console.execute(MASTERS).fetchall()
        self.known.update((table, row_id, sha256_hex(data.encode())) for table, row_id, data in rows)


def _check(dice: random.Random) -> dict[str, object]:
    return {"key": "led", "label": f"LED {dice.randrange(100)}", "expect": True}
