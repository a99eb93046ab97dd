"""Dead letters in a technician's hands: tried again, or written out for somebody who can say why.

Rules of this file:
- Trying again is recorded with who asked for it; the entry itself and its bytes never change.
- Many are taken in transactions of CHUNK, so that inspectors' work never waits long for the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from edge_agent.errors import NotFound
from edge_agent.models import Actor
from edge_agent.store import audit, dead, uploads
from edge_agent.store.database import Database
from edge_agent.store.dead import DeadEntry
from edge_agent.store.records import row_of

CHUNK = 500
HELD_SHOWN = 100
NOTE = "Photographs are named, not contained: send their files along, `file_path` in the data directory."


def retry_one(database: Database, entry_id: int, actor: Actor) -> None:
    """Queues one again. Raises NotFound (`unknown-dead-letter`)."""
    with database.write(actor) as tx:
        if not dead.revive(tx, [entry_id]):
            raise unknown(entry_id)
        audit.append(tx, "queue.retry", "sync_queue", str(entry_id))


def retry_many(database: Database, actor: Actor, *, code: str | None = None) -> int:
    """Queues all of them again, or those with one reason, also images that were given up; how many."""
    count, after_id = _retry_images(database, actor, code), 0
    while True:
        with database.read() as reader:
            ids = [entry.id for entry in dead.list_dead(reader, after_id, CHUNK, code=code)]
        if not ids:
            return count
        with database.write(actor) as tx:
            revived = dead.revive(tx, ids)
            audit.append(tx, "queue.retry", "sync_queue", code or "all", {"ids": revived})
        count, after_id = count + len(revived), ids[-1]


def _retry_images(database: Database, actor: Actor, code: str | None) -> int:
    with database.write(actor) as tx:
        count = uploads.revive(tx, code=code)
        if count:
            audit.append(tx, "blob.retry", "blob_uploads", code or "all", {"count": count})
    return count


def export(database: Database) -> Iterator[bytes]:
    """All of them with their data and what they hold up, then the photographs given up: one JSON document, a page at
    a time. The photographs' bytes are not in it, and it says so."""
    yield b'{"note":' + json.dumps(NOTE).encode() + b',\n"dead_letters":['
    after_id, comma = 0, b"\n"
    while True:
        with database.snapshot() as reader:
            page = dead.list_dead(reader, after_id, HELD_SHOWN)
            told = [described(entry, dead.list_held(reader, entry.id, HELD_SHOWN)) for entry in page]
        for one in told:
            yield comma + json.dumps(one, ensure_ascii=False).encode()
            comma = b",\n"
        if not page:
            break
        after_id = page[-1].id
    with database.snapshot() as reader:
        given_up = list(uploads.dead_files(reader))
    yield b'\n],\n"images":' + json.dumps(given_up, ensure_ascii=False).encode() + b"}\n"


def described(entry: DeadEntry, held: list[dead.Held]) -> dict[str, Any]:
    """The entry as JSON, its row as an object where it is one."""
    try:
        data = json.loads(entry.data)
    except ValueError:
        data = entry.data
    return {**row_of(entry), "data": data, "held": [row_of(one) for one in held]}


def unknown(entry_id: int) -> NotFound:
    return NotFound(
        f"There is no dead letter {entry_id}.",
        code="unknown-dead-letter",
        hint="List them; it may have been queued again meanwhile.",
    )
