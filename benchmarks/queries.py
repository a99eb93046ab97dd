"""Lists and statistics on 1,000,000 results, and the price of one more verdict there and in an empty store."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.common import ROUNDS, report, spread
from edge_agent.clock import Clock, to_rfc3339
from edge_agent.models import AiResult, SessionStatus
from edge_agent.store import audit, images, results, sessions
from edge_agent.store.database import Database, insert
from edge_agent.store.schema import open_database
from edge_agent.store.statistics import (
    StatisticsFilter,
    reason_counts,
    session_counts,
    verdict_counts,
)

SESSIONS, ITEMS, PRODUCTS, INSPECTORS, DAYS = 250_000, 4, 10, 12, 365
BATCH = 2_000
QUERIES = 1_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
REASONS = ("scratch", "dent", "stain", "missing", "colour", "size", "label", "other")
HUMAN = {"OK": (96, 3, 1), "NG": (25, 70, 5), "REVIEW": (50, 45, 5)}
Draw = Callable[[sqlite3.Connection, random.Random], object]


def run(work: Path) -> None:
    with closing(new_store(work / "empty.db")) as empty, closing(new_store(work / "full.db")) as full:
        started = time.perf_counter()
        fill(full)
        print(f"\nfilled with {SESSIONS * ITEMS:,} results in {time.perf_counter() - started:.0f} s")
        report(
            f"{SESSIONS * ITEMS:,} results: {QUERIES} queries of each kind with random filters, ms",
            [measured(full, name, query) for name, query in KINDS.items()],
        )
        verdict_ms(empty, "warm"), verdict_ms(full, "warm")
        pairs = [(verdict_ms(full, f"f{n}"), verdict_ms(empty, f"e{n}")) for n in range(ROUNDS)]
    report(
        "writing a verdict (image, result, queue, audit, counts; one commit), median of 200, ms",
        [
            ("into the full store", spread([pair[0] for pair in pairs]), ""),
            ("into an empty store", spread([pair[1] for pair in pairs]), ""),
            ("full / empty", spread([full_ms / empty_ms for full_ms, empty_ms in pairs]), "about 1"),
        ],
    )


def measured(database: Database, name: str, query: Draw) -> tuple[str, str, str]:
    chance = random.Random(7)
    milliseconds = []
    with database.read() as reader:
        for _ in range(QUERIES):
            start = time.perf_counter()
            query(reader, chance)
            milliseconds.append((time.perf_counter() - start) * 1e3)
    milliseconds.sort()
    p50, p99 = statistics.median(milliseconds), milliseconds[int(QUERIES * 0.99)]
    return name, f"p50 {p50:.2f}  p99 {p99:.2f}  max {milliseconds[-1]:.1f}", "p99 <= 50"


def history(reader: sqlite3.Connection, chance: random.Random) -> object:
    since = FIRST + timedelta(days=chance.randrange(DAYS))
    wanted = sessions.HistoryFilter(
        product_id=chance.choice([None, f"p{chance.randrange(PRODUCTS)}"]),
        user_id=chance.choice([None, 1 + chance.randrange(INSPECTORS)]),
        status=chance.choice([None, *SessionStatus]),
        since=chance.choice([None, stamp(since)]),
        until=chance.choice([None, stamp(since + timedelta(days=chance.choice([1, 7, 30])))]),
    )
    return sessions.list_sessions(reader, wanted, None, 50)


def deep_page(reader: sqlite3.Connection, chance: random.Random) -> object:
    at = FIRST + timedelta(days=chance.random() * DAYS)
    return sessions.list_sessions(reader, sessions.HistoryFilter(), (stamp(at), "s"), 50)


def one_session(reader: sqlite3.Connection, chance: random.Random) -> object:
    session_id = f"s{chance.randrange(SESSIONS):07}"
    return (
        sessions.get_session(reader, session_id),
        images.list_images(reader, session_id),
        results.item_verdicts(reader, session_id),
        results.list_ai_results(reader, session_id),
    )


def scan(reader: sqlite3.Connection, chance: random.Random) -> object:
    return sessions.find_target(reader, f"qr{chance.randrange(SESSIONS):07}")


def period(chance: random.Random) -> StatisticsFilter:
    since = FIRST + timedelta(days=chance.randrange(DAYS))
    until = since + timedelta(days=chance.choice([0, 6, 30, 364]))
    product = chance.choice([None, f"p{chance.randrange(PRODUCTS)}"])
    user = chance.choice([None, 1 + chance.randrange(INSPECTORS)])
    return StatisticsFilter(since.date().isoformat(), until.date().isoformat(), product, None, user)


KINDS: dict[str, Draw] = {
    "history, any mix of inspector, period, product, status": history,
    "history, a page anywhere": deep_page,
    "one session with images and verdicts": one_session,
    "a scanned code": scan,
    "review list": lambda reader, _: results.review_list(reader, None, 50),
    "agreement by day": lambda reader, chance: verdict_counts(reader, period(chance), ["day"]),
    "agreement by product and item": lambda reader, chance: verdict_counts(
        reader, period(chance), ["product", "item"]
    ),
    "yield by inspector": lambda reader, chance: session_counts(reader, period(chance), ["inspector"]),
    "Pareto of reasons": lambda reader, chance: reason_counts(reader, period(chance)),
    "audit, newest": lambda reader, _: audit.list_entries(reader, limit=100),
}


def verdict_ms(database: Database, mark: str) -> float:
    """Median milliseconds of 200 verdicts, each with its image in one transaction."""
    milliseconds = []
    for number in range(200):
        image_id = f"i-{mark}-{number:05}"
        result = verdict(database.clock.new_id(), image_id)
        start = time.perf_counter()
        with database.write() as tx:
            insert(tx, "inspection_images", image_row(image_id, "now", 0, stamp(FIRST)))
            insert(tx, "ai_inspection_results", result)
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return statistics.median(milliseconds)


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
    worst = "OK"
    for item in range(ITEMS):
        image_id = f"i{key}{item}"
        ai = chance.choices(["OK", "NG", "REVIEW"], [90, 7, 3])[0]
        insert(
            tx,
            "inspection_images",
            {**image_row(image_id, key, product, now), "item_id": f"p{product}i{item}"},
        )
        row = {**verdict(f"r{key}{item}", image_id), "session_id": f"s{key}", "item_id": f"p{product}i{item}"}
        insert(tx, "ai_inspection_results", {**row, "overall_result": ai, "created_at": now})
        human = chance.choices(["OK", "NG", "HOLD"], HUMAN[ai])[0]
        worst = "NG" if human == "NG" else worst
        verified = {
            "id": f"h{key}{item}",
            "session_id": f"s{key}",
            "user_id": 1 + chance.randrange(INSPECTORS),
            "final_result": human,
            "verification_time": chance.choice([1.5, 2.25, 3.75, 8.0]),
            "created_at": now,
            "item_id": f"p{product}i{item}",
            "reason_code": chance.choice(REASONS) if human == "NG" else None,
        }
        insert(tx, "human_verification_results", verified)
    if number % 50:  # one in fifty is still open
        tx.execute(
            "UPDATE inspection_sessions SET status = 'COMPLETED', completed_at = ?, final_result = ? WHERE id = ?",
            (now, worst, f"s{key}"),
        )


def target_row(key: str, product: int, now: str) -> dict[str, object]:
    return {
        "id": f"t{key}",
        "product_id": f"p{product}",
        "batch_id": "L",
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
