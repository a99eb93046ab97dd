"""How good the lines are, and how far people and AI agree: in all, by period, product, item, inspector, device.

Rules of this file:
- Counts come from the store, formulas from `edge_agent.inspection.statistics`: the same as at every device.
- Weeks are ISO weeks, summed up from days. Results are the devices'; a supervisor's decision changes none of them
  (docs/adr/0012).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query
from pydantic import StringConstraints

from central_server.api.auth import Has
from central_server.api.operators import AnyOperator
from central_server.store import statistics as store
from central_server.store.statistics import GroupBy, StatisticsFilter
from edge_agent.inspection.statistics import Agreement, Yield, agreement, grouped, yields
from sync_protocol.messages import UUID_PATTERN

router = APIRouter(prefix="/statistics", tags=["statistics"])
Id = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
ByVerdict = Literal["day", "week", "month", "product", "item", "inspector", "device"]
BySession = Literal["day", "week", "month", "product", "inspector", "device"]


@dataclass(frozen=True, slots=True)
class AgreementGroup:
    """`key`: day, ISO week, month or id; `name`: what people call the id, else the key."""

    key: str
    name: str
    figures: Agreement


@dataclass(frozen=True, slots=True)
class AgreementTable:
    total: Agreement
    groups: list[AgreementGroup]


@dataclass(frozen=True, slots=True)
class YieldGroup:
    """`key`: day, ISO week, month or id; `name`: what people call the id, else the key."""

    key: str
    name: str
    figures: Yield


@dataclass(frozen=True, slots=True)
class YieldTable:
    total: Yield
    groups: list[YieldGroup]


@dataclass(frozen=True, slots=True)
class Reason:
    """`share` of all NG decisions, `cumulative_share` of this and all more frequent reasons."""

    reason_code: str
    ng_count: int
    share: float
    cumulative_share: float


@dataclass(frozen=True, slots=True)
class Pareto:
    ng_count: int
    reasons: list[Reason]


def _wanted(
    since_day: date | None = None,
    until_day: date | None = None,
    product_id: Id | None = None,
    item_id: Id | None = None,
    user_id: Id | None = None,
    device_id: Annotated[str | None, Query(max_length=255)] = None,
) -> StatisticsFilter:
    return StatisticsFilter(since_day, until_day, product_id, item_id, user_id, device_id)


def _wanted_sessions(
    since_day: date | None = None,
    until_day: date | None = None,
    product_id: Id | None = None,
    user_id: Id | None = None,
    device_id: Annotated[str | None, Query(max_length=255)] = None,
) -> StatisticsFilter:
    return StatisticsFilter(since_day, until_day, product_id, None, user_id, device_id)


Wanted = Annotated[StatisticsFilter, Depends(_wanted)]
WantedSessions = Annotated[StatisticsFilter, Depends(_wanted_sessions)]


@router.get("/agreement")
def show_agreement(
    has: Has, _: AnyOperator, wanted: Wanted, group_by: ByVerdict | None = None
) -> AgreementTable:
    """AI against people: accuracy, overkill and escape with Wilson 95 % intervals, kappa and AC1."""
    with has.database.snapshot() as tx:
        counts = store.verdict_counts(tx, wanted, columns_of(group_by))
        names = store.names_of(tx, group_by)
    found = [
        AgreementGroup(key, names.get(key, key), agreement(rows)) for key, rows in grouped(counts, group_by)
    ]
    return AgreementTable(agreement(counts), found)


@router.get("/yield")
def show_yield(
    has: Has, _: AnyOperator, wanted: WantedSessions, group_by: BySession | None = None
) -> YieldTable:
    """Finished sessions: results, yield with a Wilson 95 % interval, mean cycle time."""
    with has.database.snapshot() as tx:
        counts = store.session_counts(tx, wanted, columns_of(group_by))
        names = store.names_of(tx, group_by)
    found = [YieldGroup(key, names.get(key, key), yields(rows)) for key, rows in grouped(counts, group_by)]
    return YieldTable(yields(counts), found)


@router.get("/reasons")
def show_reasons(has: Has, _: AnyOperator, wanted: Wanted) -> Pareto:
    """Why people decided NG, most frequent first."""
    with has.database.snapshot() as tx:
        counts = store.reason_counts(tx, wanted)
    total, so_far, reasons = sum(one.ng_count for one in counts), 0, []
    for one in counts:
        so_far += one.ng_count
        reasons.append(Reason(one.reason_code, one.ng_count, one.ng_count / total, so_far / total))
    return Pareto(total, reasons)


def columns_of(group_by: str | None) -> tuple[GroupBy, ...]:
    """What the store groups by."""
    if group_by is None:
        return ()
    return ("day",) if group_by == "week" else (cast("GroupBy", group_by),)
