"""The child program of the kill tests: lives the agent's life in real processes, and dies at a given step.

Rules of this file:
- One process (the nursery) has everything imported and starts no thread. For every order it forks the agent, and
  beforehand the inference processes the agent will start: real processes, real pipes, only the import is saved.
- The product is not changed for the test: a step is a function of the product, or an SQL statement, wrapped from
  outside, before which or after which the agent sends itself SIGKILL.
- Orders come as lines of JSON on the standard input; each is answered by two lines: the processes that were
  started, and how the agent ended (0: it did all it was asked, -9: killed).
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from edge_agent.api.services import Services
from edge_agent.clock import Clock
from edge_agent.config import load_config
from edge_agent.daemon import running_services
from edge_agent.inference import child, process
from edge_agent.inspection import intake
from edge_agent.models import Actor, ImageSource, Role
from tests.waiting import WAIT_S, wait_for

INSPECTOR = Actor("sato", user_id=1, role=Role.INSPECTOR)
SETTINGS = {"min_free_bytes": 0, "workers": 1, "review_share": 0.0, "port": 0}


# ── the kill ────────────────────────────────────────────────────────────────────────────────────────────


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def killing(function: Callable[..., Any], kill: dict[str, Any]) -> Callable[..., Any]:
    """`function`, deadly before or after its n-th call that `match`es in its arguments and on that thread."""
    calls = itertools.count(1)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        fits = kill.get("match", "") in repr(arguments)
        fits = fits and kill.get("thread", "") in threading.current_thread().name
        is_it = fits and next(calls) == kill.get("call", 1)
        if is_it and kill["when"] == "before":
            die()
        answer = function(*arguments, **named)
        if is_it and kill["when"] == "after":
            die()
        return answer

    return wrapped


class DeadlyConnection(sqlite3.Connection):
    """A writing connection; `deadly` stands between the product and its statements once a kill is armed."""

    deadly: Callable[..., Any] | None = None

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        run = super().execute
        if DeadlyConnection.deadly is None:
            return run(sql, *arguments)
        answer: sqlite3.Cursor = DeadlyConnection.deadly(sql, lambda: run(sql, *arguments))
        return answer


def arm(kill: dict[str, Any] | None) -> None:
    if kill is None:
        return
    if "sql" in kill:
        DeadlyConnection.deadly = killing(lambda sql, run: run(), {**kill, "match": kill["sql"]})
        return
    module, _, path = kill["at"].partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, name, killing(getattr(owner, name), kill))


# ── the agent's life ────────────────────────────────────────────────────────────────────────────────────


def live(order: dict[str, Any]) -> None:
    """One life: starts, does what the order says, waits until everything is done, stops."""
    connect: Callable[..., Any] = sqlite3.connect
    sqlite3.connect = lambda *a, **k: connect(*a, **{"factory": DeadlyConnection, **k})
    if order.get("late"):
        vars(intake)["outcome_now"] = lambda run: None
    if order.get("arm") == "start":
        arm(order["kill"])
    config = load_config(Path(order["data_dir"]), **{**SETTINGS, **order.get("settings", {})})
    with running_services(config, Clock()) as services:
        for step in order["steps"]:
            STEPS[step.pop("do")](services, order, **step)
        wait_for(lambda: is_done(services, Path(order["hot"])), services.findings)


def is_done(services: Services, hot: Path) -> bool:
    with services.database.read() as reader:
        unfinished = reader.execute("SELECT count(*) FROM inspection_images WHERE state = 'inspecting'")
        return not any(hot.iterdir()) and not unfinished.fetchone()[0]


def arm_now(services: Services, order: dict[str, Any]) -> None:
    arm(order.get("kill"))


def drop(services: Services, order: dict[str, Any], folder: str) -> None:
    """The files of a side folder into the hot one, as a camera that writes and renames would put them there."""
    for path in sorted(Path(folder).iterdir()):
        path.rename(Path(order["hot"]) / path.name)
    services.folders.reload()


def upload(services: Services, order: dict[str, Any], folder: str, session: str) -> None:
    """What a client does that repeats every upload it has no answer for; it moves away what it has one for."""
    view = services.sessions.start(json.dumps({"product": "PLATE", "serial": session}), INSPECTOR)
    arm_now(services, order)
    for path in sorted(Path(folder).iterdir()):
        services.intake.add(
            view.session.id,
            view.items[0].item.id,
            path.read_bytes(),
            source=ImageSource.UPLOAD,
            origin=path.name,
            actor=INSPECTOR,
        )
        path.rename(Path(order["answered"]) / path.name)


def import_bundle(services: Services, order: dict[str, Any], path: str) -> None:
    services.masters.import_bundle(Path(path), Actor("test"))


def make_folder(services: Services, order: dict[str, Any], name: str, **settings: Any) -> None:
    from edge_agent.store import settings as store

    with services.database.write() as tx:
        store.put(tx, f"folder.{name}", settings, services.clock.now())
    services.folders.reload()


def make_backup(services: Services, order: dict[str, Any]) -> None:
    services.make_backup(None)


def stay(services: Services, order: dict[str, Any]) -> None:
    """Is there to be killed, though all its work may be done."""
    threading.Event().wait(WAIT_S)


STEPS: dict[str, Callable[..., None]] = {
    "arm": arm_now,
    "drop": drop,
    "upload": upload,
    "import": import_bundle,
    "folder": make_folder,
    "backup": make_backup,
    "stay": stay,
}


# ── the processes ───────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Forked:
    """An inference process that waits for its agent: what `subprocess.Popen` would have given."""

    pid: int
    to_it: int
    from_it: int

    def adopt(self) -> Forked:
        self.stdin, self.stdout = os.fdopen(self.to_it, "wb"), os.fdopen(self.from_it, "rb")
        return self

    def close(self) -> None:
        for descriptor in (self.to_it, self.from_it):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        descriptor = os.pidfd_open(self.pid)
        ended, _, _ = select.select([descriptor], [], [], timeout)
        os.close(descriptor)
        if not ended:
            raise subprocess.TimeoutExpired("inference", timeout or 0)
        return -9


def fork_inference(data_dir: str) -> Forked:
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    if pid := os.fork():
        os.close(in_read)
        os.close(out_write)
        return Forked(pid, in_write, out_read)
    with last_words():
        os.dup2(in_read, 0)
        os.dup2(out_write, 1)
        os.closerange(3, 256)
        sys.stdin = os.fdopen(0, closefd=False)
        child.main(["--threads", "1", "--cache-dir", f"{data_dir}/cache"])
    raise AssertionError("unreachable")


def fork_agent(order: dict[str, Any], crew: list[Forked]) -> int:
    if pid := os.fork():
        return pid
    with last_words():
        os.dup2(2, 1)
        waiting = iter(crew)

        def start(*arguments: Any, **named: Any) -> Any:
            forked = next(waiting, None)
            return forked.adopt() if forked else subprocess.Popen(*arguments, **named)

        names = {name: getattr(subprocess, name) for name in ("PIPE", "TimeoutExpired")}
        with mock.patch.object(process, "subprocess", SimpleNamespace(Popen=start, **names)):
            live(order)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def last_words() -> Iterator[None]:
    """Ends a forked process after its block, with 0 or with 1 and the reason on standard error."""
    try:
        yield
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def answer(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    importlib.import_module("edge_agent.inference.workbench")  # once, for all inference processes
    for line in sys.stdin:
        order = json.loads(line)
        crew: list[Forked] = []
        for _ in range(order.get("processes", 1)):
            crew.append(fork_inference(order["data_dir"]))
        pid = fork_agent(order, crew)
        for forked in crew:
            forked.close()
        answer({"agent": pid, "inference": [forked.pid for forked in crew]})
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for forked in crew:
            os.waitpid(forked.pid, 0)
        answer({"status": status})


if __name__ == "__main__":
    main()
