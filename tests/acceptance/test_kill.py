"""SIGKILL at every step of the agent's work: nothing dropped or accepted is lost, nothing is inspected twice.

Rules of this file:
- The killed agent is the real one in processes of its own (`killed_agent.py`); here is only what it is told, and
  what must be true of its directories afterwards.
- After a kill every picture is in the folder or in the store; after one more life of the agent it is in the store
  exactly once, with exactly one verdict of the AI, and `check` has nothing to say but of harmless leftovers.
- A kill that never came fails the test: a step that is gone from the product must be gone from the lists here."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge_agent.backup.manifest import verify_backup
from tests import bundles
from tests.acceptance.nursery import Kill, Nursery

Killed = tuple[str, Kill]


def at(place: str, when: str, **more: Any) -> Kill:
    return {"at": f"edge_agent.{place}", "when": when, **more}


def sql(statement: str, when: str, **more: Any) -> Kill:
    return {"sql": statement, "when": when, **more}


def both(place: str, **more: Any) -> list[Kill]:
    return [at(place, when, **more) for when in ("before", "after")]


def both_sql(statement: str, **more: Any) -> list[Kill]:
    return [sql(statement, when, **more) for when in ("before", "after")]


def name_of(kill: Kill) -> str:
    step = kill.get("sql") or kill["at"].removeprefix("edge_agent.")
    extra = [str(kill[key]) for key in ("match", "thread", "call") if key in kill]
    return "-".join([kill["when"], step, *extra]).replace(" ", "_")


INTAKE = [
    *both("blobs:Blobs._stage"),
    *both("inference.worker:InferencePool.submit"),
    *both("blobs:sync_file"),
    *both("blobs:os.replace"),
    *both("blobs:sync_directory", match="images/"),
    *both("inspection.intake:decode_error"),
    *both_sql("BEGIN IMMEDIATE"),
    *both_sql("INSERT INTO inspection_images"),
    *both("store.database:Database.linger"),
    *both_sql("INSERT INTO ai_inspection_results"),
    *both_sql("UPDATE inspection_sessions"),
    *both_sql("COMMIT"),
    at("inspection.intake:Intake._after_write", "after"),
]
UPLOAD = [
    *(
        kill for kill in INTAKE if kill.get("sql") != "UPDATE inspection_sessions"
    ),  # judged before: it stays so
    *both_sql("UPDATE inspection_images"),
]
FOLDER = [
    at("blobs:Blobs._stage", "after", call=3),
    at("blobs:os.replace", "after", call=2),
    *both_sql("INSERT INTO inspection_targets"),
    *both_sql("INSERT INTO inspection_sessions"),
    sql("INSERT INTO inspection_images", "after", call=3),
    *both("capture.folder:remove"),
    *both("capture.removal:Path.rename", match=".imageflow~"),
    *both("capture.removal:Path.unlink", match=".imageflow~"),
    at("capture.removal:Path.unlink", "after", match=".imageflow~", call=2),
]
LATE = [
    *both("inspection.late:LateVerdicts._write_one_late"),
    *both_sql("UPDATE inspection_images"),
    *both_sql("INSERT INTO ai_inspection_results", thread="recorder"),
    *both_sql("COMMIT", thread="recorder"),
]
RESTART = [
    at("blobs:Blobs.prepare", "after"),
    *both("daemon:open_database"),
    at("masters.importer:Masters.reload", "after"),
    *both("inspection.late:LateVerdicts.resume"),
    at("inspection.late:LateVerdicts._run_stored", "after"),
    at("inspection.late:LateVerdicts._run_stored", "after", call=2),
    at("capture.quarantine:Quarantine.sweep", "before"),
    *both_sql("COMMIT", thread="recorder"),
]
IMPORT = [
    at("masters.importer:unpack", "after"),
    at("masters.importer:install_apart", "after"),
    *both("blobs:sync_file", match="staging"),
    *both("blobs:os.replace", match="staging"),
    *both("masters.packages:sync_tree"),
    *both("masters.packages:os.rename", match="models/"),
    at("masters.packages:sync_directory", "after", match="data/models'"),
    *both_sql("BEGIN IMMEDIATE"),
    *both_sql("INSERT INTO audit_log"),
    *both_sql("COMMIT"),
    *both("masters.importer:Masters.reload"),
]
BACKUP = [
    *both("backup.make:copy_database"),
    at("backup.make:sync_file", "after"),
    at("backup.make:os.link", "after"),
    *both("backup.make:verify_backup"),
    *both("backup.make:os.replace"),
]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    place = tmp_path_factory.mktemp("kill")
    command = [sys.executable, "-m", "tests.acceptance.killed_agent"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        nursery = Nursery(place, process)
        look = {**bundles.ITEMS[0], "required": True}
        bundle = bundles.write_bundle(
            place / "bundle", {"pipelines/front.json": bundles.pipeline(), "items.json": [look]}
        )
        line = {
            "path": str(place / "hot"),
            "product": "PLATE",
            "item": "look",
            "pattern": r"(?P<serial>.+)\.png",
            "session": "auto",
            "accept_ai_ok": True,
            "settle_s": 0.0,
        }
        prepare = ({"do": "import", "path": str(bundle)}, {"do": "folder", "name": "line", **line})
        assert nursery.live(*prepare, processes=2) == 0
        yield nursery
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("kill", [*FOLDER, *INTAKE], ids=name_of)
def test_a_dropped_file_is_taken_exactly_once(nursery: Nursery, kill: Kill) -> None:
    nursery.draw("camera", 3)
    assert nursery.live({"do": "arm"}, nursery.drops, kill=kill) == -signal.SIGKILL
    nursery.assert_nothing_lost()
    assert nursery.live(nursery.drops) == 0
    nursery.assert_all_done()


@pytest.mark.parametrize("kill", UPLOAD, ids=name_of)
def test_an_accepted_upload_is_there_exactly_once(nursery: Nursery, kill: Kill) -> None:
    nursery.draw("client", 2)
    late = "ai_inspection_results" in kill.get("sql", "") or "UPDATE" in kill.get("sql", "")
    assert nursery.live(nursery.uploads, kill=kill, late=late) == -signal.SIGKILL
    nursery.assert_nothing_lost()
    assert nursery.live(nursery.uploads) == 0
    nursery.assert_all_done()


@pytest.mark.parametrize("kill", LATE, ids=name_of)
def test_a_verdict_that_comes_late_is_written_once(nursery: Nursery, kill: Kill) -> None:
    nursery.draw("camera", 3)
    assert nursery.live({"do": "arm"}, nursery.drops, kill=kill, late=True) == -signal.SIGKILL
    nursery.assert_nothing_lost()
    assert nursery.live(nursery.drops) == 0
    nursery.assert_all_done()


@pytest.mark.parametrize("kill", RESTART, ids=name_of)
def test_a_restart_may_be_killed_too(nursery: Nursery, kill: Kill) -> None:
    nursery.draw("camera", 3)
    before = at("inspection.late:LateVerdicts._write_one_late", "before")
    nursery.drop()  # all of them before the agent looks: they are one batch, and none has its verdict
    assert nursery.live(kill=before, late=True, arm="start") == -signal.SIGKILL
    nursery.assert_nothing_lost()
    assert nursery.live(nursery.drops, kill=kill, arm="start") == -signal.SIGKILL
    nursery.assert_nothing_lost()
    assert nursery.live(nursery.drops) == 0
    nursery.assert_all_done()


@pytest.mark.parametrize("kill", IMPORT, ids=name_of)
def test_an_import_is_whole_or_not_at_all(nursery: Nursery, kill: Kill) -> None:
    imported = {"do": "import", "path": str(nursery.new_bundle())}
    before = nursery.masters()
    assert nursery.live({"do": "arm"}, imported, kill=kill, processes=2) == -signal.SIGKILL
    nursery.assert_nothing_lost()
    assert nursery.masters() in (before, nursery.newest)
    nursery.draw("camera", 1)
    assert nursery.live(nursery.drops, imported, processes=2) == 0
    assert nursery.masters() == nursery.newest
    assert not (nursery.data_dir / "imports").exists() or not [*(nursery.data_dir / "imports").iterdir()]
    nursery.assert_all_done()


@pytest.mark.parametrize("kill", BACKUP, ids=name_of)
def test_a_backup_is_whole_or_not_at_all(nursery: Nursery, kill: Kill) -> None:
    backups = nursery.data_dir / "backups"
    shutil.rmtree(backups, ignore_errors=True)
    nursery.draw("camera", 1)
    assert nursery.live({"do": "arm"}, {"do": "backup"}, kill=kill) == -signal.SIGKILL
    for whole in backups.glob("[!.]*"):
        verify_backup(whole)
        shutil.rmtree(whole)  # two backups of one second have one name
    nursery.assert_nothing_lost()
    assert nursery.live(nursery.drops, {"do": "backup"}) == 0
    assert not [*backups.glob(".*")]
    for whole in backups.iterdir():
        verify_backup(whole)
    nursery.assert_all_done()


@pytest.mark.parametrize("seed", range(4))
def test_kills_at_any_moment_lose_nothing(nursery: Nursery, seed: int) -> None:
    """From outside, whatever the agent is doing; on a failure the seed is in the test's name."""
    moments = random.Random(seed)
    nursery.draw("camera", 60)
    for latest_s in (0.02, 0.2, 0.6, 0.6):
        agent = nursery.begin(nursery.drops, {"do": "stay"}, late=bool(moments.getrandbits(1)))["agent"]
        assert not nursery.has_ended(moments.uniform(0.0, latest_s))
        os.kill(agent, signal.SIGKILL)
        assert nursery.end() == -signal.SIGKILL
        nursery.assert_nothing_lost()
    assert nursery.live(nursery.drops) == 0
    nursery.assert_all_done()


@pytest.mark.parametrize("seed", range(3))
def test_every_picture_gets_a_verdict_though_the_inference_dies(nursery: Nursery, seed: int) -> None:
    moments = random.Random(seed)
    nursery.draw("camera", 60)
    started = nursery.begin(nursery.drops, processes=4)
    for pid in started["inference"][:3]:
        if not nursery.has_ended(moments.uniform(0.0, 0.4)):
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
    assert nursery.end() == 0
    nursery.assert_all_done(may_fail=True)
