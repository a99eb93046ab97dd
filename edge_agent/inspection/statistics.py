"""How good the line is, and how far people and AI agree: rates, intervals, agreement.

Rules of this file:
- Pure arithmetic on counts. A rate without cases is None, never 0 and never 1.
- Overkill = AI NG where a person said OK, of all a person said OK. Escape = AI OK where a person said NG, of
  all a person said NG. AI REVIEW and ERROR are on neither side: a person looked anyway.
- Where only a sample of the AI's OKs was checked, each stands for as many as its weight says; intervals use
  the number really looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from math import sqrt
from typing import TypeVar

C = TypeVar("C", "VerdictCount", "SessionCount")
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """`group`: the value of each asked-for column; `weight_sum` counts a sampled OK as all it stands for."""

    group: tuple[str, ...]
    ai_result: str
    human_result: str
    verdict_count: int
    weight_sum: float
    verification_time_s: float


@dataclass(frozen=True, slots=True)
class SessionCount:
    """`cycle_time_s` is the sum over the sessions, seconds."""

    group: tuple[str, ...]
    status: str
    final_result: str
    session_count: int
    cycle_time_s: float


@dataclass(frozen=True, slots=True)
class Rate:
    """`value` = part / whole, weighted; the interval is Wilson's at 95 % on the cases looked at."""

    value: float | None
    low: float | None
    high: float | None
    part: float
    whole: float
    cases: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """AI against people over one group. `accuracy` counts OK/OK and NG/NG among all decided by both."""

    judged: int
    compared: int
    accuracy: Rate
    overkill: Rate
    escape: Rate
    cohen_kappa: float | None
    gwet_ac1: float | None
    ai_results: Mapping[str, int]
    human_results: Mapping[str, int]
    mean_verification_s: float | None


@dataclass(frozen=True, slots=True)
class Yield:
    """Completed sessions of one group. `mean_cycle_s` seconds from start to completion."""

    completed: int
    ok: int
    ng: int
    review: int
    cancelled: int
    failed: int
    yield_rate: Rate
    mean_cycle_s: float | None


def wilson(part: float, whole: float, cases: int) -> Rate:
    """A proportion with its Wilson 95 % interval; all None without cases."""
    if whole <= 0 or cases <= 0:
        return Rate(None, None, None, part, whole, cases)
    p, z2 = part / whole, Z95 * Z95
    centre = (p + z2 / (2 * cases)) / (1 + z2 / cases)
    half = Z95 * sqrt(p * (1 - p) / cases + z2 / (4 * cases * cases)) / (1 + z2 / cases)
    return Rate(p, max(0.0, centre - half), min(1.0, centre + half), part, whole, cases)


def cohen_kappa(ok_ok: float, ok_ng: float, ng_ok: float, ng_ng: float) -> float | None:
    """Agreement beyond chance (Cohen 1960), 2×2; None where chance alone explains everything."""
    total = ok_ok + ok_ng + ng_ok + ng_ng
    if not total:
        return None
    first, second = (ok_ok + ok_ng) / total, (ok_ok + ng_ok) / total
    chance = first * second + (1 - first) * (1 - second)
    return None if chance == 1 else ((ok_ok + ng_ng) / total - chance) / (1 - chance)


def gwet_ac1(ok_ok: float, ok_ng: float, ng_ok: float, ng_ng: float) -> float | None:
    """Agreement beyond chance that survives rare NGs (Gwet 2008), 2×2."""
    total = ok_ok + ok_ng + ng_ok + ng_ng
    if not total:
        return None
    share = (2 * ok_ok + ok_ng + ng_ok) / (2 * total)
    chance = 2 * share * (1 - share)
    return ((ok_ok + ng_ng) / total - chance) / (1 - chance)


def agreement(counts: Iterable[VerdictCount]) -> Agreement:
    """Everything about AI against people for the counts of one group."""
    rows = list(counts)
    weight, cases = _table(rows, weighted=True), _table(rows, weighted=False)
    ok_ok, ok_ng = weight["OK", "OK"], weight["OK", "NG"]
    ng_ok, ng_ng = weight["NG", "OK"], weight["NG", "NG"]
    compared = int(sum(cases[pair] for pair in _PAIRS))
    person_ok = sum(row.verdict_count for row in rows if row.human_result == "OK" and row.ai_result)
    person_ng = sum(row.verdict_count for row in rows if row.human_result == "NG" and row.ai_result)
    all_ok = sum(row.weight_sum for row in rows if row.human_result == "OK" and row.ai_result)
    all_ng = sum(row.weight_sum for row in rows if row.human_result == "NG" and row.ai_result)
    decided = sum(row.verdict_count for row in rows if row.human_result)
    seconds = sum(row.verification_time_s for row in rows if row.human_result)
    return Agreement(
        judged=sum(row.verdict_count for row in rows),
        compared=compared,
        accuracy=wilson(ok_ok + ng_ng, ok_ok + ok_ng + ng_ok + ng_ng, compared),
        overkill=wilson(ng_ok, all_ok, person_ok),
        escape=wilson(ok_ng, all_ng, person_ng),
        cohen_kappa=cohen_kappa(ok_ok, ok_ng, ng_ok, ng_ng),
        gwet_ac1=gwet_ac1(ok_ok, ok_ng, ng_ok, ng_ng),
        ai_results=_sums((row.ai_result, row.verdict_count) for row in rows),
        human_results=_sums((row.human_result, row.verdict_count) for row in rows),
        mean_verification_s=seconds / decided if decided else None,
    )


def yields(counts: Iterable[SessionCount]) -> Yield:
    """Results of the finished sessions of one group."""
    rows = list(counts)
    finals = _sums((row.final_result, row.session_count) for row in rows if row.status == "COMPLETED")
    statuses = _sums((row.status, row.session_count) for row in rows)
    completed = statuses.get("COMPLETED", 0)
    seconds = sum(row.cycle_time_s for row in rows if row.status == "COMPLETED")
    ok = finals.get("OK", 0)
    return Yield(
        completed=completed,
        ok=ok,
        ng=finals.get("NG", 0),
        review=finals.get("REVIEW", 0),
        cancelled=statuses.get("CANCELLED", 0),
        failed=statuses.get("FAILED", 0),
        yield_rate=wilson(ok, completed, completed),
        mean_cycle_s=seconds / completed if completed else None,
    )


def week_of(day: str) -> str:
    """The ISO week (2026-W48) of a day (YYYY-MM-DD)."""
    year, week, _ = date.fromisoformat(day).isocalendar()
    return f"{year}-W{week:02d}"


def grouped(counts: Iterable[C], group_by: str | None) -> list[tuple[str, list[C]]]:
    """The counts of each group, groups in order; none when nothing was asked for."""
    if group_by is None:
        return []
    name: Callable[[str], str] = week_of if group_by == "week" else str
    found: dict[str, list[C]] = {}
    for count in counts:
        found.setdefault(name(count.group[0]), []).append(count)
    return sorted(found.items())


_PAIRS = (("OK", "OK"), ("OK", "NG"), ("NG", "OK"), ("NG", "NG"))


def _table(rows: Iterable[VerdictCount], *, weighted: bool) -> dict[tuple[str, str], float]:
    table = dict.fromkeys(_PAIRS, 0.0)
    for row in rows:
        if (pair := (row.ai_result, row.human_result)) in table:
            table[pair] += row.weight_sum if weighted else row.verdict_count
    return table


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, number in pairs:
        if key:
            sums[key] = sums.get(key, 0) + number
    return sums
