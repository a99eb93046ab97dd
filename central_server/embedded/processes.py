"""A server as a child process: started, waited for, stopped by its own process id.

Rules of this file:
- Loopback only. Run as root, a server is run as `nobody`: PostgreSQL refuses root, the other one needs none of it.
- A child that is not stopped because we were killed dies with us (Linux: PR_SET_PDEATHSIG, which is about the thread
  that started it, so start servers from the main thread). Ctrl-C in a terminal reaches us only.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from central_server.config import child_environment
from central_server.errors import Unavailable
from edge_agent.clock import Clock
from edge_agent.listening import held_ports

START_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.02
PR_SET_PDEATHSIG = 1
KILL: signal.Signals = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has neither
QUIT: signal.Signals = getattr(signal, "SIGQUIT", signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child is stopped: `asked` first, `sure` after `grace_s` seconds and when we die."""

    asked: signal.Signals
    sure: signal.Signals
    grace_s: float = 30.0


@dataclass(slots=True)
class Child:
    """A running server; `log` is where its output goes."""

    process: subprocess.Popen[bytes]
    name: str
    log: Path
    code: str
    """What it means when it does not run."""

    def wait_until(self, probe: Callable[[], bool], clock: Clock) -> None:
        """Returns when `probe` says yes. Raises Unavailable when the child ends or a minute has passed."""
        end = clock.monotonic() + START_TIMEOUT_S
        while not probe():
            if has_ended(self.process, LOOK_EVERY_S) or clock.monotonic() > end:
                last = self.log.read_text("utf-8", "replace").strip().splitlines()[-3:]
                raise Unavailable(
                    self.code, f"{self.name} did not start: {' / '.join(last)}", hint=f"See {self.log}."
                )


@contextmanager
def running(argv: Sequence[str], folder: Path, code: str, ending: Ending) -> Iterator[Child]:
    """The child while the block runs, its output in `folder`/start.log; stopped however the block ends."""
    log = folder / "start.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **dying_with_us(ending.sure),
            **unprivileged(),
        )
    try:
        yield Child(process, Path(argv[0]).name, log, code)
    finally:
        stop(process, ending)


def stop(process: subprocess.Popen[bytes], ending: Ending) -> None:
    for wanted in (ending.asked, ending.sure, KILL):
        if process.poll() is None:
            process.send_signal(wanted)
        if has_ended(process, ending.grace_s):
            return
    process.wait()


def has_ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def dying_with_us(by: signal.Signals) -> dict[str, Any]:
    """Arguments for Popen that make the kernel signal the child when we die (Linux). Between fork and exec only one
    system call is made, of a library loaded before: other threads' locks do not matter."""
    if sys.platform != "linux":
        return {}
    libc = ctypes.CDLL(None)
    return {"preexec_fn": lambda: libc.prctl(PR_SET_PDEATHSIG, int(by))}


def unprivileged() -> dict[str, Any]:
    """Arguments for Popen that make the child run as `nobody`, if we are root."""
    if not is_root():
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def own_folder(path: Path) -> Path:
    """The folder, made if missing, for the child alone. Raises Unavailable when the child could not reach it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = unprivileged()
    if account:
        os.chown(path, account["user"], account["group"])
        require_reachable(path.parent, account["user"])
    return path


def require_reachable(folder: Path, user_id: int) -> None:
    """Raises Unavailable when `nobody` may not pass through one of the folders above."""
    found = {place: place.stat() for place in (folder, *folder.parents)}
    closed = [place for place, at in found.items() if at.st_uid != user_id and not at.st_mode & 0o001]
    if closed:
        raise Unavailable(
            "database-unavailable",
            f"The embedded servers run as `nobody`, who may not enter {closed[-1]}.",
            hint="Run the server as another user than root, or give a --data-dir below /var/lib or /srv.",
        )


def package_folder(package: str, code: str) -> Path:
    """Where a package of binaries lies, without importing it. Raises Unavailable with `code` if it is missing."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            code,
            f"The package {package} with the embedded server is not installed.",
            hint="Install imageflowcanvas-edge-agent[embedded], or set `database_url` and `s3_endpoint`.",
        )
    return Path(spec.submodule_search_locations[0])


def reachable_copy(parts: Sequence[Path], common: Path, to: Path) -> Path:
    """`common`, or a copy of these parts of it that the child can reach where it cannot reach the original."""
    if not is_root() or all(place.stat().st_mode & 0o001 for place in (common, *common.parents)):
        return common
    if not to.exists():
        fresh = to.with_name(f"{to.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        for part in parts:
            copy = shutil.copytree if part.is_dir() else shutil.copy2
            (fresh / part.relative_to(common)).parent.mkdir(parents=True, exist_ok=True)
            copy(part, fresh / part.relative_to(common))
        fresh.rename(to)
    return to


def free_ports(count: int) -> list[int]:
    """Different ones, which nobody had a moment ago."""
    with held_ports(count) as ports:
        return ports


def secret(path: Path, new: Callable[[], str]) -> str:
    """The secret in this file, made once; readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(new())
        fresh.rename(path)
    return path.read_text("ascii")


def options(values: Mapping[str, object], form: str) -> list[str]:
    return [form.format(name, value) for name, value in values.items()]
