"""Health: each fact that matters gives its finding, at its threshold and not before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.backup import backup_name
from edge_agent.capture.quarantine import Quarantine
from edge_agent.clock import to_rfc3339
from edge_agent.errors import Problem
from edge_agent.health import Facts, file_system_of, findings, gather, mounted_as, span
from edge_agent.models import Severity
from edge_agent.store.vitals import oldest_unsynced_at
from tests.store_factory import NOON, Store

HOUR, DAY = 3_600.0, 86_400.0
WELL = Facts(
    now_s=NOON,
    sqlite_version=(3, 51, 3),
    disk_total_bytes=100,
    disk_used_bytes=50,
    file_system="ext4",
    data_dir_mode=0o700,
    newest_record_at=to_rfc3339(NOON - 1),
    oldest_unsynced_at=to_rfc3339(NOON - HOUR),
    server_configured=True,
    calibrations={"cam1": to_rfc3339(NOON + 90 * DAY)},
    newest_backup_s=NOON - DAY,
    first_record_at=to_rfc3339(NOON - 30 * DAY),
    backup_keep=7,
)


def codes(**changes: Any) -> list[str]:
    return [one.code for one in findings(replace(WELL, **changes))]


def test_a_healthy_installation_gives_nothing() -> None:
    assert codes() == []


def test_unknown_facts_are_no_alarm() -> None:
    assert findings(Facts(now_s=NOON, sqlite_version=(3, 51, 3))) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sqlite_version": (3, 40, 1)}, "sqlite-wal-reset"),
        ({"disk_used_bytes": 80}, "disk-filling"),
        ({"file_system": "cifs"}, "data-dir-on-network"),
        ({"data_dir_mode": 0o755}, "data-dir-readable-by-others"),
        ({"data_dir_mode": 0o701}, "data-dir-readable-by-others"),
        ({"newest_record_at": to_rfc3339(NOON + 61)}, "clock-set-back"),
        ({"worker_state": "degraded"}, "inference-degraded"),
        ({"worker_state": "starting"}, "inference-starting"),
        ({"worker_restarts": 1}, "inference-restarted"),
        ({"pipeline_problems": {"face": [Problem("", "/steps", "x", "m")]}}, "pipeline-not-compiling"),
        ({"calibrations": {"cam1": to_rfc3339(NOON)}}, "calibration-expired"),
        ({"calibrations": {"cam1": to_rfc3339(NOON + DAY)}}, "calibration-expires-soon"),
        ({"unreachable_folders": ("line-1",)}, "folder-unreachable"),
        ({"quarantined": 3}, "quarantine-not-empty"),
        ({"newest_backup_s": NOON - 2 * DAY - 1}, "backup-too-old"),
        ({"newest_backup_s": None}, "backup-too-old"),
        ({"dead_entries": 1}, "sync-entries-refused"),
        ({"dead_blobs": 1}, "images-not-sendable"),
        ({"oldest_unsynced_at": to_rfc3339(NOON - DAY - 1)}, "sync-behind"),
    ],
)
def test_each_fact_gives_its_finding(changes: dict[str, Any], code: str) -> None:
    assert codes(**changes) == [code]
    [one] = findings(replace(WELL, **changes))
    assert one.message
    assert one.hint.endswith((".", "mended."))


@pytest.mark.parametrize(
    "changes",
    [
        {"disk_used_bytes": 79},
        {"newest_record_at": to_rfc3339(NOON + 60)},
        {"newest_backup_s": None, "first_record_at": to_rfc3339(NOON - HOUR)},
        {"newest_backup_s": None, "first_record_at": None},
        {"newest_backup_s": None, "backup_keep": 0},
        {"oldest_unsynced_at": to_rfc3339(NOON - 9 * DAY), "server_configured": False},
        {"sqlite_version": (3, 50, 7)},
    ],
)
def test_what_is_no_trouble_gives_nothing(changes: dict[str, Any]) -> None:
    assert codes(**changes) == []


@pytest.mark.parametrize(
    ("used", "severity"),
    [(80, Severity.INFO), (90, Severity.WARNING), (95, Severity.ERROR), (100, Severity.ERROR)],
)
def test_a_filling_disk_gets_graver(used: int, severity: Severity) -> None:
    [one] = findings(replace(WELL, disk_used_bytes=used))
    assert one.severity is severity


def test_the_gravest_comes_first() -> None:
    assert codes(sqlite_version=(3, 40, 1), quarantined=1, worker_state="degraded") == [
        "inference-degraded",
        "quarantine-not-empty",
        "sqlite-wal-reset",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59, "59 seconds"), (119, "119 seconds"), (7_000, "117 minutes"), (2 * DAY, "2 days")],
)
def test_lengths_of_time_are_said_as_people_do(seconds: float, text: str) -> None:
    assert span(seconds) == text


# ── gathering ───────────────────────────────────────────────────────────────────────────────────────────


def test_facts_are_gathered_from_a_real_installation(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.data_dir.chmod(0o700)
    store.add_masters()
    store.inspect()
    for name in ("a.jpg", "a.jpg.json", "b.jpg"):
        (tmp_path / name).write_bytes(b"?")
    quarantine = Quarantine(store.data_dir / "quarantine", store.clock)
    quarantine.put("line", [tmp_path / "a.jpg", tmp_path / "a.jpg.json"], code="c", detail="d", hint="h")
    quarantine.put("line", [tmp_path / "b.jpg"], code="c", detail="d", hint="h")
    names = [backup_name([], NOON - DAY), "something else"]
    names.append(backup_name(names, NOON - HOUR))
    with store.database.read() as reader:
        facts = gather(store.config, reader, store.time.now, backup_names=names, server_configured=True)
    assert (facts.quarantined, facts.newest_backup_s, facts.dead_entries) == (2, NOON - HOUR, 0)
    assert facts.disk_total_bytes is not None
    assert facts.data_dir_mode == 0o700
    assert facts.oldest_unsynced_at == facts.first_record_at
    assert {one.code for one in findings(facts)} <= {
        "quarantine-not-empty",
        "sqlite-wal-reset",
        "disk-filling",
    }
    with store.database.read() as reader:
        earlier = gather(store.config, reader, NOON - DAY)
    assert "clock-set-back" in {one.code for one in findings(earlier)}
    store.close()


def test_the_oldest_unsynced_change_is_found_across_priorities(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_masters()
    store.inspect(ai="NG", human="NG", final="NG")
    with store.database.write() as tx:
        tx.execute("UPDATE sync_queue SET processed_at = created_at WHERE id <= 4 OR priority = 50")
        tx.execute("UPDATE sync_queue SET dead_at = created_at WHERE id = 5")
    with store.database.read() as reader:
        sql = "SELECT created_at FROM sync_queue WHERE processed_at IS NULL AND dead_at IS NULL ORDER BY id"
        assert oldest_unsynced_at(reader) == reader.execute(sql).fetchone()[0]
        plan = reader.execute("EXPLAIN QUERY PLAN SELECT count(*) FROM sync_queue WHERE dead_at IS NOT NULL")
        assert "idx_sync_queue_dead" in plan.fetchone()["detail"]
    with store.database.write() as tx:
        tx.execute("UPDATE sync_queue SET processed_at = created_at")
    with store.database.read() as reader:
        assert oldest_unsynced_at(reader) is None
    store.close()


MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:30 / /mnt/share rw shared:2 - cifs //server/share rw
31 30 8:2 / /mnt/share/local\\040disk rw - xfs /dev/sdb1 rw
a broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/agent", "ext4"),
        ("/mnt/share/agent", "cifs"),
        ("/mnt/share", "cifs"),
        ("/mnt/shared/agent", "ext4"),
        ("/mnt/share/local disk/agent", "xfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert mounted_as(MOUNTS, path) == kind


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="Linux tells by /proc")
def test_the_file_system_of_a_real_directory_is_known(tmp_path: Path) -> None:
    assert file_system_of(tmp_path)
