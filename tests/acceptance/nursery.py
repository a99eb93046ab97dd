"""The killed agents' directories: what they are told to do, and what must be true of what they leave."""

from __future__ import annotations

import hashlib
import json
import select
import subprocess
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from edge_agent.check import run_check
from edge_agent.config import load_config
from edge_agent.models import Severity
from edge_agent.store import settings
from edge_agent.store.database import connect_reader
from edge_agent.store.schema import quick_check
from tests import bundles

WAIT_S = 600.0  # a life is many processes, and there may be much else to do
LEFTOVERS = {"image-orphan", "derived-orphan", "staging-leftover", "image-cut-off", "model-orphan"}
"""What `check` may find in the directory of a killed agent; none of it is an ERROR."""
GARBAGE = {"image-orphan", "derived-orphan"}
"""What may lie there for good: files of pictures that were taken again, under another name."""
Kill = dict[str, Any]


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
