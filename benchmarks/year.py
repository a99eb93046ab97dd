"""A store with a year of inspections, 1,000,000 results, for the benchmarks of queries and of writing.

Rules of this file:
- The data are the hard case for sums: every item judged by the AI and by one of all inspectors, with reasons,
  spread evenly over the year, so that hardly two verdicts fall into the same cell; and every tenth session was
  given up, leaving NGs that nobody will look at any more.
"""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.clock import Clock, to_rfc3339
from edge_agent.models import AiResult
from edge_agent.store.database import Database, insert
from edge_agent.store.schema import open_database

SESSIONS, ITEMS, PRODUCTS, INSPECTORS, DAYS = 250_000, 4, 10, 12, 365
BATCH = 2_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
REASONS = ("scratch", "dent", "stain", "missing", "colour", "size", "label", "other")
HUMAN = {"OK": (96, 3, 1), "NG": (25, 70, 5), "REVIEW": (50, 45, 5)}
"""What people say to an AI verdict: weights of OK, NG and HOLD."""


def new_store(path: Path) -> Database:
    database = open_database(path, Clock(), "desktop", "bench")
    with database.write(local=False) as tx:
        now = stamp(FIRST)
        for number in range(PRODUCTS):
            product = {"id": f"p{number}", "product_code": f"P{number}", "product_name": "P", "version": "1"}
            insert(tx, "inspection_targets_master", {**product, "created_at": now, "updated_at": now})
            for item in range(ITEMS):
                row = {
                    "id": f"p{number}i{item}",
                    "target_id": f"p{number}",
                    "item_code": f"I{item}",
                    "item_name": "I",
                    "inspection_type": "VISUAL",
                    "criteria": "{}",
                    "order_sequence": item,
                    "created_at": now,
                    "updated_at": now,
                }
                insert(tx, "inspection_items_master", row)
        for number in range(INSPECTORS):
            user = {"username": f"u{number}", "password_hash": "", "server_id": f"u{number}"}
            insert(tx, "users", user)
        insert(tx, "inspection_targets", target_row("now", 0, now))
        insert(tx, "inspection_sessions", session_row("now", 0, 1, now, "IN_PROGRESS"))
    return database


def fill(database: Database) -> None:
    """A year of sessions through the real tables and triggers, with their queue entries acknowledged."""
    chance = random.Random(1)
    with database.maintenance() as connection:
        connection.execute("PRAGMA synchronous = OFF")
    for first in range(0, SESSIONS, BATCH):
        with database.write(local=False) as tx:
            for number in range(first, first + BATCH):
                fill_session(tx, number, chance)
            tx.execute(
                """INSERT INTO sync_queue (device_id, device_type, app_version, entity_type, entity_id, operation,
                       data, created_at, processed_at, op_id, tx_id, sha256)
                   SELECT 'd', 'desktop', '1', 'ai_inspection_results', id, 'INSERT', '{}', created_at, created_at,
                       'op' || id, session_id, hex(id)
                   FROM ai_inspection_results WHERE session_id >= ? AND session_id <= ?""",
                (f"s{first:07}", f"s{first + BATCH - 1:07}"),
            )
    with database.maintenance() as connection:
        connection.execute("ANALYZE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill_session(tx: sqlite3.Connection, number: int, chance: random.Random) -> None:
    now = stamp(FIRST + timedelta(seconds=number * DAYS * 86_400 / SESSIONS))
    product, user, key = chance.randrange(PRODUCTS), 1 + chance.randrange(INSPECTORS), f"{number:07}"
    insert(tx, "inspection_targets", target_row(key, product, now))
    insert(tx, "inspection_sessions", session_row(key, product, user, now, "AI_COMPLETED"))
    given_up = number % 10 == 1
    judged = [fill_item(tx, key, product, item, now, chance, given_up) for item in range(ITEMS)]
    if number % 50 == 0:  # still open
        return
    status, final = ("CANCELLED", None) if given_up else ("COMPLETED", "NG" if "NG" in judged else "OK")
    tx.execute(
        "UPDATE inspection_sessions SET status = ?, completed_at = ?, final_result = ? WHERE id = ?",
        (status, now, final, f"s{key}"),
    )


def fill_item(
    tx: sqlite3.Connection, key: str, product: int, item: int, now: str, chance: random.Random, given_up: bool
) -> str:
    """Image, AI verdict and a person's, which is returned; given up: the NGs and REVIEWs are left alone."""
    image_id, item_id = f"i{key}{item}", f"p{product}i{item}"
    insert(tx, "inspection_images", {**image_row(image_id, key, product, now), "item_id": item_id})
    ai = chance.choices(["OK", "NG", "REVIEW"], [90, 7, 3])[0]
    row = {**verdict(f"r{key}{item}", image_id), "session_id": f"s{key}", "item_id": item_id}
    insert(tx, "ai_inspection_results", {**row, "overall_result": ai, "created_at": now})
    human = chance.choices(["OK", "NG", "HOLD"], HUMAN[ai])[0]
    verified = {
        "id": f"h{key}{item}",
        "session_id": f"s{key}",
        "user_id": 1 + chance.randrange(INSPECTORS),
        "final_result": human,
        "verification_time": chance.choice([1.5, 2.25, 3.75, 8.0]),
        "created_at": now,
        "item_id": item_id,
        "reason_code": chance.choice(REASONS) if human == "NG" else None,
    }
    if ai == "OK" or not given_up:
        insert(tx, "human_verification_results", verified)
    return human


def lot_of(key: str) -> str:
    """A thousand products make a lot."""
    return f"L{key[:4]}"


def target_row(key: str, product: int, now: str) -> dict[str, object]:
    return {
        "id": f"t{key}",
        "product_id": f"p{product}",
        "batch_id": lot_of(key),
        "qr_code": f"qr{key}",
        "serial_no": key,
        "product_code": f"P{product}",
        "created_at": now,
        "updated_at": now,
    }


def session_row(key: str, product: int, user: int, now: str, status: str) -> dict[str, object]:
    return {
        "id": f"s{key}",
        "target_id": f"t{key}",
        "user_id": user,
        "status": status,
        "started_at": now,
        "product_id": f"p{product}",
        "work_day": now[:10],
        "criteria_snapshot": "[]",
        "updated_at": now,
    }


def image_row(image_id: str, key: str, product: int, now: str) -> dict[str, object]:
    return {
        "id": image_id,
        "session_id": f"s{key}",
        "file_path": f"images/{now[:10]}/{image_id}.jpg",
        "file_size": 60_000,
        "created_at": now,
        "item_id": f"p{product}i0",
        "sha256": image_id,
        "mime_type": "image/jpeg",
        "width_px": 640,
        "height_px": 480,
        "captured_at": now,
        "source": "folder",
        "state": "inspected",
    }


def verdict(result_id: str, image_id: str) -> dict[str, object]:
    return {
        "id": result_id,
        "session_id": "snow",
        "pipeline_version": "1.0.0",
        "overall_result": AiResult.OK,
        "confidence": 0.97,
        "processing_time": 0.012,
        "detailed_results": '{"steps":[{"id":"net","ms":5.1},{"id":"judge","ms":0.1}],"objects":[]}',
        "created_at": stamp(FIRST),
        "item_id": "p0i0",
        "image_id": image_id,
        "criteria_sha256": "c" * 64,
    }


def stamp(instant: datetime) -> str:
    return to_rfc3339(instant.timestamp())
