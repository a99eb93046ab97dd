"""Lists and statistics on 1,000,000 results, and the price of one more verdict there and in an empty store.

Measured: milliseconds of each kind of query with random filters, and of writing a verdict.
Goal: p99 at most 50 ms; a verdict costs the same in a full store as in an empty one.
Limit: the rows that an answer is made of; a verdict cannot be cheaper than its one fsync.

Rules of this file:
- What fills the store, and why it is the hard case, stands in `year.py`.
- A statistic is what the API does for it: the query, the arithmetic, the bytes of the answer.
"""

from __future__ import annotations

import gc
import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from benchmarks.common import ROUNDS, report, spread, timed
from benchmarks.year import (
    DAYS,
    FIRST,
    INSPECTORS,
    ITEMS,
    PRODUCTS,
    SESSIONS,
    fill,
    image_row,
    lot_of,
    new_store,
    stamp,
    verdict,
)
from edge_agent.api.routers.statistics import get_agreement, get_reasons, get_yield
from edge_agent.models import SessionStatus
from edge_agent.store import audit, images, results, sessions
from edge_agent.store.database import Database, insert
from edge_agent.store.statistics import StatisticsFilter

QUERIES = 500
Draw = Callable[[Database, random.Random], object]
Read = Callable[[sqlite3.Connection, random.Random], object]


def run(work: Path) -> None:
    with closing(new_store(work / "empty.db")) as empty, closing(new_store(work / "full.db")) as full:
        started = time.perf_counter()
        fill(full)
        print(f"\nfilled with {SESSIONS * ITEMS:,} results in {time.perf_counter() - started:.0f} s")
        gc.freeze()  # as the daemon does when it has started
        report(
            f"{SESSIONS * ITEMS:,} results: {QUERIES} queries of each kind with random filters, ms",
            [timed(name, partial(query, full), QUERIES) for name, query in KINDS.items()],
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


def reading(read: Read) -> Draw:
    def draw(database: Database, chance: random.Random) -> object:
        with database.read() as reader:
            return read(reader, chance)

    return draw


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


def searched(reader: sqlite3.Connection, chance: random.Random) -> object:
    key = f"{chance.randrange(SESSIONS):07}"
    text = chance.choice([key, f"qr{key}", lot_of(key)])
    return sessions.list_sessions(reader, sessions.HistoryFilter(text=text), None, 50)


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


def nothing_found(reader: sqlite3.Connection, chance: random.Random) -> object:
    wanted = sessions.HistoryFilter(
        chance.choice([None, f"p{chance.randrange(PRODUCTS)}"]),
        1 + chance.randrange(INSPECTORS),
        chance.choice([SessionStatus.FAILED, SessionStatus.HUMAN_REVIEW]),
    )
    assert sessions.list_sessions(reader, wanted, None, 50) == []
    return None


def period(chance: random.Random) -> StatisticsFilter:
    """Any or no first and last day, product, item and person."""
    since = FIRST + timedelta(days=chance.randrange(DAYS))
    until = since + timedelta(days=chance.choice([0, 6, 30, 90, 364]))
    product = chance.choice([None, chance.randrange(PRODUCTS)])
    return StatisticsFilter(
        chance.choice([None, since.date().isoformat()]),
        chance.choice([None, until.date().isoformat()]),
        None if product is None else f"p{product}",
        None if product is None else chance.choice([None, f"p{product}i{chance.randrange(ITEMS)}"]),
        chance.choice([None, 1 + chance.randrange(INSPECTORS)]),
    )


def session_period(chance: random.Random) -> StatisticsFilter:
    return replace(period(chance), item_id=None)


def week(chance: random.Random) -> StatisticsFilter:
    """Seven days, as hours are asked for."""
    since = FIRST + timedelta(days=chance.randrange(DAYS - 6))
    until = since + timedelta(days=6)
    product = chance.choice([None, f"p{chance.randrange(PRODUCTS)}"])
    return StatisticsFilter(since.date().isoformat(), until.date().isoformat(), product)


def longest(chance: random.Random) -> StatisticsFilter:
    """Nearly the whole year, beginning and ending within a month, nothing filtered."""
    since, until = (
        FIRST + timedelta(days=chance.randrange(1, 5)),
        FIRST + timedelta(days=DAYS - chance.randrange(2, 5)),
    )
    return StatisticsFilter(since.date().isoformat(), until.date().isoformat())


def statistic(
    answer: Callable[..., object], choose: Callable[[random.Random], StatisticsFilter], *group: str
) -> Draw:
    """One endpoint's work for a random filter: query, arithmetic, the bytes of its answer."""
    body: TypeAdapter[Any] = TypeAdapter(get_type_hints(answer)["return"])

    def draw(database: Database, chance: random.Random) -> object:
        has = SimpleNamespace(database=database, config=SimpleNamespace(zone=UTC))
        return body.dump_json(answer(None, has, choose(chance), *group))

    return draw


AGREEMENT = ("day", "week", "month", "product", "item", "inspector")
YIELD = ("day", "week", "month", "product", "inspector")
KINDS: dict[str, Draw] = {
    "history, any mix of inspector, period, product, status": reading(history),
    "history, searched by serial, code or lot": reading(searched),
    "history, nothing matches": reading(nothing_found),
    "history, a page anywhere": reading(deep_page),
    "one session with images and verdicts": reading(one_session),
    "a scanned code": reading(scan),
    "review list": reading(lambda reader, _: results.review_list(reader, None, 50)),
    "audit, newest": reading(lambda reader, _: audit.list_entries(reader, limit=100)),
    "agreement": statistic(get_agreement, period),
    **{f"agreement by {group}": statistic(get_agreement, period, group) for group in AGREEMENT},
    **{f"agreement by {group}, all year": statistic(get_agreement, longest, group) for group in AGREEMENT},
    "yield": statistic(get_yield, session_period),
    **{f"yield by {group}": statistic(get_yield, session_period, group) for group in YIELD},
    **{f"yield by {group}, all year": statistic(get_yield, longest, group) for group in YIELD},
    "agreement by hour, a week": statistic(get_agreement, week, "hour"),
    "yield by hour, a week": statistic(get_yield, week, "hour"),
    "Pareto of reasons": statistic(get_reasons, period),
    "Pareto of reasons, all year": statistic(get_reasons, longest),
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
