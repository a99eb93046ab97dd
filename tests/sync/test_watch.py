"""What the watchdog says, and what it keeps quiet about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.clock import to_rfc3339
from edge_agent.store.outbox import Head
from edge_agent.sync.backoff import BREAKS_AFTER, CAP_S, after_failure, after_success
from edge_agent.sync.lane import Kind, LaneState, SyncFailed
from edge_agent.sync.watch import CLOCK_OFF_MS, OTHER_S, URGENT_S, Watched, findings
from sync_protocol.version import SCHEMA_VERSION

NOW_S = 1_795_435_200.0
WELL = Watched(NOW_S, {"push": after_success(LaneState(), NOW_S)}, [], 0, SCHEMA_VERSION, 5.0, None)


def failing(kind: Kind, code: str, times: int = BREAKS_AFTER) -> dict[str, LaneState]:
    state = LaneState()
    for _ in range(times):
        state = after_failure(state, SyncFailed(kind, code, "Why."), NOW_S, 0.5)
    return {"push": state}


def head(priority: int, age_s: float) -> Head:
    return Head(priority, 1, to_rfc3339(NOW_S - age_s))


def codes(**changed: Any) -> list[str]:
    return [found.code for found in findings(replace(WELL, **changed))]


def test_all_is_well() -> None:
    assert codes() == []
    assert codes(idle_s=None) == []
    assert codes(states={"push": LaneState()}) == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"states": failing(Kind.AUTH, "device-revoked", 1)}, "sync-not-let-in"),
        ({"states": failing(Kind.PERMANENT, "protocol-unknown", 1)}, "sync-versions-differ"),
        ({"states": failing(Kind.TRANSIENT, "internal")}, "sync-failing"),
        ({"heads": [head(100, URGENT_S + 1)]}, "sync-late"),
        ({"heads": [head(50, OTHER_S + 1)]}, "sync-late"),
        ({"idle_s": 2 * CAP_S + 1}, "sync-stalled"),
        ({"clock_offset_ms": CLOCK_OFF_MS + 1}, "sync-clock-off"),
        ({"clock_offset_ms": -CLOCK_OFF_MS - 1}, "sync-clock-off"),
        ({"server_schema": SCHEMA_VERSION + 1}, "sync-schema-differs"),
        ({"server_schema": SCHEMA_VERSION - 1 or -1}, "sync-schema-differs"),
        ({"paused_at": "2026-11-23T12:00:00.000Z"}, "sync-paused"),
    ],
)
def test_what_is_wrong_is_said_once(changed: dict[str, Any], code: str) -> None:
    assert codes(**changed) == [code]


@pytest.mark.parametrize(
    "changed",
    [
        {"states": failing(Kind.TRANSIENT, "internal", BREAKS_AFTER - 1)},
        {"states": failing(Kind.OFFLINE, "server-unreachable", 100)},
        {"heads": [head(100, URGENT_S - 1), head(50, OTHER_S - 1)]},
        {"idle_s": 2 * CAP_S},
        {"server_schema": 0},
        {"clock_offset_ms": CLOCK_OFF_MS},
    ],
)
def test_what_mends_itself_is_not_said(changed: dict[str, Any]) -> None:
    assert codes(**changed) == []


def test_what_a_person_paused_is_late_for_nothing() -> None:
    assert codes(paused_at="then", heads=[head(100, 1e6)], idle_s=1e6) == ["sync-paused"]
