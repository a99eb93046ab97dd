"""What must hold in every world: after every step, and once more when everything has come to rest.

Rules of this file:
- Each invariant is a function that yields what is wrong, in words; nothing yielded is nothing wrong.
- `always` may be asked in the middle of a storm, so it says nothing of what is still on its way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from central_server.objects import object_key
from edge_agent.store import pulled
from sync_protocol.canonical import sha256_hex
from sync_protocol.tables import PULLED
from tests.simulation.agent import Agent

if TYPE_CHECKING:
    from tests.simulation.world import World

FACTS = (
    "inspection_targets",
    "inspection_sessions",
    "inspection_images",
    "ai_inspection_results",
    "human_verification_results",
)
APPLIED = """SELECT q.entity_type, q.entity_id::text, q.operation, q.data->>'version' FROM tauri_sync_queue q
             JOIN sync_ops o ON o.op_id = q.op_id AND o.device_id = q.device_id AND o.outcome = 'applied'
             WHERE q.device_id = %s ORDER BY q.id"""


def always(world: World) -> Iterator[str]:
    """Holds at every instant, whatever is broken."""
    for agent in world.agents:
        if not world.centre.restores:  # what a restore lost comes again, some of it as new operations
            yield from _acknowledged_is_there(world, agent)
            yield from _cursors_only_rise(world, agent)
            yield from _what_the_cursor_says_is_here(world, agent)
        yield from _masters_were_the_centres(world, agent)
        yield from _uploaded_is_whole(world, agent)
    yield from _once_and_in_order(world)


def at_rest(world: World) -> Iterator[str]:
    """Holds once the faults have stopped and time has passed."""
    yield from always(world)
    for agent in world.agents:
        yield from _nothing_waits(agent)
        yield from _centre_has_every_row(world, agent)
        yield from _agent_has_the_masters(world, agent)
        yield from _check_is_clean(agent)
        yield from (f"{agent.name}: verify --deep: {difference}" for difference in agent.differences())
    if conflicts := world.centre.sql("SELECT entity_id, kept FROM conflict_log"):
        yield f"conflicts, though every row has one writer: {conflicts}"
    if rejected := world.centre.sql("SELECT code, detail FROM sync_rejections WHERE resolved_at IS NULL"):
        yield f"rejected: {rejected}"


def _acknowledged_is_there(world: World, agent: Agent) -> Iterator[str]:
    """What an agent holds acknowledged, the server has."""
    rows = agent.rows("SELECT op_id, entity_type FROM sync_queue WHERE processed_at IS NOT NULL")
    there = {
        str(row[0])
        for row in world.centre.sql(
            "SELECT op_id::text FROM sync_ops WHERE device_id = %s", (agent.device_id,)
        )
    }
    lost = [(row["entity_type"], row["op_id"]) for row in rows if row["op_id"] not in there]
    if lost:
        yield f"{agent.name}: acknowledged but not at the centre: {lost}"


def _masters_were_the_centres(world: World, agent: Agent) -> Iterator[str]:
    """No unverified byte: every row an agent pulled is one that the centre really had."""
    for table, row_id, _ in _pulled_by(agent) - world.centre.known:
        yield f"{agent.name}: {table} {row_id} never was at the centre in this form"


def _cursors_only_rise(world: World, agent: Agent) -> Iterator[str]:
    for row in agent.rows("SELECT space, server_epoch, cursor FROM sync_state WHERE space = 'masters'"):
        key = (agent.name, row["server_epoch"])
        if row["cursor"] < world.cursors.get(key, 0):
            yield f"{agent.name}: the cursor went back from {world.cursors[key]} to {row['cursor']}"
        world.cursors[key] = row["cursor"]


def _uploaded_is_whole(world: World, agent: Agent) -> Iterator[str]:
    """A picture that counts as uploaded is in the store, byte for byte."""
    for row in agent.rows("SELECT sha256 FROM inspection_images WHERE uploaded_at IS NOT NULL"):
        data = world.shelf.objects.get(object_key(row["sha256"]))
        if data is None or sha256_hex(data) != row["sha256"]:
            yield f"{agent.name}: the picture {row['sha256'][:12]} counts as uploaded, the store has {data!r:.40}"


def _once_and_in_order(world: World) -> Iterator[str]:
    """The server took every operation once, and those of one row as they were made."""
    for agent in world.agents:
        seen: set[tuple[str, str, str, str | None]] = set()
        latest: dict[str, int] = {}
        for kind, entity, operation, version in world.centre.sql(APPLIED, (agent.device_id,)):
            if (kind, entity, operation, version) in seen:
                yield f"{agent.name}: {operation} of {kind} {entity} version {version} was applied twice"
            seen.add((kind, entity, operation, version))
            if version is not None and int(version) < latest.get(entity, 0):
                yield f"{agent.name}: {kind} {entity} version {version} after {latest[entity]}"
            latest[entity] = int(version or 0)


def _check_is_clean(agent: Agent) -> Iterator[str]:
    """A picture whose row the power took away may lie there: nobody was told that it was taken."""
    yield from (f"{agent.name}: {finding}" for finding in agent.check() if finding.code != "image-orphan")


def _nothing_waits(agent: Agent) -> Iterator[str]:
    waiting = agent.rows("""SELECT id, entity_type, operation, error_code, dead_at, held_by, next_attempt_at
                            FROM sync_queue WHERE processed_at IS NULL LIMIT 5""")
    if waiting:
        yield f"{agent.name}: still in the queue: {[tuple(row) for row in waiting]}"
    if pictures := agent.rows("SELECT sha256 FROM inspection_images WHERE uploaded_at IS NULL LIMIT 5"):
        yield f"{agent.name}: pictures not uploaded: {len(pictures)}"


def _centre_has_every_row(world: World, agent: Agent) -> Iterator[str]:
    for table in FACTS:
        ours = {row[0] for row in agent.rows(f"SELECT id FROM {table}")}
        theirs = {
            row[0]
            for row in world.centre.sql(
                f"SELECT id::text FROM {table} WHERE device_id = %s", (agent.device_id,)
            )
        }
        if ours != theirs:
            yield f"{agent.name}: {table}: {len(ours - theirs)} only here, {len(theirs - ours)} only there"
    sql = "SELECT id, status, version FROM inspection_sessions"
    ours = {tuple(row) for row in agent.rows(sql)}
    theirs = set(
        world.centre.sql(
            "SELECT id::text, status, version FROM inspection_sessions WHERE device_id = %s",
            (agent.device_id,),
        )
    )
    if ours != theirs:
        yield f"{agent.name}: sessions differ: {ours ^ theirs}"


def _what_the_cursor_says_is_here(world: World, agent: Agent) -> Iterator[str]:
    """Every master that changed last at or before an agent's cursor, that agent holds."""
    for [cursor] in agent.rows("SELECT cursor FROM sync_state WHERE space = 'masters'"):
        if missing := _masters_of(world, up_to=cursor) - _pulled_by(agent):
            yield f"{agent.name}: the cursor is {cursor}, and these are not here: {sorted(missing)[:4]}"


def _agent_has_the_masters(world: World, agent: Agent) -> Iterator[str]:
    if differing := _masters_of(world) ^ _pulled_by(agent):
        yield f"{agent.name}: masters differ: {sorted(differing)[:4]}"


def _masters_of(world: World, *, up_to: int = 2**62) -> set[tuple[str, str, str]]:
    sql = "SELECT table_name, row_id, data FROM sync_masters WHERE data IS NOT NULL AND row_version <= %s"
    return {(table, row, sha256_hex(data.encode())) for table, row, data in world.centre.sql(sql, (up_to,))}


def _pulled_by(agent: Agent) -> set[tuple[str, str, str]]:
    with agent.database.snapshot() as reader:
        return {
            (name, *row) for name, table in PULLED.items() for row in pulled.pulled_sha256s(reader, table)
        }
