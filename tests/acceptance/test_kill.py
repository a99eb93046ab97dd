"""SIGKILL at every step of the agent's work: nothing dropped or accepted is lost, nothing is inspected twice.

Rules of this file:
- The killed agent is the real one in processes of its own (`killed_agent.py`); here is only what it is told, and
  what must be true of its directories afterwards.
- After a kill every picture is in the folder or in the store; after one more life of the agent it is in the store
  exactly once, with exactly one verdict of the AI, and `check` has nothing to say but of harmless leftovers.
- A kill that never came fails the test: a step that is gone from the product must be gone from the lists here.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pytest

from edge_agent.backup.manifest import verify_backup
from edge_agent.check import run_check
from edge_agent.config import load_config
from edge_agent.models import Severity
from edge_agent.store import settings
from edge_agent.store.database import connect_reader
from edge_agent.store.schema import quick_check
from tests import bundles

WAIT_S = 120.0
LEFTOVERS = {"image-orphan", "derived-orphan", "staging-leftover", "image-cut-off", "model-orphan"}
"""What `check` may find in the directory of a killed agent; none of it is an ERROR."""
GARBAGE = {"image-orphan", "derived-orphan"}
"""What may lie there for good: files of pictures that were taken again, under another name."""

Kill = dict[str, Any]
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


@dataclass
class Nursery:
    """The child program, and the installation its agents live on, one after another."""

    place: Path
    process: subprocess.Popen[str]
    given: dict[str, str] = field(default_factory=dict)
    """sha256 → file name of every picture ever dropped or uploaded."""
    drawn: int = 0
    bundles: int = 0
    failed: set[str] = field(default_factory=set)
    """Names of the pictures whose inspection ended in ERROR because the inference process was killed."""

    def __post_init__(self) -> None:
        for name in ("data", "hot", "camera", "client", "answered"):
            (self.place / name).mkdir()

    @property
    def data_dir(self) -> Path:
        return self.place / "data"

    def begin(self, *steps: dict[str, Any], **order: Any) -> dict[str, Any]:
        """Starts one life; the processes it consists of."""
        places = {name: str(self.place / name) for name in ("hot", "answered")}
        order = {"data_dir": str(self.data_dir), **places, "steps": list(steps), **order}
        print(json.dumps(order), file=self._input, flush=True)
        return self._answer()

    def end(self) -> int:
        """How that life ended."""
        return int(self._answer()["status"])

    def live(self, *steps: dict[str, Any], **order: Any) -> int:
        self.begin(*steps, **order)
        return self.end()

    def has_ended(self, within_s: float) -> bool:
        return bool(select.select([self._output], [], [], within_s)[0])

    def draw(self, place: str, count: int) -> None:
        """New pictures, every third one dark, no two alike."""
        for _ in range(count):
            self.drawn += 1
            pixels = np.full((24, 32, 3), 0 if self.drawn % 3 == 0 else 255, np.uint8)
            pixels[0, :4] = np.frombuffer(self.drawn.to_bytes(12, "big"), np.uint8).reshape(4, 3)
            data = cv2.imencode(".png", pixels)[1].tobytes()
            name = f"S{self.drawn}.png"
            (self.place / place / name).write_bytes(data)
            self.given[hashlib.sha256(data).hexdigest()] = name

    def drop(self) -> None:
        """What the camera has taken, while no agent runs."""
        for path in sorted((self.place / "camera").iterdir()):
            path.rename(self.place / "hot" / path.name)

    def new_bundle(self) -> Path:
        """The masters in their next version: another model, another pipeline, another template."""
        self.bundles += 1
        version = f"1.{self.bundles}.0"
        template = cv2.imencode(".png", np.full((16, 16, 3), self.bundles, np.uint8))[1].tobytes()
        sha256 = hashlib.sha256(template).hexdigest()
        folder = bundles.write_bundle(
            self.place / f"bundle-{version}",
            {
                "pipelines/front.json": {**bundles.pipeline(version=version), "version": version},
                "pipelines/other.json": {
                    **bundles.with_template(bundles.pipeline("other", version=version), sha256),
                    "version": version,
                },
                "items.json": [bundles.ITEMS[0]],
            },
            models=(version,),
        )
        (folder / "assets" / "template.png").write_bytes(template)
        return bundles.seal(folder, version=version)

    def masters(self) -> tuple[str, str, set[str]]:
        """Version of the bundle, of the pipeline and of the active model, by the store alone."""
        with closing(connect_reader(self.data_dir / "edge.db")) as reader:
            imported = settings.get(reader, "masters.imported")
            pipelines = {row[0] for row in reader.execute("SELECT definition_version FROM pipelines")}
            active = reader.execute("SELECT version FROM model_packages WHERE is_active").fetchall()
        [(model,)] = active
        return imported["version"], model, pipelines

    @property
    def newest(self) -> tuple[str, str, set[str]]:
        return f"1.{self.bundles}.0", f"1.{self.bundles}.0", {f"1.{self.bundles}.0"}

    @property
    def drops(self) -> dict[str, Any]:
        return {"do": "drop", "folder": str(self.place / "camera")}

    @property
    def uploads(self) -> dict[str, Any]:
        return {"do": "upload", "folder": str(self.place / "client"), "session": "by-hand"}

    # ── what must be true ───────────────────────────────────────────────────────────────────────────

    def assert_nothing_lost(self) -> None:
        """In the directories of an agent that was killed just now."""
        waiting = {
            digest(path) for name in ("hot", "camera", "client") for path in (self.place / name).iterdir()
        }
        answered = {digest(path) for path in (self.place / "answered").iterdir()}
        with closing(connect_reader(self.data_dir / "edge.db")) as reader:
            quick_check(reader)
            stored = Counter(row[0] for row in reader.execute("SELECT sha256 FROM inspection_images"))
            verdicts = reader.execute("SELECT image_id FROM ai_inspection_results").fetchall()
        assert set(stored.values()) <= {1}, "taken twice"
        assert len(verdicts) == len({row[0] for row in verdicts}), "judged twice"
        assert answered <= set(stored), "an upload was accepted and lost"
        assert set(self.given) == set(stored) | waiting, "lost"
        assert self.findings() <= LEFTOVERS

    def assert_all_done(self, *, may_fail: bool = False) -> None:
        """After a life that ended by itself; `may_fail`: pictures may have been given to people as ERROR."""
        with closing(connect_reader(self.data_dir / "edge.db")) as reader:
            rows = reader.execute(
                """SELECT i.sha256, i.state, i.origin, s.status, s.source, r.overall_result
                   FROM inspection_images i JOIN inspection_sessions s ON s.id = i.session_id
                   LEFT JOIN ai_inspection_results r ON r.image_id = i.id"""
            ).fetchall()
            open_by_hand = reader.execute(
                "SELECT count(*) FROM inspection_sessions WHERE source = 'inspector'"
            ).fetchone()[0]
            sessions = reader.execute("SELECT count(*) FROM inspection_sessions").fetchone()[0]
        assert Counter(row["sha256"] for row in rows) == Counter(self.given.keys())
        for row in rows:
            expected = "NG" if int(row["origin"][1:-4]) % 3 == 0 else "OK"
            if row["state"] == "failed" and row["origin"] not in self.failed:
                assert may_fail, row["origin"]
                self.failed.add(row["origin"])
            verdict = ("failed", "ERROR") if row["origin"] in self.failed else ("inspected", expected)
            assert (row["state"], row["overall_result"]) == verdict
            if row["source"] == "folder":
                assert row["status"] == ("COMPLETED" if verdict[1] == "OK" else "AI_COMPLETED")
        dropped = [row for row in rows if row["source"] == "folder"]
        assert open_by_hand <= 1
        assert sessions == len(dropped) + open_by_hand, "a session without its picture, or two for one"
        assert not [*(self.place / "hot").iterdir()]
        assert not [*(self.data_dir / "quarantine").iterdir()]
        assert not [*(self.data_dir / "staging").iterdir()]
        assert self.findings() <= GARBAGE

    def findings(self) -> set[str]:
        with closing(connect_reader(self.data_dir / "edge.db")) as reader:
            found = list(run_check(load_config(self.data_dir), reader, now_s=0.0))
        for one in found:
            assert one.severity is not Severity.ERROR, one
            if one.code == "image-orphan":
                assert digest(self.data_dir / one.subject) in self.given
        return {one.code for one in found}

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def _input(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _answer(self) -> dict[str, Any]:
        assert self.has_ended(WAIT_S), "no answer"
        answer: dict[str, Any] = json.loads(self._output.readline())
        return answer


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
