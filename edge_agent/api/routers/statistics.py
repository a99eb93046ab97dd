"""Statistics: how good the line is, and how far people and AI agree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query

from edge_agent.api.auth import Anyone, Has
from edge_agent.api.bodies.fields import Day
from edge_agent.api.bodies.figures import (
    AgreementGroup,
    AgreementTable,
    ReasonCount,
    ReasonTable,
    YieldGroup,
    YieldTable,
)
from edge_agent.errors import BadInput
from edge_agent.inspection.statistics import agreement, grouped, yields
from edge_agent.store.hours import Days, session_hours, verdict_hours
from edge_agent.store.statistics import (
    GroupBy,
    StatisticsFilter,
    reason_counts,
    session_counts,
    verdict_counts,
)

MAX_HOUR_DAYS = 7
router = APIRouter(prefix="/statistics", tags=["statistics"])


async def _wanted(
    since_day: Day = None,
    until_day: Day = None,
    product_id: Annotated[str | None, Query(max_length=64)] = None,
    item_id: Annotated[str | None, Query(max_length=64)] = None,
    user_id: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> StatisticsFilter:
    return StatisticsFilter(since_day, until_day, product_id, item_id, user_id)


async def _wanted_sessions(
    since_day: Day = None,
    until_day: Day = None,
    product_id: Annotated[str | None, Query(max_length=64)] = None,
    user_id: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> StatisticsFilter:
    return StatisticsFilter(since_day, until_day, product_id, None, user_id)


Wanted = Annotated[StatisticsFilter, Depends(_wanted)]
WantedSessions = Annotated[StatisticsFilter, Depends(_wanted_sessions)]


@router.get("/agreement")
def get_agreement(
    _who: Anyone,
    has: Has,
    wanted: Wanted,
    group_by: Literal["hour", "day", "week", "month", "product", "item", "inspector"] | None = None,
) -> AgreementTable:
    """AI against people: accuracy, overkill, escape with 95 % intervals, κ and AC1; in all and by group.

    By hour for at most 7 days, `since_day` to `until_day`.
    """
    with has.database.snapshot() as reader:
        if group_by == "hour":
            counts = verdict_hours(reader, bounded_days(wanted), has.config.zone, wanted)
        else:
            counts = verdict_counts(reader, wanted, columns_of(group_by))
    groups = [AgreementGroup(key, agreement(rows)) for key, rows in grouped(counts, group_by)]
    return AgreementTable(agreement(counts), groups)


@router.get("/yield")
def get_yield(
    _who: Anyone,
    has: Has,
    wanted: WantedSessions,
    group_by: Literal["hour", "day", "week", "month", "product", "inspector"] | None = None,
) -> YieldTable:
    """Finished sessions: results, yield with a 95 % interval, cycle time; in all and by group.

    By hour for at most 7 days, `since_day` to `until_day`.
    """
    with has.database.snapshot() as reader:
        if group_by == "hour":
            counts = session_hours(reader, bounded_days(wanted), has.config.zone, wanted)
        else:
            counts = session_counts(reader, wanted, columns_of(group_by))
    groups = [YieldGroup(key, yields(rows)) for key, rows in grouped(counts, group_by)]
    return YieldTable(yields(counts), groups)


@router.get("/reasons")
def get_reasons(_who: Anyone, has: Has, wanted: Wanted) -> ReasonTable:
    """Why people decided NG, most frequent first (Pareto)."""
    with has.database.read() as reader:
        return ReasonTable([ReasonCount(*row) for row in reason_counts(reader, wanted)])


def bounded_days(wanted: StatisticsFilter) -> Days:
    """The wanted days, if they are few enough for hours. Raises BadInput (`hours-unbounded`)."""
    try:
        since, until = date.fromisoformat(wanted.since_day or ""), date.fromisoformat(wanted.until_day or "")
    except ValueError:
        since, until = date.min, date.max
    if until - since >= timedelta(days=MAX_HOUR_DAYS):
        raise BadInput(
            f"Hours are counted for at most {MAX_HOUR_DAYS} days, from since_day to until_day.",
            code="hours-unbounded",
            hint="Choose at most a week, or count by day.",
        )
    return since, until


def columns_of(group_by: str | None) -> Sequence[GroupBy]:
    """What the store groups by: weeks are summed up from days."""
    if group_by is None:
        return ()
    return ("day",) if group_by == "week" else (cast("GroupBy", group_by),)
